"""A primary is the primary still, as long as nobody that followed it leads now."""

import pytest

from storehop.deliver.redis.place import Place
from storehop.deliver.redis.replicas import Replicas
from tests.support.patience import SOON_S, wait_until
from tests.support.redis_servers import RedisServer

pytestmark = pytest.mark.process


@pytest.fixture
def primary():
    with RedisServer() as made:
        yield made


@pytest.fixture
def replica(primary):
    with RedisServer(replica_of=primary.address) as made:
        wait_until(lambda: connected(primary), SOON_S, "a replica")
        yield made


def connected(primary):
    """As the engine hears it with each batch."""
    return [(host, int(port)) for host, port, _ in primary.client().execute_command("ROLE")[2]]


def replicas(primary, *, is_still=True):
    made = Replicas(Place.from_url(primary.url), primary.address, lambda _address: is_still)
    made.history = primary.info("replication")["master_replid"]
    return made


def test_a_replica_that_follows_is_fine(primary, replica):
    """As at any moment."""
    followers = replicas(primary)

    assert [True, True] == [followers.are_of_no_other(connected(primary)) for _ in range(2)]


def test_a_replica_that_was_promoted_is_the_primary_now(primary, replica):
    """Its old primary would go on for seconds, and another replica acknowledge all that is lost."""
    followers = replicas(primary)
    followers.are_of_no_other(connected(primary))
    replica.client().replicaof("NO", "ONE")
    wait_until(lambda: not connected(primary), SOON_S, "a primary that knows")

    assert not followers.are_of_no_other(connected(primary))


def test_a_replica_that_was_promoted_is_asked_each_time(primary, replica):
    """It may be promoted later than it left."""
    followers = replicas(primary)
    followers.are_of_no_other(connected(primary))

    assert followers.are_of_no_other([])
    replica.client().replicaof("NO", "ONE")
    assert not followers.are_of_no_other([])


@pytest.mark.parametrize("is_still", [True, False])
def test_of_a_replica_that_is_gone_the_sentinels_know_more(primary, replica, is_still):
    """It may be dead, or lead at the other side of a partition."""
    followers = replicas(primary, is_still=is_still)
    followers.are_of_no_other(connected(primary))
    replica.kill()

    assert is_still == followers.are_of_no_other([])


def test_a_replica_that_is_gone_is_asked_seldom(primary, replica):
    """Asking takes time, and each batch would."""
    followers = replicas(primary, is_still=False)
    followers.are_of_no_other(connected(primary))
    replica.kill()
    followers.are_of_no_other([])

    assert followers.are_of_no_other([])
