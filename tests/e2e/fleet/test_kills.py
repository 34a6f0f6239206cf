"""kill -9 of the primary, again and again, under the load of two hosts (design §12)."""

from __future__ import annotations

import asyncio

import pytest_asyncio

from tests.support.fleet import fleet
from tests.support.fleet_story import MOST_PASSING_S, SETTINGS, SLOWEST_S, VERSIONS, Story, running
from tests.support.patience import IS_LONG
from tests.support.sentinels import RedisSet

KILLS = 20 if IS_LONG else 2
RATE = 100


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def story(request, tmp_path_factory) -> Story:
    """Each killed primary comes back as a replica before the next one is killed."""
    folder = tmp_path_factory.mktemp("kills")
    async with running(RedisSet(request.param)) as servers, fleet(folder, servers.url, more=SETTINGS) as hosts:
        async with hosts.loading(RATE):
            for _ in range(KILLS):
                await hosts.more_direct(50)
                hosts.mark()
                await asyncio.to_thread(servers.kill_primary)
            await hosts.more_direct(50)
        return await Story.of(hosts, f"{KILLS} kills of the primary, Redis {request.param}")


def test_nothing_is_lost(story):
    """Each click that was answered with the store is delivered, none that passed is."""
    story.assert_nothing_lost()


def test_little_is_sent_twice(story):
    """Verdicts that the killed primary alone had: what was in flight, at the most."""
    story.assert_few_doubled()


def test_clicks_pass_at_each_kill(story):
    """Until the Sentinels have agreed on another primary."""
    assert min(story.passing_s) > 0.0
    assert max(story.passing_s) < MOST_PASSING_S


def test_no_answer_is_slow(story):
    """A click waits for no failover."""
    assert story.tally.clicks.slowest_s < SLOWEST_S
