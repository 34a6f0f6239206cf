"""How long `storehop run` takes from its start to its first answered click, and what processor time that costs.

A start is warm where Python's bytecode is there already. In a container nothing can be written: what was not compiled
when the image was built is compiled anew at each start.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.machine import processor_seconds
from tests.bench.traffic import RULES, link_path, user_agents
from tests.support.patience import SOON_S, START_S
from tests.support.processes import ADDON, free_port, sidecar_command

ASK_AGAIN_S = 0.002
"""Until somebody listens, connections are refused, and only asking again tells more."""
STARTS = 5


@dataclass(frozen=True, slots=True)
class Start:
    """One start, up to the first answered click."""

    seconds: float
    """Of the clock."""
    processor_seconds: float
    """Of the process, all its threads."""


def first_click_seconds(starts: int = STARTS, *, read_only: bool = False) -> Start:
    """Medians over this many starts. One more comes first: it warms what can be warmed, and does not count.

    `read_only`: the file system of the code can't be written, as in a container; raises OSError where this process may
    not make it so.
    """
    with TemporaryDirectory() as folder:
        taken = [first_click(Path(folder) / str(number), read_only=read_only) for number in range(starts + 1)][1:]
    return Start(
        statistics.median(one.seconds for one in taken), statistics.median(one.processor_seconds for one in taken)
    )


def first_click(folder: Path, *, read_only: bool = False) -> Start:
    """Starts a sidecar with a state folder of its own, clicks until it answers with the store, and ends it.

    The click is answered without the ad stack, and its S2S call finds nobody.
    """
    folder.mkdir()
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(appsflyer=free_port()))
    long_ago = time.time() - 3600  # a file that has just changed is looked at twice, half a second apart
    os.utime(rules, (long_ago, long_ago))
    port = free_port()
    command = sidecar_command(f"http://127.0.0.1:{free_port()}", rules, f"127.0.0.1:{port}", folder / "state")
    begin = time.perf_counter()
    with _running([*(_READ_ONLY if read_only else ()), *map(str, command)]) as process:
        answer = _click(port, process)
        seconds = time.perf_counter() - begin
        used = processor_seconds(process.pid)
    assert b" 302 " in answer, answer
    assert used is not None
    return Start(seconds, used)


_MOUNT = """
while test "$1" != --; do mount --bind -o ro "$1" "$1"; shift; done
shift
exec "$@"
"""
_READ_ONLY = ("unshare", "--mount", "sh", "-euc", _MOUNT, "sh", str(ADDON), sys.prefix, sys.base_prefix, "--")
"""A command behind it finds the code in a file system that can't be written. It takes root."""


_LEFT_OUT = ("STOREHOP_", "PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE")


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    process = subprocess.Popen(
        command, env=environment | {"PYTHONPATH": str(ADDON)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SOON_S)


def _click(port: int, process: subprocess.Popen[bytes]) -> bytes:
    """The head of the answer to a click that is asked again until somebody listens."""
    request = (
        f"GET {link_path('first')} HTTP/1.1\r\nHost: app.appsflyer.com\r\nUser-Agent: {user_agents()[0]}\r\n\r\n"
    ).encode()
    with _connected(port, process) as connection:
        connection.sendall(request)
        return connection.recv(1 << 16)


def _connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            return socket.create_connection(("127.0.0.1", port), START_S)
        except ConnectionRefusedError:
            time.sleep(ASK_AGAIN_S)
    raise AssertionError(f"nobody listens on {port}; exit code {process.returncode}")
