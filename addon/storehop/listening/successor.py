"""A process that replaces this one: the same command, perhaps of a newer version, beside it (design §13)."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence

from storehop.listening.line import HandoverError

START_S = 60.0
"""It serves by then, or it is killed and this process goes on."""
FIRST_PROCESS = 1


async def start_successor(command: Sequence[str], serves: asyncio.Event) -> None:
    """Starts `command` and returns when `serves` is set. Raises HandoverError where it ends before, or hangs."""
    if os.getpid() == FIRST_PROCESS:
        raise HandoverError("this is process 1, and its container would end with it: replace the container")
    # systemd's watchdog is about one process; the next one gets it by its own number.
    environment = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
    try:
        # asyncio would kill its subprocess with this process.
        process = subprocess.Popen(command, env=environment)  # noqa: ASYNC220, S603  our own command, and a moment
    except OSError as error:
        raise HandoverError(f"no new process could be started: {error}") from error
    ended = _end_of(process)
    is_serving: asyncio.Future[bool] = asyncio.ensure_future(serves.wait())
    either: set[asyncio.Future[bool]] = {ended, is_serving}
    try:
        done, _ = await asyncio.wait(either, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        is_serving.cancel()
    if is_serving in done:
        process.returncode = 0  # from now on it is nobody's child to wait for
    elif ended in done:
        raise HandoverError(f"the new process ended with {process.wait()}: this one goes on")
    else:
        process.kill()
        raise HandoverError(f"the new process did not serve within {START_S:g} s: this one goes on")


def _end_of(process: subprocess.Popen[bytes]) -> asyncio.Future[bool]:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    handle = os.pidfd_open(process.pid)

    def forget(_: object) -> None:
        loop.remove_reader(handle)
        os.close(handle)

    def note() -> None:
        if not ended.done():
            ended.set_result(True)

    loop.add_reader(handle, note)
    ended.add_done_callback(forget)
    return ended
