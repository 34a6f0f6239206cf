"""Which server is the primary, where those that tell are cut off or stopped."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing

import pytest

from storehop.deliver.redis.finding import ASK_S, Sentinels
from storehop.deliver.redis.link import REPLY_S
from storehop.deliver.redis.place import Place
from storehop.deliver.redis.replicas import FIRST_REPLY_S, Replicas
from tests.support.patience import SOON_S, wait_until
from tests.support.redis_servers import RedisServer
from tests.support.seats import LOOPBACK
from tests.support.sentinels import NAME, Sentinel

pytestmark = pytest.mark.process


class Two:
    """A Sentinel that knows of no failover, and one that does: each has a primary of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self.servers = [stack.enter_context(RedisServer()) for _ in range(2)]
        self.sentinels = [Sentinel("7.0", LOOPBACK, server) for server in self.servers]
        for epoch, sentinel in enumerate(self.sentinels, 1):
            sentinel.settings[f"sentinel config-epoch {NAME}"] = str(epoch)
            stack.enter_context(sentinel)
        self.old, self.new = (server.address for server in self.servers)

    def finder(self, *, well_informed_first: bool = False) -> Sentinels:
        sentinels = reversed(self.sentinels) if well_informed_first else self.sentinels
        hosts = ",".join(f"{one.host}:{one.port}" for one in sentinels)
        return Sentinels(Place.from_url(f"redis+sentinel://{hosts}/{NAME}"))


@pytest.fixture(scope="module")
def two():
    with ExitStack() as stack:
        yield Two(stack)


@pytest.fixture
def finder(two):
    with closing(two.finder()) as made:
        yield made


def test_the_sentinel_that_knows_more_is_believed(two, finder):
    """The one that is asked first was cut off."""
    assert two.new == finder.find()


def test_a_primary_is_not_left_for_what_one_sentinel_says(two, finder):
    """It was cut off from the others, and would have each look at the outbox fail until it knows."""
    assert finder.is_still(two.new)


def test_a_primary_is_left_when_another_follows_it(two):
    """Though one Sentinel names it still."""
    with closing(two.finder(well_informed_first=True)) as finder:
        assert not finder.is_still(two.old)


def test_a_sentinel_that_is_stopped_is_not_waited_for(two, finder):
    """Clicks wait meanwhile."""
    first = two.sentinels[0]
    first.stop()
    try:
        began = time.monotonic()
        is_still = finder.is_still(two.new)
        took = time.monotonic() - began
    finally:
        first.cont()

    assert is_still
    assert ASK_S <= took < 2 * ASK_S


def test_a_replica_that_is_stopped_is_waited_for_once():
    """Its kernel lets us in all the same. When it has just left it may be busy with its promotion."""
    with RedisServer() as primary, RedisServer(replica_of=primary.address) as replica:
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", SOON_S, "a replica")
        replicas = Replicas(Place.from_url(primary.url), primary.address, lambda _address: True)
        assert replicas.are_of_no_other([replica.address])
        replica.stop()
        try:
            took = [seconds_of(lambda: replicas.are_of_no_other([])) for _ in range(2)]
        finally:
            replica.cont()

    assert FIRST_REPLY_S <= took[0] < REPLY_S
    assert took[1] < ASK_S


def seconds_of(act):
    began = time.monotonic()
    assert act()
    return time.monotonic() - began


def test_while_all_is_well_no_connection_is_made(two):
    """Clicks wait while a Sentinel is asked; the look-up of its name may take long."""
    with closing(two.finder(well_informed_first=True)) as finder:
        assert finder.is_still(two.new)
        before = [connections(one) for one in two.sentinels]
        assert finder.is_still(two.new)

    assert before == [connections(one) for one in two.sentinels]


def test_a_sentinel_that_starts_again_is_asked_again(two, finder):
    """Its connection is gone: then nothing is concluded, and the next time there is a new one."""
    assert finder.is_still(two.old)
    for one in two.sentinels:
        one.restart()
    assert finder.is_still(two.old)

    assert not finder.is_still(two.old)


def connections(sentinel: Sentinel) -> object:
    """How many it has let in so far."""
    return sentinel.info("stats")["total_connections_received"]
