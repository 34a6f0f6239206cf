"""Hosts in network namespaces, cut off from each other; users, ad stack and AppsFlyer reach all of them (design §12).

A host that is cut off has a primary that takes all it says: only the replicas' silence keeps it from sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest_asyncio

from tests.support.fleet import Fleet, fleet
from tests.support.fleet_story import CONCURRENCY, MOST_PASSING_S, SETTINGS, SLOWEST_S, VERSIONS, running
from tests.support.load import Clicks, Load, until
from tests.support.namespaces import Network, NetworkHost, need_namespaces
from tests.support.patience import IS_LONG, SOON_S, in_full
from tests.support.sentinels import RedisSet
from tests.support.tally import Tally, milliseconds

CUT_S = 10.0 if IS_LONG else 4.0
RATE = 200
CONNECTIONS = 8
"""At each host: clicks that may be under way at the cut."""
LEFT_S = 1.0
"""What was under way at the cut is over then."""
AT_ONCE_S = 1.5 if IS_LONG else SOON_S


@dataclass(frozen=True, slots=True)
class Part:
    """What became of a cut."""

    tally: Tally
    alone: Clicks
    """At the host that was cut off."""
    began: float
    ended: float
    others_passing_s: float
    """The longest stretch at the others."""
    called: list[float]
    """When AppsFlyer heard of the host that was cut off."""

    @property
    def answers_alone(self) -> set[str]:
        """Clicks at the host that was cut off, while it was, but for those that were under way."""
        when = self.alone.when
        return {one for one, at in when.items() if self.began + LEFT_S < at < self.ended}

    def healed_s(self) -> float:
        """How long clicks passed there after the healing."""
        return max((self.alone.when[one] for one in self.alone.passed), default=self.ended) - self.ended


def reached(servers: RedisSet, network: Network) -> Callable[[], str]:
    """Where the tests find the primary."""
    seen_at = {host.address: host.seen_at for host in network.hosts}

    def url() -> str:
        primary = servers.primary()
        return f"redis://{seen_at[primary.host]}:{primary.port}"

    return url


async def part_of(hosts: Fleet, host: NetworkHost, what: str) -> Part:
    """Counts, and prints a row. `host` is that of the first member."""
    tally = await hosts.tally()
    began, ended = hosts.marks[1:3]
    passing_s = max(hosts.passing_s())
    tally.report(what, f"{milliseconds(tally.clicks.slowest_s)}; passing {passing_s:.1f} s")
    called = [at for calls in hosts.appsflyer.callers.values() for at, caller in calls if caller == host.seen_at]
    others_passing_s = max(replace(hosts, loads=hosts.loads[1:]).passing_s())
    return Part(tally, hosts.loads[0].clicks, began, ended, others_passing_s, called)


def assert_all_counted(tally: Tally) -> None:
    """No click that was sent to the store is lost or left over, and no user saw an error."""
    assert (set(), frozenset(), 0) == (tally.lost, tally.dead, tally.pending)
    assert ([], set()) == (tally.clicks.wrong, tally.clicks.cut)


# A: the primary and the host beside it


async def primary_cut_off(folder: Path, version: str, what: str, settings: str = SETTINGS) -> Part:
    """One in ten calls is to be sent again in three seconds: some wait for that when the cut comes."""
    need_namespaces()
    async with (
        running(Network(3)) as network,
        running(RedisSet(version, [host.seat for host in network.hosts])) as servers,
        fleet(
            folder,
            servers.url,
            seats=network.hosts[:2],
            url=reached(servers, network),
            outside=network.outside,
            more=settings,
        ) as hosts,
    ):
        hosts.appsflyer.fault = "later"
        async with hosts.loading(RATE, CONNECTIONS):
            await hosts.more_direct(100)
            old = servers.primary()
            hosts.mark()
            await asyncio.to_thread(network.cut, network.hosts[0])
            await asyncio.gather(asyncio.sleep(CUT_S), asyncio.to_thread(servers.followed, old))
            hosts.mark()
            await asyncio.to_thread(network.heal, network.hosts[0])
            await hosts.more_direct(100)
        await asyncio.to_thread(servers.settled)
        return await part_of(hosts, network.hosts[0], f"primary and one host cut off {CUT_S:g} s, {what}")


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def primary_alone(request, tmp_path_factory) -> Part:
    folder = tmp_path_factory.mktemp("primary-alone")
    return await primary_cut_off(folder, request.param, f"Redis {request.param}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def control(tmp_path_factory) -> Part:
    """No replica has to acknowledge anything."""
    folder = tmp_path_factory.mktemp("control")
    return await primary_cut_off(folder, VERSIONS[0], "WAIT off", f"{SETTINGS}, outbox_replicas: 0")


def test_nothing_is_lost_with_the_primary(primary_alone):
    """Each click that was answered with the store is delivered, at whichever host."""
    assert_all_counted(primary_alone.tally)


@in_full
def test_the_control_run_loses_clicks(control):
    """Else the scene would prove nothing."""
    assert control.tally.lost


def test_beside_a_primary_that_is_cut_off_all_clicks_pass(primary_alone):
    """And users wait for none of them."""
    assert primary_alone.answers_alone
    assert primary_alone.answers_alone <= primary_alone.alone.passed


def test_beside_a_primary_that_is_cut_off_nothing_is_claimed(primary_alone):
    """AppsFlyer hears nothing of that host, which it could reach all the time."""
    began, ended = primary_alone.began + LEFT_S, primary_alone.ended

    assert not [at for at in primary_alone.called if began < at < ended]


def test_of_clicks_that_passed_only_those_under_way_at_the_cut_are_sent(primary_alone):
    """A replica had them, and could not say so; their withdrawal came after their lease's end."""
    assert len(primary_alone.tally.ghosts) <= CONNECTIONS


