"""A primary or a replica that does nothing for a while, or whose disk is slow (design §12).

Every click is answered within the outbox's patience, with the original link where it can't be stored; what a server
does too late is refused or withdrawn; and it heals by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest_asyncio
import redis

from tests.support.fleet import Fleet, fleet
from tests.support.fleet_story import CONCURRENCY, SETTINGS, SLOWEST_S, VERSIONS, running
from tests.support.machine_faults import SlowDisk
from tests.support.patience import IS_LONG, SOON_S
from tests.support.redis_servers import RedisServer
from tests.support.sentinels import RedisSet
from tests.support.tally import Tally, milliseconds

RATE = 200
PAUSE_S = 5.0 if IS_LONG else 2.0
HEALED_S = 1.5 if IS_LONG else SOON_S
"""After a fault's end."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one fault."""

    tally: Tally
    ended: float
    last_passed: float
    """When; the fault's end where nothing passed after it."""

    @property
    def healed_s(self) -> float:
        return self.last_passed - self.ended


async def told(hosts: Fleet, what: str, fault: Callable[[], Awaitable[object]]) -> Told:
    """A load, and in its midst a fault that lasts as long as `fault` does. Clicks of earlier ones don't count."""
    loads = len(hosts.loads)
    async with hosts.loading(RATE):
        await hosts.more_direct(50)
        hosts.mark()
        await fault()
        hosts.mark()
        await hosts.more_direct(50)
    ours = replace(hosts, loads=hosts.loads[loads:], marks=[hosts.marks[0], *hosts.marks[-2:]])
    all_told = await ours.tally()
    ids = ours.clicks.direct | ours.clicks.passed
    tally = replace(all_told, accepted=Counter({one: all_told.accepted[one] for one in ids & set(all_told.accepted)}))
    slowest, passing_s = milliseconds(tally.clicks.slowest_s), max(ours.passing_s())
    tally.report(what, f"{slowest}; passing {passing_s:.1f} s")
    last = max((ours.clicks.when[one] for one in ours.clicks.passed), default=0.0)
    return Told(tally, ours.marks[-1], max(last, ours.marks[-1]))


# A primary with one replica, and nobody who promotes it


@dataclass(frozen=True, slots=True)
class Pair:
    """The replica is needed: `outbox_replicas` is 1."""

    primary: RedisServer
    replica: RedisServer
    disk: SlowDisk
    hosts: Fleet

    async def stopped(self, server: RedisServer) -> None:
        server.stop()
        await asyncio.sleep(PAUSE_S)
        server.cont()

    async def disk_of(self, delay_s: float | None) -> None:
        """None: it hangs."""
        self.disk.hang() if delay_s is None else self.disk.delay(delay_s)
        await asyncio.sleep(PAUSE_S)
        self.disk.delay(0.0)

    async def client_pause(self) -> None:
        """Everything but what writes is answered."""
        self.primary.client().client_pause(2000, all=False)
        await asyncio.sleep(2)

    async def debug_sleep(self) -> None:
        """It does one thing, for long."""

        def sleeps() -> None:
            with suppress(redis.TimeoutError):
                self.primary.client().execute_command("DEBUG", "SLEEP", 2)

        await asyncio.to_thread(sleeps)


FAULTS: dict[str, Callable[[Pair], Awaitable[None]]] = {
    f"primary stopped {PAUSE_S:g} s, no Sentinels": lambda pair: pair.stopped(pair.primary),
    f"the only replica stopped {PAUSE_S:g} s": lambda pair: pair.stopped(pair.replica),
    "fsync takes 500 ms": lambda pair: pair.disk_of(0.5),
    "fsync hangs": lambda pair: pair.disk_of(None),
    "CLIENT PAUSE 2000 WRITE": Pair.client_pause,
    "DEBUG SLEEP 2": Pair.debug_sleep,
}
"""Faults during which no click can be stored."""
PLAYED = list(FAULTS) if IS_LONG else [name for name in FAULTS if not name.endswith((" 500 ms", "SLEEP 2"))]
SLOW_DISK = "fsync takes 50 ms"


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def pair(request, tmp_path_factory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    disk = SlowDisk(folder)
    primary = RedisServer(request.param, prefix=disk.prefix, enable_debug_command="yes")
    replica = RedisServer(request.param, replica_of=primary.address)
    async with (
        running(primary),
        running(replica),
        fleet(folder, primary.url, more=SETTINGS) as hosts,
    ):
        yield Pair(primary, replica, disk, hosts)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=PLAYED)
