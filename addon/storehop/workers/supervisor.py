"""Several workers on one port: starts them, restarts what dies, hands signals on, answers for all (design §8, §13).

Each worker is a whole sidecar in a process of its own. All accept from the same listening sockets, which the
supervisor keeps open: while a worker is replaced, what waits in the queue waits for the others. They share the outbox:
a dead worker is replaced first, then its leases are released, and the others deliver its clicks.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storehop.deliver.engine import Engine
from storehop.listening.line import HandoverError
from storehop.listening.sockets import Listeners
from storehop.observe.admin import AdminServer
from storehop.observe.counts import CountedElsewhere
from storehop.observe.metrics import DROPPED_LINES
from storehop.observe.readiness import Readiness
from storehop.serving import RETIRE
from storehop.workers.merge import Workers, ask
from storehop.workers.release import Releases
from storehop.workers.worker import Worker

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
"""Before a worker that died is started again; twice as long each time that it dies young."""
YOUNG_S = 10.0
END_S = 35.0
"""A worker may take so long to end when it has drained: it waits 30 s for answers, S2S calls and a disk at most."""


@dataclass(slots=True)
class _Place:
    """One place for a worker, and the one that has it at the moment."""

    number: int
    worker: Worker


class Supervisor:
    """Keeps `number` workers running `command` on these sockets; their admin sockets lie in `folder`.

    Must be made on a running event loop.
    """

    def __init__(
        self,
        command: Sequence[str],
        number: int,
        folder: Path,
        engine: Engine,
        listeners: Listeners | None = None,
        *,
        lines_dropped: Callable[[], int] = int,
    ) -> None:
        """`engine` keeps the outbox, for somebody who tidies up; `lines_dropped` counts lines of our own log."""
        self._lines_dropped = lines_dropped
        self._command = command
        self._folder = folder
        self._listeners = listeners or Listeners()
        self._releases = Releases(engine)
        self._exit_code = 0
        self._places = [_Place(place, self._new(place)) for place in range(1, number + 1)]
        self._starting: set[Worker] = set()
        """Those that a restart has begun, and that have no place yet."""
        self._retired: set[Worker] = set()
        self._lives: set[asyncio.Task[None]] = set()
        self._admin: AdminServer | None = None
        self._all_ready = asyncio.Event()
        self._over = asyncio.Event()
        self._is_replaced = False
        self._restarting = asyncio.Lock()

    def _new(self, place: int) -> Worker:
        return Worker(
            place, self._command, self._folder, [one.fileno() for one in self._listeners.clients], self._note_ready
        )

    def _note_ready(self) -> None:
        if all(place.worker.is_ready for place in self._places):
            self._all_ready.set()

    async def run(self) -> int:
        """Serves until it is told to end. Returns the exit code: 0, or a worker's that could not start at all."""
        async with asyncio.TaskGroup() as group:
            for place in self._places:
                group.create_task(self._keep(place), name=f"worker {place.number}")
        if self._lives:
            await asyncio.wait(self._lives)
        self._close_admin()
        await self._releases.close()
        return self._exit_code

    def open_admin(self) -> None:
        """Answers probes from now on. Whoever takes over has workers first."""
        if self._listeners.admin and self._admin is None and not self._over.is_set():
            workers = Workers(self._sockets, CountedElsewhere(*DROPPED_LINES, self._lines_dropped))
            self._admin = AdminServer(self._listeners.admin, self._readiness, workers.registry, workers.refresh)

    async def ready(self) -> bool:
        """Returns when every place has a worker that is ready; False where the end comes before."""
        await _first_of(self._all_ready, self._over)
        return not self._over.is_set()

    def _all(self) -> list[Worker]:
        return [*(place.worker for place in self._places), *self._starting, *self._retired]

    def _sockets(self) -> list[Path]:
        """Of all workers that count: a retired one's clicks are the host's, too."""
        return [worker.socket for worker in self._all() if worker.is_ready]

    async def _readiness(self) -> Readiness:
        ours = await self._readiness_of_workers()
        return Readiness() if self._is_replaced else ours

    async def _readiness_of_workers(self) -> Readiness:
        """What the running ones say, or that there is none."""
        if self._over.is_set():
            return Readiness(("draining",))
        sockets = [place.worker.socket for place in self._places if place.worker.is_ready]
        results = await asyncio.gather(*(ask(path, "/readyz") for path in sockets), return_exceptions=True)
        answers = [Readiness.from_text(one[1].decode()) for one in results if not isinstance(one, BaseException)]
        none = "no worker answers" if sockets else "no worker is ready"
        return Readiness.of_several(answers) if answers else Readiness((none,))

    def _close_admin(self) -> None:
        if self._admin:
            self._admin.close()
            self._admin = None

    def end(self, number: signal.Signals, drain: float = 0.0) -> None:
        """The first signal drains; to workers that drain, SIGINT is the one that ends them at once.

        A worker that hangs can do neither: what is left after the time that an end may take is killed. `drain` is how
        many seconds workers take to begin their end.
        """
        if self._over.is_set():
            number = signal.SIGINT
        self._over.set()
        asyncio.get_running_loop().call_later(END_S + drain, self._kill)
        for worker in self._all():
            worker.end(number)

    def retire(self, seconds: float) -> None:
        """Another supervisor serves: the workers let their clients go, within so many seconds, and it ends."""
        self._over.set()
        self._is_replaced = True  # a probe that is under way has to hear the same voice as the next one
        self._close_admin()
        asyncio.get_running_loop().call_later(seconds + END_S, self._kill)
        for worker in self._all():
            worker.is_told_to_end = True
            worker.send(RETIRE if worker.is_ready else signal.SIGTERM)

    def _kill(self) -> None:
        for worker in self._all():
            if worker.is_running:
                logger.error("worker %d does not end: it is killed", worker.place)
                worker.send(signal.SIGKILL)

    def reload(self) -> None:
        """Every worker reads the rules and the certificates again."""
        for worker in self._all():
            if worker.is_ready:  # one that is still starting reads them anyway, and would die of it
                worker.send(signal.SIGHUP)

    async def restart(self) -> None:
        """Replaces the workers one by one: a new one serves before the old one lets its clients go.

        Raises HandoverError where a new one does not get ready; the old ones that are left go on.
        """
        if self._restarting.locked():
            raise HandoverError("the workers are just being restarted")
        async with self._restarting:
            logger.info("restarting: the workers are replaced one by one")
            for place in self._places:
                await self._replace(place)
        logger.info("all workers are replaced")

    async def _replace(self, place: _Place) -> None:
        worker = self._new(place.number)
        self._starting.add(worker)
        self._begin(worker)
        await _first_of(worker.ready, worker.ended, self._over)
        if self._over.is_set():
            raise HandoverError("it ends, and the restart with it: the end reaches the new worker, too")
        if not worker.is_ready:
            raise HandoverError(f"a new worker ended with {worker.code} before it served: the old ones go on")
        self._starting.discard(worker)
        old, place.worker = place.worker, worker
        if not old.ended.is_set():
            self._retired.add(old)
            old.is_told_to_end = True
            old.send(RETIRE)

    def _begin(self, worker: Worker) -> None:
        """Starts its life, and sees to what it leaves."""
        task = asyncio.create_task(self._live(worker), name=f"life of worker {worker.place}")
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def _live(self, worker: Worker) -> None:
        await worker.live()
        self._retired.discard(worker)
        self._starting.discard(worker)
        if worker.process:
            self._releases.add(worker.socket.stem)

    async def _keep(self, place: _Place) -> None:
        """Keeps a worker running in this place until the end. A new one waits for nothing that the dead one left."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while not self._over.is_set():
            begin = loop.time()
            if not place.worker.has_begun:
                self._begin(place.worker)
            worker = await self._ended(place)
            if self._over.is_set():
                return
            if worker.code > 0 and not worker.was_ready and not any(other.worker.is_ready for other in self._places):
                self._exit_code = self._exit_code or worker.code  # it said why, and the others will say the same
                self.end(signal.SIGTERM)
                return
            pause = FIRST_PAUSE_S if loop.time() - begin > YOUNG_S else min(2 * pause, LAST_PAUSE_S)
            logger.error("worker %d ended with %d, the next one starts in %g s", place.number, worker.code, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)
            if place.worker is worker:  # a restart may have put another one there
                place.worker = self._new(place.number)

    async def _ended(self, place: _Place) -> Worker:
        """Returns the worker that has this place when it ends: one that was replaced has it no more."""
        while True:
            worker = place.worker
            await worker.ended.wait()
            if worker is place.worker:
                return worker


async def _first_of(*events: asyncio.Event) -> None:
    """Returns when one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for one in waits:
        one.cancel()
