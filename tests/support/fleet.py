"""A few hosts of storehop on one outbox, between one ad stack, one AppsFlyer and a load of their own."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from storehop.deliver.engine import EngineError
from storehop.deliver.engines import engine_for
from storehop.deliver.operations import ListCalls
from tests.support.clients import Answer, connection, request
from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, to_appsflyer, until
from tests.support.namespaces import NetworkHost
from tests.support.patience import SOON_S
from tests.support.processes import Host, free_port, sidecar_command, started
from tests.support.scenes import path_of
from tests.support.seats import LOOPBACK, Seat
from tests.support.standins import AdStack
from tests.support.tally import Tally, click_ids

RULES = """
version: 1
partner: NetworkA
client_ip: {{trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]}}
delivery: {{endpoint: "http://{address}:{port}", allow_plain_http: true{more}}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@dataclass(slots=True)
class Member:
    """One host of a fleet."""

    command: list[str | Path]
    port: int
    folder: Path
    address: str
    """The tests find it there."""
    host: Host = field(init=False)
    is_alive: bool = False

    async def start(self) -> None:
        """Answers when this returns; after a kill, with the same state folder and port."""
        self.host = await started(self.port, self.folder, *self.command, address=self.address)
        self.is_alive = True

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def shutdown(self) -> None:
        """As a deployment does it."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        self.is_alive = False
        self.host.process.send(number)
        await self.host.process.ended()

    def stop(self) -> None:
        """It does nothing more, and its connections stay."""
        self.host.process.send(signal.SIGSTOP)

    def cont(self) -> None:
        self.host.process.send(signal.SIGCONT)


@dataclass(slots=True)
class Fleet:
    """Made by `fleet`. Faults are told by `mark`, so that what passed is known of each."""

    url: Callable[[], str]
    """Of the outbox, as the tests reach it."""
    members: list[Member]
    appsflyer: FaultyAppsFlyer
    loads: list[Load] = field(default_factory=list)
    marks: list[float] = field(default_factory=lambda: [time.monotonic()])
    """When the fleet was ready, and each fault after that."""

    @property
    def clicks(self) -> Clicks:
        """Of all loads so far."""
        return Clicks.of(load.clicks for load in self.loads)

    async def click_on(self, member: Member, click_id: str, more: str = "", **changes: str | None) -> Answer:
        """One click, at this host."""
        async with connection(member.port, address=member.address) as (reader, writer), asyncio.timeout(SOON_S):
            writer.write(request(path_of(click_id, more), connection="close", **changes))
            return Answer(await reader.read())

    async def load(self, rate: float, seconds: float) -> None:
        """So many clicks a second on all hosts together, for so long."""
        async with self.loading(rate):
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def loading(self, rate: float, connections: int = 8) -> AsyncIterator[None]:
        """So many clicks a second on all hosts together meanwhile; each has so many connections."""
        loads = [Load(f"h{n}-{len(self.loads)}-", member.address) for n, member in enumerate(self.members, 1)]
        self.loads += loads
        async with asyncio.TaskGroup() as group:
            for load, member in zip(loads, self.members, strict=True):
                group.create_task(load.run(member.port, connections=connections, rate=rate / len(loads)))
            try:
                yield
            finally:
                for load in loads:
                    load.stop()

    async def more_direct(self, count: int) -> None:
        """Waits until so many more clicks of the loads have gone direct at each host that lives."""
        loads = [load for load, one in zip(self.loads[-len(self.members) :], self.members, strict=True) if one.is_alive]
        wanted = {load.prefix: len(load.clicks.direct) + count for load in loads}
        came = await until(lambda: all(len(one.clicks.direct) >= wanted[one.prefix] for one in loads), SOON_S)
        assert came, f"{count} more direct clicks at each host"

    def mark(self) -> None:
        """Now comes a fault."""
        self.marks.append(time.monotonic())

    def stretches(self) -> list[tuple[float, float]]:
        """Begins and ends of the times in which all clicks at a host passed: from the first answer to the last one."""
        return sorted(stretch for load in self.loads for stretch in _stretches(load.clicks))

    def passing_s(self) -> list[float]:
        """Of each fault until the next one: the longest stretch that has begun in it; 0 where nothing passed."""
        return [max((end - begin for begin, end in found), default=0.0) for found in self._by_fault()]

    def troubled_s(self) -> list[float]:
        """Of each fault until the next one: from the first click that passed to the last one."""
        found = self._by_fault()
        return [max(end for _, end in one) - one[0][0] if one else 0.0 for one in found]

    def _by_fault(self) -> list[list[tuple[float, float]]]:
        spans = zip(self.marks[1:], [*self.marks[2:], math.inf], strict=True)
        return [[one for one in self.stretches() if begin <= one[0] < end] for begin, end in spans]

    async def stored(self, *, dead: bool | None = False) -> list[str]:
        """The click ids of what the outbox holds: pending, dead, or (None) both."""
        return await asyncio.to_thread(_stored, self.url, dead=dead)

    async def settle(self, seconds: float = 2 * SOON_S) -> None:
        """Waits until all that is stored has been sent, whatever the engine says meanwhile."""
        async with asyncio.timeout(seconds):
            while await self._has_some():
                await asyncio.sleep(0.05)

    async def _has_some(self) -> bool:
        try:
            return bool(await self.stored())
        except EngineError:
            return True

    async def tally(self) -> Tally:
        """Settles, and counts."""
        await self.settle()
        dead = frozenset(await self.stored(dead=True))
        return Tally(self.clicks, Counter(self.appsflyer.accepted), dead, len(await self.stored()))


def _stretches(clicks: Clicks) -> Iterator[tuple[float, float]]:
    in_order = sorted(clicks.passed | clicks.direct, key=clicks.when.__getitem__)
    for has_passed, ids in groupby(in_order, key=clicks.passed.__contains__):
        times = [clicks.when[click_id] for click_id in ids]
        if has_passed:
            yield times[0], times[-1]


def _stored(url: Callable[[], str], *, dead: bool | None) -> list[str]:
    engine = engine_for(url(), tidies=True)
    try:
        return click_ids(call.url for call in engine.run([ListCalls(dead)])[0])
    finally:
        engine.close()


@asynccontextmanager
async def fleet(
    folder: Path,
    outbox: str | Sequence[str],
    *extra: str | Path,
    seats: Sequence[Seat | NetworkHost] = (LOOPBACK, LOOPBACK),
    url: Callable[[], str] | None = None,
    outside: str = "127.0.0.1",
    more: str = "",
) -> AsyncIterator[Fleet]:
    """One host on each seat, on the outbox of this path or URL; `url` says where the tests find it, if elsewhere.

    Where each host has a way of its own to it, `outbox` is one URL a host.
    `extra` are arguments of the command line, `more` is further settings of the delivery, beginning with a comma.
    In a Network, `outside` is where hosts find the tests.
    """
    appsflyer, ads = FaultyAppsFlyer(), AdStack()
    await appsflyer.start(address=outside)
    await ads.start(address=outside)
    ads.routes["*"] = to_appsflyer
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(address=outside, port=appsflyer.port, more=more))
    members = []
    outboxes = [outbox] * len(seats) if isinstance(outbox, str) else outbox
    for number, (seat, place) in enumerate(zip(seats, outboxes, strict=True), 1):
        at = seat.seat if isinstance(seat, NetworkHost) else seat
        port, own, address = free_port(), folder / f"host{number}", at.addresses[-1]
        command = sidecar_command(f"http://{outside}:{ads.port}", rules, f"{address}:{port}", own)
        members.append(Member([*at.prefix, *command, "--outbox", place, *extra], port, own, address))
    try:
        async with asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(member.start())
        yield Fleet(url or (lambda: outboxes[0]), members, appsflyer)
    finally:
        for member in members:
            if member.is_alive:
                member.cont()
                await member.shutdown()
        await appsflyer.stop()
        await ads.stop()
