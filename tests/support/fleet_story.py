"""What became of a fleet's clicks over its faults, for tests that state one fact each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Self

from storehop.deliver.engine import EngineError
from tests.support.fleet import Fleet
from tests.support.load import Clicks
from tests.support.patience import IS_LONG, SOON_S
from tests.support.redis_servers import BINARIES
from tests.support.tally import Tally, milliseconds

VERSIONS = tuple(BINARIES) if IS_LONG else ("7.0",)
CONCURRENCY = 16
"""Calls that a host sends at the same time: what may be in flight at a fault."""
SETTINGS = f", concurrency: {CONCURRENCY}"
MOST_PASSING_S = 3.0 if IS_LONG else SOON_S
"""How long clicks pass at a failover. The suite's machine does other things, too: there it is no figure."""
SLOWEST_S = 0.6 if IS_LONG else SOON_S
"""What an answer takes: the outbox's patience, and as much again on two cores that run servers, hosts and load."""


@dataclass(frozen=True, slots=True)
class Story:
    """A fleet's story, told to its end."""

    tally: Tally
    passing_s: list[float]
    """Of each fault: how long all clicks of a host passed, at the most."""
    in_flight: int
    """How many calls may have been under way at the faults, all together."""
    unkept: frozenset[str] = frozenset()
    """Clicks that only their host knew of, at one of the faults: with it they would have been lost."""

    @classmethod
    async def of(cls, hosts: Fleet, what: str, unkept: Collection[str] = ()) -> Self:
        """Settles, counts, and prints a row."""
        passing_s = stretches(hosts)
        tally = await hosts.tally()
        longest = max(passing_s, default=0.0)
        at_risk = f"; kept by their host alone: {len(unkept)}" if unkept else ""
        tally.report(what, f"{milliseconds(tally.clicks.slowest_s)}; passing {longest:.1f} s{at_risk}")
        return cls(tally, passing_s, len(passing_s) * CONCURRENCY * len(hosts.members), frozenset(unkept))

    def assert_nothing_lost(self) -> None:
        """Who was sent to the store is counted, who was not is not; nobody saw an error."""
        self.tally.assert_nothing_lost()

    def assert_few_doubled(self) -> None:
        """Nothing is sent twice beyond what was in flight, and nothing three times."""
        assert self.tally.doubled.total() <= self.in_flight
        assert max(self.tally.accepted.values()) <= 2


def stretches(hosts: Fleet) -> list[float]:
    """Of each fault, the longest time in which all clicks of a host passed; 0 where none did."""
    spans = zip(hosts.marks[1:], [*hosts.marks[2:], time.monotonic()], strict=True)
    return [max(_stretch(load.clicks, begin, end) for load in hosts.loads) for begin, end in spans]


def _stretch(clicks: Clicks, begin: float, end: float) -> float:
    answers = sorted((at, click_id in clicks.passed) for click_id, at in clicks.when.items() if begin <= at < end)
    runs = [[at for at, _ in run] for has_passed, run in groupby(answers, key=itemgetter(1)) if has_passed]
    return max((run[-1] - run[0] for run in runs), default=0.0)


async def unkept(hosts: Fleet) -> set[str]:
    """Clicks that went direct, and that neither AppsFlyer nor the outbox knows."""
    direct = hosts.clicks.direct
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                stored = await hosts.stored()
            except EngineError:
                await asyncio.sleep(0.05)
            else:
                return direct - set(stored) - set(hosts.appsflyer.accepted)


@asynccontextmanager
async def running[Servers: AbstractContextManager[object]](servers: Servers) -> AsyncIterator[Servers]:
    """Starts and closes servers in a thread: they block."""
    await asyncio.to_thread(servers.__enter__)
    try:
        yield servers
    finally:
        await asyncio.to_thread(servers.__exit__, None, None, None)
