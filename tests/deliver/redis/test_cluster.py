"""The cluster that the tests of the outbox on Redis run."""

from __future__ import annotations

import pytest
import redis

from tests.support.redis_cluster import RedisCluster, slot_of
from tests.support.redis_servers import BINARIES

pytestmark = pytest.mark.process
SLOT = slot_of("storehop")


@pytest.fixture(scope="module", params=BINARIES)
def cluster(request):
    with RedisCluster(request.param) as made:
        yield made


@pytest.fixture
def other(cluster):
    """A primary that does not have the slot."""
    return next(cluster.primary(slot) for slot in (0, 16_383) if cluster.primary(slot) is not cluster.primary(SLOT))


def test_a_slot_moves_with_its_keys(cluster, other):
    """And the old primary says where it is now."""
    old = cluster.primary(SLOT)
    old.client().set("{storehop}:a", "1")

    cluster.move_slot(SLOT, other)

    assert other.client().get("{storehop}:a") == "1"
    with pytest.raises(redis.ResponseError, match=rf"{other.port}"):
        old.client().get("{storehop}:a")


def test_a_slot_that_moves_is_asked_for_elsewhere(cluster, other):
    """A key that is not there yet or any more has an ASK."""
    with (
        cluster.moving(SLOT, other),
        pytest.raises(redis.ResponseError, match=rf"{other.port}"),
    ):
        cluster.primary(SLOT).client().get("{storehop}:none")


def test_a_failover_makes_the_replica_primary(cluster):
    """With what it had."""
    old, new = cluster.primary(SLOT), cluster.replica(SLOT)
    old.client().set("{storehop}:b", "1")

    cluster.failover(SLOT)

    assert cluster.primary(SLOT) is new
    assert new.client().get("{storehop}:b") == "1"


def test_a_kill_makes_the_replica_primary(cluster):
    """The killed one comes back as its replica."""
    old, new = cluster.primary(SLOT), cluster.replica(SLOT)

    cluster.kill_primary(SLOT)

    assert cluster.primary(SLOT) is new
    assert cluster.replica(SLOT) is old
