"""The servers that the tests of the outbox on Redis run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.support.patience import SOON_S, wait_until
from tests.support.processes import ROOT
from tests.support.redis_servers import BINARIES, RedisServer, shared_server

pytestmark = pytest.mark.process


@pytest.fixture(params=BINARIES)
def version(request):
    return request.param


@pytest.fixture
def server(version):
    with RedisServer(version) as made:
        yield made


def test_it_is_of_the_version_that_was_asked_for(server, version):
    """Or a newer one."""
    assert version <= server.info("server")["redis_version"]


def test_it_holds_an_outbox_safely(server):
    """Each command is on disk before its reply goes, and nothing is evicted."""
    found = server.client().config_get("append*", "maxmemory-policy")

    assert ("yes", "always", "noeviction") == (
        found["appendonly"],
        found["appendfsync"],
        found["maxmemory-policy"],
    )


def test_a_kill_loses_nothing_that_was_answered(server):
    """What was stored is there after a restart, on the same port."""
    server.client().set("a", "1")

    server.kill()
    server.restart()

    assert server.client().get("a") == "1"


def test_a_client_sees_a_kill(server):
    """Nobody listens after it."""
    server.kill()

    with pytest.raises(redis.ConnectionError):
        server.client().ping()


def test_a_stopped_server_answers_later(server):
    """Its connections stay, and get their answers when it goes on."""
    client = server.client(socket_timeout=0.1)
    client.ping()
    server.stop()

    with pytest.raises(redis.TimeoutError):
        client.ping()
    server.cont()

    assert client.ping()


def test_settings_change_while_it_runs(server):
    """By CONFIG SET."""
    server.config("maxmemory", "100mb")

    assert server.info("memory")["maxmemory"] == 100 << 20


def test_a_replica_has_what_its_primary_has(server, version):
    """And WAIT counts it."""
    with RedisServer(version, replica_of=server.address):
        wait_until(lambda: server.info("replication")["connected_slaves"] == 1, SOON_S, "a replica")
        client = server.client()
        client.set("a", "1")

        assert client.wait(1, 5000) == 1


def test_one_server_is_shared_by_all_tests(version):
    """Who asks again gets the same."""
    assert shared_server(version) is shared_server(version)
    assert shared_server(version).answers()


KILLED = """
import os, signal
from tests.support.redis_servers import RedisServer
server = RedisServer().start()
print(server.pid, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_server_outlives_its_test_process():
    """Even if that one is killed."""
    told = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=False)
    pid, folder = told.stdout.split()
    shutil.rmtree(folder)

    wait_until(lambda: not _runs(pid), SOON_S, f"the end of {pid}")


def _runs(pid: str) -> bool:
    """Whether it does; one that has ended and that nobody asked about has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False
