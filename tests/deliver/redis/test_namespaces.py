"""The network of hosts that tests cut."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis

from tests.support.namespaces import Network, need_namespaces
from tests.support.patience import SOON_S, wait_until
from tests.support.processes import ROOT
from tests.support.redis_servers import RedisServer

pytestmark = pytest.mark.process
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.5).close()"


@pytest.fixture(scope="module")
def network():
    with Network(3) as made:
        yield made


@pytest.fixture(scope="module")
def server(network):
    """On the first host."""
    with RedisServer(seat=network.hosts[0].seat) as made:
        yield made


def reaches(host, server):
    """Whether a new connection is made."""
    command = [*host.prefix, sys.executable, "-c", CONNECT, *map(str, server.address)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_hosts_reach_each_other(network, server):
    """All of them."""
    assert [True] * 3 == [reaches(host, server) for host in network.hosts]


def test_a_cut_cuts_one_from_all(network, server):
    """The tests still reach it; healed, all is as before."""
    network.cut(network.hosts[1])
    cut = [reaches(host, server) for host in network.hosts]
    network.heal(network.hosts[1])

    assert ([True, False, True], True) == (cut, reaches(network.hosts[1], server))
    assert server.answers()


def test_a_cut_pair_is_cut_from_each_other_alone(network, server):
    """Others reach both."""
    network.cut_pair(network.hosts[0], network.hosts[2])
    cut = [reaches(host, server) for host in network.hosts]
    network.heal_pair(network.hosts[0], network.hosts[2])

    assert ([True, True, False], True) == (cut, reaches(network.hosts[2], server))


def test_a_cut_meets_connections_that_there_are(network, server):
    """A replica on another host gets nothing more, and catches up when it is healed."""
    with RedisServer(seat=network.hosts[1].seat, replica_of=server.address):
        wait_until(lambda: server.info("replication")["connected_slaves"] == 1, SOON_S, "a replica")
        client = server.client()
        client.set("a", "1")
        assert client.wait(1, 5000) == 1

        network.cut(network.hosts[1])
        client.set("a", "2")
        assert client.wait(1, 200) == 0

        network.heal(network.hosts[1])
        assert client.wait(1, 30_000) == 1


def test_the_outside_is_cut_apart_from_the_rest(network, server):
    """The tests reach the host no more, other hosts do."""
    network.cut_outside(network.hosts[0])
    with pytest.raises(redis.RedisError):
        server.client(socket_timeout=0.2, socket_connect_timeout=0.2).ping()
    reached = reaches(network.hosts[1], server)
    network.heal_outside(network.hosts[0])

    assert reached
    wait_until(server.answers, SOON_S, "PING")


KILLED = """
import os, signal
from tests.support.namespaces import Network
print(Network(1).__enter__().name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_goes_with_the_next_one():
    """Namespaces and bridges."""
    need_namespaces()
    told = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=False)
    name = told.stdout.strip()
    assert name in said_by_ip("netns")

    with Network(1):
        pass

    assert name not in said_by_ip("netns") + said_by_ip("link")


def said_by_ip(*command):
    return subprocess.run(["ip", *command], capture_output=True, text=True, check=True).stdout
