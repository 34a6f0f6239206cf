"""A Redis cluster under the load of two hosts: the outbox's slot gets another primary, and moves (design §12)."""

from __future__ import annotations

import asyncio

import pytest_asyncio

from tests.support.fleet import fleet
from tests.support.fleet_story import MOST_PASSING_S, SETTINGS, SLOWEST_S, VERSIONS, Story, running
from tests.support.patience import IS_LONG
from tests.support.redis_cluster import RedisCluster, slot_of

ROUNDS = 5 if IS_LONG else 1
RATE = 100
SLOT = slot_of("storehop")


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def story(request, tmp_path_factory) -> Story:
    """A failover by order, a kill, and a move to another shard; the load heals after each."""
    folder = tmp_path_factory.mktemp("cluster")
    async with running(RedisCluster(request.param)) as cluster, fleet(folder, cluster.url, more=SETTINGS) as hosts:
        faults = (
            lambda: cluster.failover(SLOT),
            lambda: cluster.kill_primary(SLOT),
            lambda: cluster.move_slot(SLOT, next(one for one in cluster.nodes if is_other(cluster, one))),
        )
        async with hosts.loading(RATE):
            for fault in faults * ROUNDS:
                await hosts.more_direct(20)
                hosts.mark()
                await asyncio.to_thread(fault)
            await hosts.more_direct(20)
        return await Story.of(hosts, f"{ROUNDS} failovers, kills and moves of a cluster's slot, Redis {request.param}")


def is_other(cluster: RedisCluster, node) -> bool:
    """Whether it is a primary of another shard."""
    return node.role == "master" and node is not cluster.primary(SLOT)


def test_nothing_is_lost(story):
    """Each click that was answered with the store is delivered, none that passed is."""
    story.assert_nothing_lost()


def test_little_is_sent_twice(story):
    """Verdicts that the old primary alone had: what was in flight, at the most."""
    story.assert_few_doubled()


def test_clicks_pass_for_a_short_time(story):
    """A killed primary is replaced after cluster-node-timeout, a second; until it is back there is no replica."""
    orders_and_moves = [seconds for place, seconds in enumerate(story.passing_s) if place % 3 != 1]
    assert max(orders_and_moves) < MOST_PASSING_S


def test_no_answer_is_slow(story):
    """A click waits for no failover."""
    assert story.tally.clicks.slowest_s < SLOWEST_S
