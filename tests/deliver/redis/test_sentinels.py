"""The Sentinel sets that the tests of the outbox on Redis run."""

from __future__ import annotations

import pytest
import redis

from tests.support.machine_faults import SlowDisk
from tests.support.patience import SOON_S, START_S, wait_until
from tests.support.redis_servers import BINARIES
from tests.support.seats import LOOPBACK
from tests.support.sentinels import RedisSet

pytestmark = pytest.mark.process


@pytest.fixture(scope="module", params=BINARIES)
def servers(request):
    with RedisSet(request.param) as made:
        yield made


def test_a_kill_makes_another_primary(servers):
    """It has what the killed one had acknowledged with a replica."""
    old = servers.primary()
    client = old.client()
    client.set("a", "1")
    assert client.wait(1, 5000)

    old.kill()

    assert servers.followed(old).client().get("a") == "1"
    old.restart(servers.primary().address)
    servers.settled()


def test_a_killed_primary_comes_back(servers):
    """Then there are a primary and two replicas again; how long there was none is told."""
    took = servers.kill_primary()

    assert ["master", "slave", "slave"] == sorted(one.role for one in servers.servers)
    assert 0 < took < START_S


def test_a_failover_makes_another_primary(servers):
    """The old one goes on for a while: it has no replica then, so WAIT comes short there."""
    old = servers.primary()
    client = old.client()

    servers.failover(settle=False)

    assert servers.primary() is not old
    wait_until(lambda: not old.info("replication")["connected_slaves"], SOON_S, "no replica")
    client.set("b", "1")
    assert client.wait(1, 100) == 0


def test_a_primary_that_stops_is_followed(servers):
    """It goes on as a primary when it can, and the Sentinels make it a replica."""
    old = servers.primary()

    old.stop()
    new = servers.followed(old)
    old.cont()
    servers.settled()

    assert new is not old
    assert ["master", "slave", "slave"] == sorted(one.role for one in servers.servers)


def test_a_primary_whose_disk_hangs_is_followed(tmp_path):
    """The disk is that of its machine alone."""
    disk = SlowDisk(tmp_path)
    with RedisSet(seats=[LOOPBACK.on(*disk.prefix), LOOPBACK, LOOPBACK]) as servers:
        old = servers.primary()
        disk.hang()
        with pytest.raises(redis.TimeoutError):
            old.client(socket_timeout=0.1).set("a", "1")  # what is not written waits for no disk

        assert servers.followed(old) is not old


def test_the_url_names_all_sentinels(servers):
    """And what they call the primary."""
    ports = ",".join(f"127.0.0.1:{one.port}" for one in servers.sentinels)

    assert f"redis+sentinel://{ports}/storehop" == servers.url
