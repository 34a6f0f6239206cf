"""One worker process, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from storehop.options import RunOptions, row_of
from storehop.workers.merge import ask

logger = logging.getLogger(__name__)

STARTING_LOOK_S, READY_LOOK_S = 0.1, 2.0
"""Between two questions to a worker that is not ready yet, and to one that is."""
START_S, SILENCE_S = 60.0, 15.0
"""Without an answer for so long, a new worker, or one that was ready, counts as hung and is killed."""
_SOCKET_FLAG, _FDS_FLAG, _PLACE_FLAG = (
    row_of(RunOptions, name).flag for name in ("worker_socket", "worker_fds", "worker_place")
)


class Worker:
    """Runs `command` once, with its admin socket in `folder` and these listening sockets.

    Its standard input is a pipe that nothing is ever written to: its end tells the worker that its supervisor is gone.
    """

    def __init__(
        self, place: int, command: Sequence[str], folder: Path, fds: Sequence[int], became_ready: Callable[[], None]
    ) -> None:
        """`place` is its number, for people."""
        self.place = place
        self.socket = folder / f"worker-{uuid.uuid4().hex[:12]}.sock"
        """Where its admin endpoints answer; its name is the holder of its leases, too."""
        self.process: asyncio.subprocess.Process | None = None
        self.code = 0
        """What it ended with."""
        self.has_begun = False
        self.is_ready = False
        self.was_ready = False
        self.is_told_to_end = False
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        options = {_SOCKET_FLAG: self.socket, _FDS_FLAG: ",".join(map(str, fds)), _PLACE_FLAG: place}
        self._command = (*command, *(str(word) for option in options.items() for word in option))
        self._fds = fds
        self._became_ready = became_ready

    async def live(self) -> None:
        """Starts it and returns when it has ended. Never raises OSError: a start that fails is an end as well."""
        self.has_begun = True
        try:
            await self._live()
        except OSError as error:  # no memory or no process to be had: that may change
            logger.error("worker %d could not be started: %s", self.place, error)  # noqa: TRY400  it says all
        finally:
            self.is_ready = False
            self.ended.set()

    async def _live(self) -> None:
        # In a group of its own: Ctrl-C on a terminal comes to the supervisor alone, which hands it on once.
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, process_group=0, pass_fds=self._fds
        )
        if self.is_told_to_end:
            self.process.terminate()  # the signal came while it was being started
        attendant = asyncio.create_task(self._attend(), name=f"attendant of worker {self.place}")
        try:
            self.code = await self.process.wait()
        finally:
            attendant.cancel()
            self.socket.unlink(missing_ok=True)

    def send(self, number: signal.Signals) -> None:
        if self.is_running and self.process:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def end(self, number: signal.Signals) -> None:
        """Tells it to end; one that is still starting knows SIGTERM alone, and has nothing to drain."""
        self.is_told_to_end = True
        self.send(number if self.is_ready else signal.SIGTERM)

    async def _attend(self) -> None:
        """Finds out when the worker is ready, and kills it when it hangs: its share of the users would hang too."""
        now = time.monotonic
        last_answer = now()
        while now() - last_answer < (SILENCE_S if self.is_ready else START_S):
            if await _answers(self.socket):
                last_answer = now()
                if not self.is_ready:
                    self.is_ready = self.was_ready = True
                    self.ready.set()
                    self._became_ready()
                    logger.info("worker %d is ready", self.place)
            await asyncio.sleep(READY_LOOK_S if self.is_ready else STARTING_LOOK_S)
        if not self.is_told_to_end:
            logger.error("worker %d does not answer: it is killed", self.place)
            self.send(signal.SIGKILL)


async def _answers(path: Path) -> bool:
    try:
        await ask(path, "/healthz")
    except (OSError, EOFError, ValueError):
        return False
    return True
