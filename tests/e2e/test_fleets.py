"""The fleet that tests of a shared outbox play on: hosts that are killed and stopped, here on one file."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from tests.support.fleet import Fleet, fleet
from tests.support.load import Load
from tests.support.namespaces import Network, need_namespaces
from tests.support.patience import SOON_S
from tests.support.scenes import new_id, play


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    async with fleet(folder, str(folder / "outbox.db")) as made:
        yield made


async def test_each_host_takes_clicks(hosts):
    """And the one AppsFlyer gets them."""
    ids = [new_id() for _ in hosts.members]
    answers = [await hosts.click_on(member, one) for member, one in zip(hosts.members, ids, strict=True)]
    await hosts.settle(SOON_S)

    assert [play(one) for one in ids] == [answer.location for answer in answers]
    assert [1, 1] == [hosts.appsflyer.accepted[one] for one in ids]


async def test_a_killed_host_comes_back(hosts):
    """The load goes on at the other one meanwhile; nothing is lost, and the tally says so."""
    first, _ = hosts.members
    async with hosts.loading(rate=100):
        await hosts.more_direct(20)
        hosts.mark()
        await first.kill()
        await hosts.more_direct(20)
        await first.start()
        await hosts.more_direct(20)
    tally = await hosts.tally()

    assert (set(), set(), 0) == (tally.lost, tally.ghosts, tally.pending)
    assert len(tally.clicks.direct) >= 100


async def test_a_stopped_host_answers_later(hosts):
    """Its users wait."""
    first, _ = hosts.members
    first.stop()
    asking = asyncio.create_task(hosts.click_on(first, new_id()))
    _, waiting = await asyncio.wait([asking], timeout=0.3)
    first.cont()

    assert (1, 302) == (len(waiting), (await asking).status)


def test_what_passed_is_known_of_each_fault():
    """A direct click at the same host ends a stretch, one at another host does not."""
    first, second = Load("first-"), Load("second-")
    first.clicks.when = {"a": 101.0, "b": 102.5, "c": 102.6, "d": 104.0}
    first.clicks.passed, first.clicks.direct = {"a", "b", "d"}, {"c"}
    second.clicks.when, second.clicks.direct = {"e": 102.0}, {"e"}
    of_two = Fleet(str, [], None, [first, second], [0.0, 100.0, 200.0])

    assert [(101.0, 102.5), (104.0, 104.0)] == of_two.stretches()
    assert ([1.5, 0.0], [3.0, 0.0]) == (of_two.passing_s(), of_two.troubled_s())


@pytest.fixture
def network():
    need_namespaces()
    with Network(2) as made:
        yield made


async def test_hosts_may_be_cut_off_from_the_outside(network, tmp_path):
    """Each in a network namespace: what AppsFlyer can't be told then, it is told later."""
    async with fleet(tmp_path, str(tmp_path / "outbox.db"), seats=network.hosts, outside=network.outside) as hosts:
        async with hosts.loading(rate=50):
            await hosts.more_direct(10)
            network.cut_outside(network.hosts[0])
            await asyncio.sleep(0.5)
            network.heal_outside(network.hosts[0])
            await hosts.more_direct(10)
        tally = await hosts.tally()

    tally.assert_nothing_lost()
