"""SENTINEL FAILOVER, again and again, under the load of two hosts (design §12).

The old primary goes on for seconds, and the replica that was not promoted acknowledges what will be lost with it: so a
host asks the replica that left it. The control run, in which hosts do not, shows the loss.

AppsFlyer answers nobody meanwhile, and in the end all hosts are killed: what the outbox does not have then is lost.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest_asyncio

from tests.support.fleet import Fleet, fleet
from tests.support.fleet_story import MOST_PASSING_S, SLOWEST_S, VERSIONS, Story, running, unkept
from tests.support.patience import IS_LONG, in_full
from tests.support.processes import ADDON
from tests.support.seats import LOOPBACK, Seat
from tests.support.sentinels import RedisSet

FAILOVERS = 20 if IS_LONG else 2
CONTROLS = 4 if IS_LONG else 1
RATE = 200
SETTINGS = ", concurrency: 1000, recovery_rate: 1000"
UNASKED = """
from storehop.deliver.redis.replicas import Replicas

Replicas.are_of_no_other = lambda self, connected: True
"""


async def play(folder: Path, version: str, seat: Seat, failovers: int, what: str) -> Story:
    """Both hosts run on such a seat."""
    at_risk: set[str] = set()
    async with (
        running(RedisSet(version)) as servers,
        fleet(folder, servers.url, seats=(seat, seat), more=SETTINGS) as hosts,
    ):
        async with hosts.loading(RATE):
            for number in range(failovers):
                await hosts.more_direct(20)
                hosts.appsflyer.fault = "hold"
                hosts.mark()
                await asyncio.to_thread(servers.failover, settle=False)
                await hosts.more_direct(20)
                at_risk |= await unkept(hosts)
                if number < failovers - 1:
                    hosts.appsflyer.fault = None
                    await asyncio.to_thread(servers.settled)
        await kill_all(hosts)
        return await Story.of(hosts, f"{failovers} failovers by Sentinel, {what}, Redis {version}", at_risk)


async def kill_all(hosts: Fleet) -> None:
    """And AppsFlyer is well again when they come back."""
    for member in hosts.members:
        await member.kill()
    hosts.appsflyer.fault = None
    await asyncio.gather(*(member.start() for member in hosts.members))


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def story(request, tmp_path_factory) -> Story:
    """As storehop is."""
    folder = tmp_path_factory.mktemp("failovers")
    return await play(folder, request.param, LOOPBACK, FAILOVERS, "planned")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def control(tmp_path_factory) -> Story:
    """Nobody asks a replica that left what it is now."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "sitecustomize.py").write_text(UNASKED)
    seat = Seat(prefix=("env", f"PYTHONPATH={folder}:{ADDON}"))
    return await play(folder, VERSIONS[0], seat, CONTROLS, "replicas unasked")


def test_nothing_is_lost(story):
    """Each click that was answered with the store is delivered, none that passed is."""
    assert frozenset() == story.unkept
    story.assert_nothing_lost()


@in_full
def test_the_control_run_loses_clicks(control):
    """Else the scene would prove nothing."""
    assert control.tally.lost


def test_nothing_is_sent_twice(story):
    """No verdict was under way at the failovers."""
    assert 0 == story.tally.doubled.total()


def test_clicks_pass_at_each_failover(story):
    """Until the Sentinels name the promoted one."""
    assert min(story.passing_s) > 0.0
    assert max(story.passing_s) < MOST_PASSING_S


def test_no_answer_is_slow(story):
    """A click waits for no failover."""
    assert story.tally.clicks.slowest_s < SLOWEST_S