async def paused(request, pair) -> Told:
    """Each fault in turn."""
    return await told(pair.hosts, f"{request.param}, Redis {pair.primary.version}", lambda: FAULTS[request.param](pair))


def test_nothing_is_lost_and_nothing_sent_for_clicks_that_passed(paused):
    """What the server does when it goes on is too late, and refused; what it had done is withdrawn."""
    paused.tally.assert_nothing_lost()


def test_nothing_is_sent_twice(paused):
    """A verdict that could not be written is written later, by the host that has the lease."""
    assert not paused.tally.doubled


def test_clicks_pass_meanwhile(paused):
    """There is nobody else who could store them."""
    assert paused.tally.clicks.passed


def test_it_heals_by_itself(paused):
    """Hosts ask every third of a second."""
    assert paused.healed_s < HEALED_S


def test_no_user_waits(paused):
    """The first ones as long as the outbox's patience, the others not at all."""
    assert paused.tally.clicks.slowest_s < SLOWEST_S


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow(pair) -> Told:
    return await told(pair.hosts, f"{SLOW_DISK}, Redis {pair.primary.version}", lambda: pair.disk_of(0.05))


def test_a_disk_that_is_slow_is_waited_for(slow):
    """As long as a click may wait: an answer takes up to three batches' syncs, so that some pass."""
    slow.tally.assert_nothing_lost()
    assert not slow.tally.doubled
    assert slow.tally.clicks.slowest_s < SLOWEST_S
    assert slow.healed_s < HEALED_S


# A primary, two replicas and three Sentinels


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def trio(request, tmp_path_factory) -> AsyncIterator[tuple[RedisSet, Fleet]]:
    async with (
        running(RedisSet(request.param)) as servers,
        fleet(tmp_path_factory.mktemp("trio"), servers.url, more=SETTINGS) as hosts,
    ):
        yield servers, hosts


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica_stopped(trio) -> Told:
    """The other one goes on."""
    servers, hosts = trio
    replica = next(one for one in servers.servers if one is not servers.primary())

    async def fault() -> None:
        replica.stop()
        await asyncio.sleep(PAUSE_S)
        replica.cont()

    try:
        return await told(hosts, f"one of two replicas stopped {PAUSE_S:g} s, Redis {replica.version}", fault)
    finally:
        await asyncio.to_thread(servers.settled)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def failed_over(trio, replica_stopped) -> Told:
    """It goes on when another one has been promoted: then it is a primary for some seconds more."""
    servers, hosts = trio
    old = servers.primary()

    async def fault() -> None:
        old.stop()
        await asyncio.gather(asyncio.sleep(PAUSE_S), asyncio.to_thread(servers.followed, old))
        old.cont()

    try:
        return await told(hosts, f"primary stopped {PAUSE_S:g} s, Sentinels, Redis {old.version}", fault)
    finally:
        await asyncio.to_thread(servers.settled)


def test_one_replica_of_two_is_enough(replica_stopped):
    """The other one acknowledges."""
    replica_stopped.tally.assert_nothing_lost()
    assert not replica_stopped.tally.doubled
    if IS_LONG:
        assert not replica_stopped.tally.clicks.passed


def test_a_primary_that_stops_is_followed(failed_over):
    """What it does when it goes on is refused; what was in flight may be sent twice."""
    failed_over.tally.assert_nothing_lost()
    assert failed_over.tally.doubled.total() <= 2 * CONCURRENCY


def test_nobody_goes_back_to_a_primary_that_was_stopped(failed_over):
    """Clicks pass no more when it goes on."""
    assert failed_over.healed_s < HEALED_S


def test_no_user_waits_for_a_replica(replica_stopped):
    """WAIT ends with the first one that acknowledges."""
    assert replica_stopped.tally.clicks.slowest_s < SLOWEST_S


def test_no_user_waits_for_a_failover(failed_over):
    """The first ones as long as the outbox's patience, the others not at all."""
    assert failed_over.tally.clicks.slowest_s < SLOWEST_S
