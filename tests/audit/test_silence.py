"""Nothing is sent: no socket is made during a whole audit, and it works where there is no network at all."""

import json
import subprocess
import sys

import pytest

from tests.support.needs import need, need_namespace
from tests.support.patience import START_S
from tests.support.recorded_clicks import RULES, clicks, write_flows, write_har, write_json_lines

pytestmark = pytest.mark.process

FORBID = """
import sys

def forbid(event, arguments):
    if event.startswith("socket."):
        print("forbidden:", event, arguments, file=sys.stderr, flush=True)
        import os
        os._exit(99)

sys.addaudithook(forbid)
if sys.argv[1] == "socket":
    import socket
    socket.socket()
elif sys.argv[1] == "loop":
    import asyncio
    asyncio.new_event_loop()
from storehop.__main__ import main
sys.argv = ["storehop", *sys.argv[1:]]
main()
"""


@pytest.fixture
def command(tmp_path):
    """The arguments of an audit of all kinds of recordings, with every output."""
    (tmp_path / "rules.yaml").write_text(RULES)
    recordings = [
        write_json_lines(tmp_path / "a.log", clicks(100)),
        write_har(tmp_path / "a.har", clicks(10)),
        write_flows(tmp_path / "a.flow", clicks(10)),
    ]
    outputs = ["--json", tmp_path / "r.json", "--html", tmp_path / "r.html", "--gate", "direct>=0.5"]
    return ["audit", *map(str, recordings), "--rules", str(tmp_path / "rules.yaml"), *map(str, outputs)]


def test_no_socket_is_made(command, tmp_path):
    """Every event of Python's socket module ends the process: none comes, so no event loop is built either."""
    done = subprocess.run(
        [sys.executable, "-c", FORBID, *command], capture_output=True, text=True, timeout=START_S, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert json.loads((tmp_path / "r.json").read_text())["clicks"] == 120


@pytest.mark.parametrize("what", ["socket", "loop"])
def test_a_socket_would_be_seen(what):
    """The hook of the test above sees a socket, and an event loop by its own sockets."""
    done = subprocess.run([sys.executable, "-c", FORBID, what], capture_output=True, timeout=START_S, check=False)

    assert done.returncode == 99


def test_it_works_without_a_network(command, tmp_path):
    """In a network namespace of its own, in which not even loopback is up."""
    need_namespace()
    storehop = [sys.executable, "-m", "storehop", *command]
    done = subprocess.run(
        [need("unshare"), "--net", *storehop], capture_output=True, text=True, timeout=START_S, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "Nothing was sent." in done.stdout
