"""The wall clock of a primary jumps, or that of the next primary is elsewhere (design §12).

The outbox has one clock, the primary's, and it never goes back: so a clock that is set back does nothing at all. One
that is set forward makes all that is stored older: leases end early, answers are forgotten early, and what waited to be
sent again may be given up as too old.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from tests.support.fleet import Fleet, fleet
from tests.support.fleet_story import CONCURRENCY, SETTINGS, SLOWEST_S, VERSIONS, running
from tests.support.machine_faults import JumpingClock
from tests.support.patience import IS_LONG, in_full
from tests.support.redis_servers import RedisServer
from tests.support.seats import LOOPBACK
from tests.support.sentinels import RedisSet
from tests.support.tally import Tally, milliseconds

RATE = 200
HOUR_S = 3600
FAR_S = 2
"""How far the clocks of two primaries are apart."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a jump."""

    tally: Tally
    waiting: set[str]
    """Clicks whose calls were stored when the clock jumped."""
    accepted: Counter[str]
    """How often AppsFlyer has counted clicks of all kinds."""
    seen: tuple[float, float]
    """The outbox's clock before and after the jump."""

    @property
    def unsent(self) -> set[str]:
        """Clicks that were sent to the store, and never counted."""
        return self.tally.clicks.direct - set(self.accepted)


def clock_of(server: RedisServer) -> float:
    """The outbox's, in seconds."""
    return float(server.client().hget("{storehop}:state", "seen") or 0) / 1000


async def told(hosts: Fleet, what: str, loads: int, waiting: set[str], seen: tuple[float, float]) -> Told:
    """Counts the last loads, and prints a row."""
    ours = replace(hosts, loads=hosts.loads[loads:], marks=[hosts.marks[0], hosts.marks[-1]])
    tally = await ours.tally()
    accepted = Counter(hosts.appsflyer.accepted)
    clicks = tally.clicks.direct | tally.clicks.passed
    tally = replace(
        tally,
        accepted=Counter({one: accepted[one] for one in clicks & set(accepted)}),
        dead=frozenset(clicks & tally.dead),
    )
    slowest, passing_s = milliseconds(tally.clicks.slowest_s), max(ours.passing_s())
    tally.report(what, f"{slowest}; passing {passing_s:.1f} s; given up: {len(tally.dead)}")
    return Told(tally, waiting, accepted, seen)


# One primary's clock is set


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary whose clock can be set, and a replica."""

    primary: RedisServer
    clock: JumpingClock
    hosts: Fleet

    async def jump(self, seconds: int, what: str) -> Told:
        """To so many seconds ahead, under load; one call in ten waits three seconds to be sent again."""
        loads = len(self.hosts.loads)
        self.hosts.appsflyer.fault = "later"
        async with self.hosts.loading(RATE):
            await self.hosts.more_direct(100)
            self.hosts.mark()
            waiting = set(await self.hosts.stored())
            before = clock_of(self.primary)
            self.clock.jump(seconds)
            await self.hosts.more_direct(100)
        after = clock_of(self.primary)
        return await told(self.hosts, f"{what}, Redis {self.primary.version}", loads, waiting, (before, after))


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def pair(request, tmp_path_factory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    clock = JumpingClock(folder)
    primary = RedisServer(request.param, prefix=clock.prefix)
    async with (
        running(primary),
        running(RedisServer(request.param, replica_of=primary.address)),
        fleet(folder, primary.url, more=SETTINGS) as hosts,
    ):
        yield Pair(primary, clock, hosts)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backward(pair) -> Told:
    return await pair.jump(-HOUR_S, "primary's clock set back an hour")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forward(pair, backward) -> Told:
    """From an hour behind to an hour ahead of where it began."""
    return await pair.jump(HOUR_S, "primary's clock set forward two hours")


def test_a_clock_that_is_set_back_does_nothing(backward):
    """Nothing is lost, nothing is sent twice, nothing is given up."""
    backward.tally.assert_nothing_lost()
    assert not backward.tally.doubled


def test_the_outbox_goes_on_to_count_time(backward):
    """From where it was."""
    before, after = backward.seen

    assert before < after < before + HOUR_S


def test_after_a_jump_forward_only_what_waited_is_given_up(forward):
    """It is too old by the only clock that there is; a person may revive it. Everything else is counted."""
    assert forward.unsent <= forward.tally.dead
    assert len(forward.unsent) <= len(forward.waiting) + 2 * CONCURRENCY
    assert not forward.tally.pending


def test_after_a_jump_forward_little_is_sent_twice(forward):
    """Leases end early: what was in flight, at the most."""
    assert forward.tally.doubled.total() <= 2 * CONCURRENCY
    assert not forward.tally.ghosts


@pytest.mark.parametrize("scene", ["backward", "forward"])
def test_no_user_waits_for_a_clock(scene, backward, forward):
    """The server says that a batch came too late when somebody has set its clock: it is asked again at once."""
    clicks = {"backward": backward, "forward": forward}[scene].tally.clicks

    assert ([], set()) == (clicks.wrong, clicks.cut)
    assert clicks.slowest_s < SLOWEST_S
    if IS_LONG:
        assert not clicks.passed or scene == "forward"  # the primary lets its replicas go, which come back in a second


# Another primary with a clock of its own


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[-FAR_S, FAR_S], ids=["behind", "ahead"])
async def followed(request, tmp_path_factory) -> Told:
    """The primary is killed; both replicas' clocks are two seconds behind its own, or ahead of it."""
    folder = tmp_path_factory.mktemp("followed")
    clock = JumpingClock(folder)
    clock.jump(request.param)
    seats = [LOOPBACK, LOOPBACK.on(*clock.prefix), LOOPBACK.on(*clock.prefix)]
    async with running(RedisSet(VERSIONS[0], seats)) as servers, fleet(folder, servers.url, more=SETTINGS) as hosts:
        old = servers.primary()
        hosts.appsflyer.fault = "later"
        async with hosts.loading(RATE):
            await hosts.more_direct(100)
            waiting = set(await hosts.stored())
            before = clock_of(old)
            hosts.mark()
            old.kill()
            new = await asyncio.to_thread(servers.followed, old)
            await hosts.more_direct(100)
        after = clock_of(new)
        what = "ahead" if request.param > 0 else "behind"
        return await told(hosts, f"next primary's clock {FAR_S} s {what}", 0, waiting, (before, after))


@in_full
def test_nothing_is_lost_where_clocks_differ(followed):
    """Two seconds are less than the time that a lease has left beside a call."""
    followed.tally.assert_nothing_lost()


@in_full
def test_little_is_sent_twice_where_clocks_differ(followed):
    """Verdicts that the killed primary alone had: what was in flight, at the most."""
    assert followed.tally.doubled.total() <= 2 * CONCURRENCY


@in_full
def test_the_outbox_counts_on_from_primary_to_primary(followed):
    """Whatever their clocks say."""
    before, after = followed.seen

    assert before < after
