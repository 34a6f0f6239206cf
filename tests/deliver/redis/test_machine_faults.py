"""A server with a slow disk, and one whose clock jumps."""

from __future__ import annotations

import time

import pytest
import redis

from tests.support.machine_faults import JumpingClock, SlowDisk
from tests.support.redis_servers import BINARIES, RedisServer

pytestmark = pytest.mark.process


@pytest.fixture(params=BINARIES)
def version(request):
    return request.param


@pytest.fixture
def disk(tmp_path):
    return SlowDisk(tmp_path)


@pytest.fixture
def clock(tmp_path):
    return JumpingClock(tmp_path)


def test_a_write_waits_for_a_slow_disk(version, disk):
    """And what only reads does not."""
    with RedisServer(version, prefix=disk.prefix) as server:
        client = server.client()
        client.set("a", "1")
        disk.delay(0.2)

        began = time.monotonic()
        client.get("a")
        middle = time.monotonic()
        client.set("a", "2")

        assert middle - began < 0.2 <= time.monotonic() - middle


def test_a_write_waits_for_a_disk_that_hangs(version, disk):
    """Its reply comes when the disk goes on."""
    with RedisServer(version, prefix=disk.prefix) as server:
        client = server.client(socket_timeout=0.3)
        client.ping()
        disk.hang()
        with pytest.raises(redis.TimeoutError):
            client.set("a", "1")

        disk.delay(0.0)

        server.ready()
        assert server.client().get("a") == "1"


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_jumps(version, clock, seconds):
    """The server goes on, and says so."""
    with RedisServer(version, prefix=clock.prefix) as server:
        client = server.client()
        assert abs(client.time()[0] - time.time()) < 10

        clock.jump(seconds)

        assert abs(client.time()[0] - time.time() - seconds) < 10


def test_what_expires_does_so_by_the_clock_that_jumps(version, clock):
    """An hour later it is gone."""
    with RedisServer(version, prefix=clock.prefix) as server:
        server.client().set("a", "1", ex=600)

        clock.jump(3600)

        assert server.client().get("a") is None


def test_the_servers_timers_are_left_alone_by_a_jump(version, clock):
    """BLPOP waits for as long as it was asked to."""
    with RedisServer(version, prefix=clock.prefix) as server:
        client = server.client()
        clock.jump(-3600)

        began = time.monotonic()
        client.blpop("none", timeout=0.2)

        assert 0.1 < time.monotonic() - began < 5
