"""A stage for scenes of rough weather: a sidecar at its default settings, an AppsFlyer and a load of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, pending, to_appsflyer, until
from tests.support.patience import SOON_S
from tests.support.processes import Host, start_sidecar
from tests.support.standins import AdStack
from tests.support.tally import Tally

RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}"{more}}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@dataclass(slots=True)
class Stage:
    """What a scene is played on."""

    folder: Path
    host: Host
    appsflyer: FaultyAppsFlyer
    load: Load

    @property
    def clicks(self) -> Clicks:
        return self.load.clicks

    async def play(self, seconds: float, rate: float, connections: int = 16) -> None:
        """So many clicks a second, for so long."""
        async with self.playing(rate, connections):
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def playing(self, rate: float, connections: int = 16) -> AsyncIterator[None]:
        """So many clicks a second meanwhile."""
        running = asyncio.create_task(self.load.run(self.host.port, connections=connections, rate=rate))
        try:
            yield
        finally:
            self.load.stop()
            await running

    async def more_direct(self, count: int) -> bool:
        """Waits until so many more clicks have gone direct. Whether they have."""
        since = len(self.clicks.direct)
        return await until(lambda: len(self.clicks.direct) >= since + count, SOON_S)

    async def tally(self) -> Tally:
        """Waits until all that is stored has been sent, and counts."""
        await until(lambda: pending(self.folder) == 0, 2 * SOON_S)
        return Tally.of(self.clicks, self.appsflyer, self.folder)


@asynccontextmanager
async def stage(folder: Path, ads: AdStack, *extra: str | Path, more: str = "") -> AsyncIterator[Stage]:
    """`extra` are arguments of the command line, `more` are further settings of the delivery."""
    appsflyer = FaultyAppsFlyer()
    await appsflyer.start()
    rules = folder.parent / f"{folder.name}.yaml"
    rules.write_text(RULES.format(port=appsflyer.port, more=more))
    ads.routes["*"] = to_appsflyer
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *extra)
    try:
        yield Stage(folder, host, appsflyer, Load(f"{folder.name}-"))
    finally:
        await host.process.stop()
        await appsflyer.stop()
