"""The demo's sidecar: the real `storehop run` in a process of its own, ready for clicks."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from storehop.cli.fail import fail
from storehop.state import VARIABLES

START_S = 60.0
"""Time that it has to get ready."""
LOOK_PAUSE_S = 0.05
PORTS = range(20_000, 32_000)
"""Ports below those of Linux's outgoing connections: such a connection could take one, or connect to itself."""
READY = 200


@contextmanager
def running(upstream: int, rules: Path) -> Iterator[int]:
    """Runs it in front of this port, with its log and its state beside the rules. Yields its port once it is ready."""
    port, admin = free_ports(2)
    command = [sys.executable, "-m", "storehop", "run", "--upstream", f"http://127.0.0.1:{upstream}"]
    options = ["--rules", str(rules), "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    state = ["--drain", "0", "--state", str(rules.parent / "state")]
    log = rules.parent / "sidecar.log"
    with (
        log.open("w") as output,
        subprocess.Popen([*command, *options, *state], stderr=output, env=_environment()) as process,  # noqa: S603
    ):
        try:
            _wait_until_ready(admin, process, log)
            yield port
        finally:
            process.terminate()


def _environment() -> dict[str, str]:
    """Ours, without options for another sidecar, and with this source."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
    source_root = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (source_root, os.environ.get("PYTHONPATH"))))
    return env


def free_ports(number: int) -> list[int]:
    free = (port for port in random.sample(PORTS, 100) if _is_free(port))
    return [next(free) for _ in range(number)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_until_ready(admin: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if _is_ready(admin):
            return
        time.sleep(LOOK_PAUSE_S)
    fail(f"the sidecar did not start:\n{log.read_text()}")


def _is_ready(admin: int) -> bool:
    connection = HTTPConnection("127.0.0.1", admin, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == READY
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
