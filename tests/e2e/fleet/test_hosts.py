"""A host that ends or stands still with calls in flight: others deliver them when its leases lapse (design §12)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio

from tests.support.fleet import Fleet, fleet
from tests.support.fleet_story import running
from tests.support.load import Load, until
from tests.support.patience import IS_LONG, SOON_S, in_full
from tests.support.redis_servers import RedisServer
from tests.support.seats import LOOPBACK
from tests.support.tally import Tally

TIMEOUT_S = 5
WITHIN_S = TIMEOUT_S + 2 if IS_LONG else SOON_S
"""The suite's machine does other things, too: there it is no figure."""
CONCURRENCY = 64
MANY, CROWDS_RATE = (500, 50) if IS_LONG else (100, 10)
CROWDS_TIMEOUT_S = 10
"""None of many calls has timed out before their host is killed."""
STOPPED, WAITING = 8, 12
"""Calls of the host that stands still: those that it sends at the same time, and those that wait for their turn."""
REFUSED = "was lost: whoever has it now decides"


@dataclass(slots=True)
class Left:
    """What a host left behind, and what became of it."""

    at: float
    """When it ended."""
    clicks: list[str]
    """Oldest first."""
    in_flight: frozenset[str]
    """Calls that had begun."""
    tally: Tally
    delivered: dict[str, float] = field(default_factory=dict)
    """When each was, in seconds after that."""
    log: str = ""
    """Of the host that stood still."""


async def leave(hosts: Fleet, clicks: int, rate: float, in_flight: int) -> list[str]:
    """So many clicks at the first host, which gets no answer for any. Their ids, oldest first.

    Returns when so many calls have begun.
    """
    load = Load("left-")
    hosts.loads.append(load)
    hosts.appsflyer.fault = "hold"
    await load.run(hosts.members[0].port, connections=16, rate=rate, most=clicks)
    assert await until(lambda: len(hosts.appsflyer.seen) >= in_flight, SOON_S)
    return sorted(load.clicks.direct, key=load.clicks.when.__getitem__)


async def delivered(hosts: Fleet, at: float, clicks: list[str], what: str) -> Left:
    """Tells what became of them, and prints a row."""
    in_flight = frozenset(hosts.appsflyer.seen)
    hosts.appsflyer.fault = None
    tally = await hosts.tally()
    times = {one: hosts.appsflyer.when[one] - at for one in clicks}
    tally.report(what, f"{max(times.values()):.1f} s until all were delivered")
    return Left(at, clicks, in_flight, tally, times)


async def kill_with(folder: Path, clicks: int, rate: float, more: str) -> Left:
    """The first of three hosts is killed with so many calls in flight."""
    more += f", concurrency: {clicks}"
    async with (
        running(RedisServer()) as server,
        fleet(folder, server.url, "--outbox-replicas", "0", seats=(LOOPBACK,) * 3, more=more) as hosts,
    ):
        left = await leave(hosts, clicks, rate, clicks)
        await hosts.members[0].kill()
        return await delivered(hosts, time.monotonic(), left, f"a host killed, {clicks} in flight")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def killed(tmp_path_factory) -> Left:
    """With as many calls as a host sends at the same time, which came within two seconds."""
    folder = tmp_path_factory.mktemp("killed")
    return await kill_with(folder, CONCURRENCY, CONCURRENCY / 2, f", timeout: {TIMEOUT_S}s")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowd(tmp_path_factory) -> Left:
    """With more calls than recovery sends in a second, which came as fast as they could."""
    folder = tmp_path_factory.mktemp("crowd")
    more = f", timeout: {CROWDS_TIMEOUT_S}s, recovery_rate: {CROWDS_RATE}"
    return await kill_with(folder, MANY, 1000, more)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stopped(tmp_path_factory) -> Left:
    """A host stands still until others have delivered what it had; then it goes on."""
    more = f", timeout: 2s, concurrency: {STOPPED}"
    async with (
        running(RedisServer()) as server,
        fleet(tmp_path_factory.mktemp("stopped"), server.url, "--outbox-replicas", "0", more=more) as hosts,
    ):
        clicks = await leave(hosts, STOPPED + WAITING, 100, STOPPED)
        first = hosts.members[0]
        first.stop()
        what = f"a host stopped, {STOPPED} in flight, {WAITING} waiting"
        left = await delivered(hosts, time.monotonic(), clicks, what)
        first.cont()
        await until(lambda: first.host.log.text.count(REFUSED) >= STOPPED, SOON_S)
        left.log, left.tally = first.host.log.text, await hosts.tally()
        left.tally.report("and it goes on")
        return left


def test_what_a_killed_host_had_is_delivered(killed):
    """By the others: nothing is lost, nothing is left over."""
    assert CONCURRENCY == len(killed.in_flight)
    killed.tally.assert_nothing_lost()


def test_it_is_delivered_soon(killed):
    """Its leases last a second longer than a call may take; who looks for them comes about once a second."""
    assert max(killed.delivered.values()) <= WITHIN_S


@in_full
def test_a_crowd_is_delivered(crowd):
    """All of it."""
    assert MANY == len(crowd.clicks)
    crowd.tally.assert_nothing_lost()


@in_full
def test_a_crowd_is_delivered_at_the_recovery_rate(crowd):
    """For all hosts together."""
    times = sorted(crowd.delivered.values())
    seconds = times[-1] - times[0]

    assert MANY / seconds <= CROWDS_RATE * 1.1
    assert not IS_LONG or MANY / seconds >= CROWDS_RATE * 0.8


@in_full
def test_a_crowd_is_delivered_newest_first(crowd):
    """As soon as all leases have lapsed: of two calls the newer one, or both within half a second."""
    age = {click: number for number, click in enumerate(reversed(crowd.clicks))}
    all_due_s = CROWDS_TIMEOUT_S + 2.0
    late = sorted((at, age[click]) for click, at in crowd.delivered.items() if at > all_due_s)
    wrong = [(a, b) for at, a in late for later, b in late if later - at > 0.5 and b < a]

    assert len(late) > MANY / 3
    assert [] == wrong


def test_what_a_stopped_host_had_is_delivered(stopped):
    """By the other one; and nothing is lost when it goes on."""
    stopped.tally.assert_nothing_lost()


def test_its_late_verdicts_are_refused(stopped):
    """Others have the calls; it says so of each that was in flight."""
    assert STOPPED == len(stopped.in_flight)
    assert STOPPED == stopped.log.count(REFUSED)


def test_only_what_was_in_flight_is_sent_twice(stopped):
    """What waited for its turn is not sent by a host that has lost the lease."""
    assert set(stopped.tally.doubled) <= stopped.in_flight
    assert max(stopped.tally.accepted.values()) <= 2