def test_what_is_sent_twice_was_in_flight_at_the_cut(primary_alone):
    """Verdicts that the old primary alone had."""
    assert primary_alone.tally.doubled.total() <= CONCURRENCY
    assert max(primary_alone.tally.accepted.values()) <= 2


def test_the_other_hosts_have_another_primary_soon(primary_alone):
    """Sentinels take a second longer to miss one that is silent than one that is dead."""
    assert primary_alone.others_passing_s < MOST_PASSING_S + 1


def test_a_host_that_is_back_leaves_the_old_primary_at_once(primary_alone):
    """Which is one still for seconds, as the Sentinel beside it says."""
    assert primary_alone.healed_s() < AT_ONCE_S


def test_no_answer_is_slow_when_the_primary_is_cut_off(primary_alone):
    """Nor after that."""
    assert primary_alone.tally.clicks.slowest_s < SLOWEST_S


# B: both replicas


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def replicas_alone(request, tmp_path_factory) -> Part:
    """Two hosts stay with the primary."""
    need_namespaces()
    async with (
        running(Network(4)) as network,
        running(RedisSet(request.param, [host.seat for host in network.hosts[:3]])) as servers,
        fleet(
            tmp_path_factory.mktemp("replicas-alone"),
            servers.url,
            seats=[network.hosts[0], network.hosts[3]],
            url=reached(servers, network),
            outside=network.outside,
            more=SETTINGS,
        ) as hosts,
    ):
        async with hosts.loading(RATE, CONNECTIONS):
            await hosts.more_direct(100)
            hosts.mark()
            for host in network.hosts[1:3]:
                await asyncio.to_thread(network.cut, host)
            await asyncio.sleep(CUT_S)
            hosts.mark()
            for host in network.hosts[1:3]:
                await asyncio.to_thread(network.heal, host)
            await hosts.more_direct(100)
        await asyncio.to_thread(servers.settled)
        return await part_of(hosts, network.hosts[0], f"both replicas cut off {CUT_S:g} s, Redis {request.param}")


@in_full
def test_without_replicas_all_clicks_pass(replicas_alone):
    """The primary takes them, but nobody else says that it has them."""
    assert replicas_alone.answers_alone
    assert replicas_alone.answers_alone <= replicas_alone.alone.passed


@in_full
def test_what_no_replica_has_is_withdrawn(replicas_alone):
    """Nothing is sent for a click that passed, and nothing twice; and nothing is lost."""
    replicas_alone.tally.assert_nothing_lost()
    assert not replicas_alone.tally.doubled


@in_full
def test_with_its_replicas_back_it_goes_on(replicas_alone):
    """When TCP asks again: after as long again as the cut, at the most. Or one of them was promoted."""
    assert replicas_alone.healed_s() < MOST_PASSING_S + CUT_S


