"""Several workers on one port: starts them, restarts what dies, hands signals on, answers for all (design §8).

Each worker is a whole sidecar in a process of its own; the kernel spreads connections over them (SO_REUSEPORT). They
share the outbox: a dead worker is replaced first, then its leases are released, and the others deliver its clicks.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from storehop.addresses import Address
from storehop.observe.admin import AdminServer
from storehop.options import RunOptions, row_of
from storehop.serving import cannot_listen
from storehop.workers.merge import Workers, ask
from storehop.workers.release import Releases

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
"""Before a worker that died is started again; twice as long each time that it dies young."""
YOUNG_S = 10.0
STARTING_LOOK_S, READY_LOOK_S = 0.1, 2.0
"""Between two questions to a worker that is not ready yet, and to one that is."""
START_S, SILENCE_S = 60.0, 15.0
"""Without an answer for so long, a new worker, or one that was ready, counts as hung and is killed."""
END_S = 35.0
"""A worker may take so long to end when it has drained: it waits 30 s for answers, S2S calls and a disk at most."""
_SOCKET_FLAG = row_of(RunOptions, "worker_socket").flag


@dataclass(slots=True)
class _Place:
    """One place for a worker, and the process that has it at the moment."""

    number: int
    socket: Path
    """Where its admin endpoints answer; its name is the holder of its leases, too."""
    process: asyncio.subprocess.Process | None = None
    is_ready: bool = False


class Supervisor:
    """Runs `command` `number` times, each with `--worker-socket PATH` behind it, in the folder `sockets`.

    A worker's standard input is a pipe that nothing is ever written to: its end tells the worker that its supervisor
    is gone. Must be made on a running event loop.
    """

    def __init__(self, command: Sequence[str], number: int, sockets: Path, outbox: str, *, drain: float = 0.0) -> None:
        """`drain` is how many seconds workers take to begin their end."""
        self._command = command
        self._releases = Releases(outbox)
        self._drain = drain
        self._folder = sockets
        self._is_ending = False
        self._exit_code = 0
        self._places = [_Place(place, self._new_socket()) for place in range(1, number + 1)]
        self._over = asyncio.Event()

    def _new_socket(self) -> Path:
        return self._folder / f"worker-{uuid.uuid4().hex[:12]}.sock"

    async def run(self, admin: Address | None) -> int:
        """Serves until a signal ends it. Returns the exit code: 0, or a worker's that could not start at all.

        Raises CannotServeError, before any worker is started, where the admin endpoints can't listen.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        server = self._open_admin(admin) if admin else None  # who sees it answer may send a signal
        async with asyncio.TaskGroup() as group:
            for place in self._places:
                group.create_task(self._keep(place), name=f"worker {place.number}")
        if server:
            server.close()
        await self._releases.close()
        return self._exit_code

    def _open_admin(self, address: Address) -> AdminServer:
        workers = Workers(self._sockets)
        try:
            return AdminServer(address, self._unready, workers.registry, workers.refresh)
        except OSError as error:
            raise cannot_listen(address, error) from error

    def _sockets(self) -> list[Path]:
        return [place.socket for place in self._places if place.is_ready]

    async def _unready(self) -> list[str]:
        """Why no traffic should come here: what the running workers say, or that there is none."""
        if self._is_ending:
            return ["draining"]
        sockets = self._sockets()
        if not sockets:
            return ["no worker is ready"]
        results = await asyncio.gather(*(ask(path, "/readyz") for path in sockets), return_exceptions=True)
        answers = [answer for answer in results if not isinstance(answer, BaseException)]
        if any(status == HTTPStatus.OK for status, _ in answers):
            return []
        return sorted({line for _, body in answers for line in body.decode().splitlines()}) or ["no worker answers"]

    def _end(self, number: signal.Signals) -> None:
        """The first signal drains; to workers that drain, SIGINT is the one that ends them at once.

        A worker that hangs can do neither: what is left after the time that an end may take is killed.
        """
        patience = END_S
        if self._is_ending:
            number = signal.SIGINT
        elif number == signal.SIGTERM:
            patience += self._drain
        asyncio.get_running_loop().call_later(patience, self._kill)
        self._is_ending = True
        self._over.set()
        for place in self._places:
            # One that is still starting knows no signal yet, and has nothing to drain.
            _send(place, number if place.is_ready else signal.SIGTERM)

    def _kill(self) -> None:
        for place in self._places:
            if place.process and place.process.returncode is None:
                logger.error("worker %d does not end: it is killed", place.number)
                _send(place, signal.SIGKILL)

    def _reload(self) -> None:
        for place in self._places:
            if place.is_ready:  # one that is still starting reads the rules anyway, and would die of it
                _send(place, signal.SIGHUP)

    async def _keep(self, place: _Place) -> None:
        """Keeps a worker running in this place until the end. A new one waits for nothing that the dead one left."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while not self._is_ending:
            begin = loop.time()
            try:
                code, was_ready = await self._live(place)
            except OSError as error:  # no memory or no process to be had: that may change
                logger.error("worker %d could not be started: %s", place.number, error)  # noqa: TRY400  it says all
                code, was_ready = 0, False
            if self._is_ending:
                return
            if code > 0 and not was_ready and not any(other.is_ready for other in self._places):
                self._exit_code = self._exit_code or code  # it said why, and the others will say the same
                self._end(signal.SIGTERM)
                return
            pause = FIRST_PAUSE_S if loop.time() - begin > YOUNG_S else min(2 * pause, LAST_PAUSE_S)
            logger.error("worker %d ended with %d, the next one starts in %g s", place.number, code, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)

    async def _live(self, place: _Place) -> tuple[int, bool]:
        """One worker's life. Returns its exit code, and whether it was ever ready."""
        place.socket = self._new_socket()
        # In a group of its own: Ctrl-C on a terminal comes to the supervisor alone, which hands it on once.
        place.process = process = await asyncio.create_subprocess_exec(
            *self._command,
            *(_SOCKET_FLAG, str(place.socket)),
            stdin=asyncio.subprocess.PIPE,
            process_group=0,
        )
        if self._is_ending:
            process.terminate()  # the signal came while it was being started
        attendant = asyncio.create_task(self._attend(place), name=f"attendant of worker {place.number}")
        try:
            code = await process.wait()
        finally:
            attendant.cancel()
            was_ready, place.is_ready = place.is_ready, False
            place.socket.unlink(missing_ok=True)
        self._releases.add(place.socket.stem)
        return code, was_ready

    async def _attend(self, place: _Place) -> None:
        """Finds out when the worker is ready, and kills it when it hangs: its share of the users would hang too."""
        now = time.monotonic
        last_answer = now()
        while now() - last_answer < (SILENCE_S if place.is_ready else START_S):
            if await _answers(place.socket):
                last_answer = now()
                if not place.is_ready:
                    place.is_ready = True
                    logger.info("worker %d is ready", place.number)
            await asyncio.sleep(READY_LOOK_S if place.is_ready else STARTING_LOOK_S)
        if not self._is_ending:
            logger.error("worker %d does not answer: it is killed", place.number)
            _send(place, signal.SIGKILL)


def _send(place: _Place, number: signal.Signals) -> None:
    if place.process and place.process.returncode is None:
        with suppress(ProcessLookupError):
            place.process.send_signal(number)


async def _answers(path: Path) -> bool:
    try:
        await ask(path, "/healthz")
    except (OSError, EOFError, ValueError):
        return False
    return True
