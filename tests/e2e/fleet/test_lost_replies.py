"""Replies of the outbox that are lost after it has stored a click: it passes, and is undone (design §6.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.support.clients import Answer
from tests.support.fleet import Fleet, fleet
from tests.support.load import until
from tests.support.patience import IS_LONG, SOON_S
from tests.support.redis_servers import RedisServer
from tests.support.scenes import new_id
from tests.support.tally import Tally, milliseconds
from tests.support.tcp_faults import Fault, FaultyWay

LOSSES = 20 if IS_LONG else 3
CONNECTIONS = 8
"""Of users, at each host: so many clicks may be under way when replies begin to be lost."""
LEASE_S = 3.0
"""The timeout of calls, and a second."""
SLOWEST_S = 0.6 if IS_LONG else SOON_S


@asynccontextmanager
async def two_ways(folder: Path) -> AsyncIterator[tuple[Fleet, FaultyWay]]:
    """Two hosts on one Redis; the first one's way to it has a fault, when told."""
    with RedisServer() as server:
        async with FaultyWay(server.port) as way:
            urls = [f"redis://127.0.0.1:{way.port}", server.url]
            more = f", timeout: {LEASE_S - 1:g}s"
            async with fleet(folder, urls, "--outbox-replicas", "0", url=lambda: server.url, more=more) as hosts:
                yield hosts, way


@dataclass(frozen=True, slots=True)
class Story:
    tally: Tally
    passed_first: int
    """Clicks that passed at the host whose replies were lost."""
    same: list[Answer]
    """The click whose reply was lost: its answer, and that of the same click at the other host. Or such clicks."""
    sent: int = 0
    """Of such clicks, how many calls AppsFlyer got."""


async def lose(hosts: Fleet, way: FaultyWay, seconds: float) -> None:
    """Replies of the first host are lost for so long, at least until a click has passed."""
    passed = len(hosts.loads[-2].clicks.passed)
    hosts.mark()
    await way.set(Fault.REPLIES_LOST)
    await asyncio.sleep(seconds)
    await until(lambda: len(hosts.loads[-2].clicks.passed) > passed, SOON_S)
    await way.set(Fault.NONE)
    await hosts.more_direct(10)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def undone(tmp_path_factory) -> Story:
    """Replies are lost for a moment, again and again; then for one click alone, which comes again elsewhere."""
    async with two_ways(tmp_path_factory.mktemp("lost")) as (hosts, way):
        async with hosts.loading(100, CONNECTIONS):
            await hosts.more_direct(20)
            for _ in range(LOSSES):
                await lose(hosts, way, 0.2)
        log = hosts.members[0].host.log
        await until(lambda: log.text.count("works again") == log.text.count("can't be used"), SOON_S)
        before = log.text.count("works again")
        await way.set(Fault.REPLIES_LOST)
        same = [await hosts.click_on(hosts.members[0], click_id := new_id())]
        await way.set(Fault.NONE)
        await until(lambda: log.text.count("works again") > before, SOON_S)  # the undo is written by then
        same.append(await hosts.click_on(hosts.members[1], click_id))
        tally = await hosts.tally()
    tally.report(f"{LOSSES} times the outbox's replies to a host are lost")
    return Story(tally, len(hosts.loads[0].clicks.passed), same)


def test_nothing_is_lost_and_nothing_that_passed_is_sent(undone):
    """What was stored and not known of is withdrawn as soon as that can be written."""
    undone.tally.assert_nothing_lost()


def test_clicks_pass_meanwhile(undone):
    """At the host that hears nothing."""
    assert undone.passed_first >= LOSSES


def test_nothing_is_sent_twice(undone):
    """Verdicts whose reply was lost are written, or written again."""
    assert 0 == undone.tally.doubled.total()


def test_the_same_click_passes_at_the_other_host(undone):
    """Within ten seconds: whoever passed once passes again."""
    first, again = undone.same
    assert (first.location, "app.appsflyer.com") == (again.location, first.location.split("/")[2])


def test_no_answer_is_slow(undone):
    """A click waits 0.3 s at the most."""
    assert undone.tally.clicks.slowest_s < SLOWEST_S


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cut_off(tmp_path_factory) -> Story:
    """The undo is cut off too, until its leases have lapsed and the other host has sent what was stored."""
    async with two_ways(tmp_path_factory.mktemp("cut")) as (hosts, way):
        async with hosts.loading(100, CONNECTIONS):
            await hosts.more_direct(20)
            await lose(hosts, way, LEASE_S + 3.0)
        await hosts.settle()
        await way.set(Fault.REPLIES_LOST)
        ids = [new_id() for _ in range(CONNECTIONS)]
        same = await asyncio.gather(*(hosts.click_on(hosts.members[0], one) for one in ids))
        await asyncio.sleep(LEASE_S + 3.0)
        await way.set(Fault.NONE)
        tally = await hosts.tally()
        sent = sum(tally.accepted[one] for one in ids)
    slowest = f"{milliseconds(tally.clicks.slowest_s)}; passed and sent: {len(tally.ghosts)}, and {sent} of {len(ids)}"
    tally.report(f"the outbox's replies to a host are lost for {LEASE_S + 3:g} s, leases of {LEASE_S:g} s", slowest)
    return Story(tally, len(hosts.loads[0].clicks.passed), same, sent)


def test_what_cannot_be_undone_in_time_is_sent(cut_off):
    """A click may count twice then: those alone that were under way when the first reply was lost."""
    assert len(cut_off.tally.ghosts) <= CONNECTIONS
    assert cut_off.passed_first > len(cut_off.tally.ghosts)
    assert cut_off.sent <= CONNECTIONS
    assert {"app.appsflyer.com"} == {answer.location.split("/")[2] for answer in cut_off.same}


def test_nothing_is_lost_by_that(cut_off):
    """Who was sent to the store is counted."""
    tally = cut_off.tally
    assert (set(), frozenset(), 0, []) == (tally.lost, tally.dead, tally.pending, tally.clicks.wrong)


def test_little_is_sent_twice_by_that(cut_off):
    """Verdicts that did not arrive before their leases lapsed."""
    assert cut_off.tally.doubled.total() <= CONNECTIONS
