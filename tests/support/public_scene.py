"""Run in a network namespace of its own, where a client may have a public address. Prints JSON.

    unshare --net … python -m tests.support.public_scene FOLDER

Everything is in this one process, because nothing outside of the namespace can be reached from within.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from storehop.assets import asset
from tests.support.clients import PUBLIC, Answer, connection, request
from tests.support.patience import SOON_S
from tests.support.processes import Host, start_mitmdump, start_sidecar, start_stock
from tests.support.scenes import RULES, link_of, write_rules
from tests.support.standins import AdStack, AppsFlyer

FORGED = "9.9.9.9"
_FORGERY = {"x_forwarded_for": FORGED, "forwarded": f"for={FORGED}", "cf_connecting_ip": FORGED, "x_real_ip": FORGED}
_STRICT = RULES.replace("127.0.0.0/8", "10.0.0.0/8")
"""Rules that trust no proxy on this machine."""


async def _get(port: int, target: str, **changes: str | None) -> Answer:
    """A request whose TCP peer has the public address."""
    async with connection(port, address=PUBLIC) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(request(target, connection="close", **changes))
        return Answer(await reader.read())


async def _click(host: Host, ads: AdStack, appsflyer: AppsFlyer, click_id: str, **changes: str | None) -> dict:
    answer = await _get(host.port, ads.redirect(link_of(click_id)), **changes)
    if answer.status != 302 or "play.google.com" not in (answer.location or ""):
        return {"answer": answer.raw.decode("latin-1")}
    received = await appsflyer.next_click()
    return {"answer": answer.raw.decode("latin-1"), "call": received.head.decode("latin-1"), "target": received.target}


async def _reverse(start: Callable[..., Awaitable[Host]], folder: Path, **options: str) -> dict:
    ads, appsflyer = AdStack(), AppsFlyer()
    await ads.start()
    await appsflyer.start()
    host = await start(f"http://127.0.0.1:{ads.port}", write_rules(folder, _STRICT, appsflyer), folder, **options)
    try:
        return {
            "plain": await _click(host, ads, appsflyer, "PLAIN", x_forwarded_for=None),
            "forged": await _click(host, ads, appsflyer, "FORGED", **_FORGERY),
        }
    finally:
        await host.process.stop()
        await ads.stop()
        await appsflyer.stop()


async def _forward(folder: Path) -> dict:
    """A forward proxy is not everybody's: what a public client gets of it."""
    host = await start_stock("mitmdump", "regular", asset("rules/storehop.yaml"), folder)
    try:
        answer = await _get(host.port, "http://127.0.0.1:9/")
        return {"answer": answer.raw.decode("latin-1")}
    except ConnectionError:
        return {"answer": ""}
    finally:
        await host.process.stop()


async def _main(folder: Path) -> None:
    folders = {name: folder / name for name in ("sidecar", "mitmdump", "forward")}
    for made in folders.values():
        made.mkdir()
    scenes = await asyncio.gather(
        _reverse(start_sidecar, folders["sidecar"], address="0.0.0.0"),
        _reverse(start_mitmdump, folders["mitmdump"]),
        _forward(folders["forward"]),
    )
    json.dump(dict(zip(folders, scenes, strict=True)), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