@in_full
def test_no_answer_is_slow_without_replicas(replicas_alone):
    """WAIT ends after `outbox_wait`."""
    assert replicas_alone.tally.clicks.slowest_s < SLOWEST_S


# C: one host, with what it has leased


LEASED = 500 if IS_LONG else 16
TIMEOUT_S = 10 if IS_LONG else 3
LEASE_S = TIMEOUT_S + 1
RECOVERY_RATE = 50
AT_MOST_S = LEASE_S + 1.5 + LEASED / RECOVERY_RATE if IS_LONG else SOON_S
"""After the cut: a lease, half a second for verdicts on their way, a look at the outbox; then so many a second."""


@dataclass(frozen=True, slots=True)
class Alone:
    """What became of a host's leased calls."""

    tally: Tally
    hung: set[str]
    """Clicks whose calls AppsFlyer did not answer."""
    held: set[str]
    """Clicks whose calls it answered after the cut, when the host could tell nobody any more."""
    delivered_s: float
    """How long after the cut another host had sent all."""

    def counted(self, ids: set[str]) -> set[int]:
        """How often AppsFlyer counted these."""
        return {self.tally.accepted[one] for one in ids}


async def in_flight(hosts: Fleet, fault: str) -> set[str]:
    """Clicks at the first host whose calls AppsFlyer has, and treats like this."""
    hosts.appsflyer.fault = fault
    member, load = hosts.members[0], Load(f"{fault}-", hosts.members[0].address)
    hosts.loads.append(load)
    await load.run(member.port, connections=25, most=LEASED // 2)
    assert await until(lambda: load.clicks.direct <= set(hosts.appsflyer.seen), SOON_S), "AppsFlyer has them"
    return load.clicks.direct


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host_alone(tmp_path_factory) -> Alone:
    """Half of its calls hang, the other half have an answer after the cut."""
    need_namespaces()
    async with (
        running(Network(4)) as network,
        running(RedisSet(VERSIONS[0], [host.seat for host in network.hosts[:3]])) as servers,
        fleet(
            tmp_path_factory.mktemp("host-alone"),
            servers.url,
            seats=[network.hosts[3], network.hosts[0]],
            url=reached(servers, network),
            outside=network.outside,
            more=f", concurrency: {LEASED}, timeout: {TIMEOUT_S}s, recovery_rate: {RECOVERY_RATE}",
        ) as hosts,
    ):
        return await left_alone(hosts, network, network.hosts[3])


async def left_alone(hosts: Fleet, network: Network, host: NetworkHost) -> Alone:
    """The first member is cut off until all is delivered, and comes back with its verdicts."""
    hung, held = await in_flight(hosts, "hang"), await in_flight(hosts, "hold")
    hosts.mark()
    await asyncio.to_thread(network.cut, host)
    hosts.appsflyer.fault = None
    await hosts.settle()
    await asyncio.to_thread(network.heal, host)
    async with hosts.loading(RATE):
        await hosts.more_direct(50)
    tally = await hosts.tally()
    callers = hosts.appsflyer.callers
    others = [at for one in hung | held for at, caller in callers[one] if caller != host.seen_at]
    told = Alone(tally, hung, held, max(others) - hosts.marks[1])
    what = f"one host cut off with {len(hung | held)} leased calls"
    tally.report(what, f"{milliseconds(tally.clicks.slowest_s)}; delivered after {told.delivered_s:.1f} s")
    return told


def test_others_deliver_what_a_host_that_is_cut_off_has_leased(host_alone):
    """Nothing is lost, and it does not take long."""
    assert_all_counted(host_alone.tally)
    assert host_alone.delivered_s < AT_MOST_S


def test_what_appsflyer_had_not_answered_is_counted_once(host_alone):
    """Nothing that it has counted is open, so there is nothing to be sent twice."""
    assert {1} == host_alone.counted(host_alone.hung)


def test_late_verdicts_are_refused(host_alone):
    """Whoever came back sends nothing again: what AppsFlyer had counted comes twice at the most."""
    assert host_alone.counted(host_alone.held) <= {1, 2}


def test_nothing_else_is_sent_twice(host_alone):
    """Only what was in flight, and had an answer that nobody could be told of."""
    assert set(host_alone.tally.doubled) <= host_alone.held
