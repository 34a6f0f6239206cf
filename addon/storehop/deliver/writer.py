"""The one thread that writes the outbox, with group commit: an answer waits for its commit, commits share a sync.

While one commit is under way the next steps collect: a batch is as long as the disk is slow. What somebody waits
for never waits on purpose; what nobody waits for (`post`) goes with the next batch, or alone after a moment, which
saves every second commit. Each batch wakes the event loop once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from storehop.deliver.clock import Clock
from storehop.deliver.outbox import Outbox
from storehop.deliver.outbox_file import CorruptOutboxError, OutboxError, inode_of, set_aside
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

MAX_BATCH = 500
PATIENCE = 1.0
"""Seconds that a user waits for the disk."""
HANGS = 5.0
"""Seconds that the end of the process waits for the disk."""
LAZY = 0.01
"""Seconds for which a posted step waits for others: a delivered call that a crash would have sent again."""


type Many[I, R] = Callable[[Outbox, list[I]], list[R]]
"""A step for several items at once; gives a result for each."""


@dataclass(slots=True)
class _Job:
    step: Callable[[Outbox], Any] | None = None
    many: Many[Any, Any] | None = None
    item: Any = None
    future: asyncio.Future[Any] | None = None
    done: Callable[[Any, BaseException | None], None] | None = None
    late: Callable[[Any], None] | None = None
    undo: Callable[[Outbox, Any], None] | None = None
    patience: asyncio.TimerHandle | None = None
    result: Any = None
    error: BaseException | None = None


class TooSlowError(OutboxError):
    """It was not committed in time, and may be yet."""


class Writer:
    """Runs steps on the outbox. `fault` says why it is unusable, or is None; it is logged once when it changes.

    A fault heals by itself: `check` opens the file again and writes a probe.
    """

    def __init__(self, path: Path, clock: Clock, delivery: Delivery) -> None:
        self.path = path
        self.fault: str | None = None
        self._fault_lock = threading.Lock()
        self._clock = clock
        self._delivery = delivery
        self._outbox: Outbox | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._posted: SimpleQueue[_Job] = SimpleQueue()
        self._is_nudged = False
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="storehop outbox", daemon=True)
        self._thread.start()

    def submit[T](self, step: Callable[[Outbox], T]) -> asyncio.Future[T]:
        """The step's result once it is committed; OutboxError: then nothing of it happened."""
        future = self._loop.create_future()
        self._put(_Job(step, future=future))
        return future

    def post[T](self, step: Callable[[Outbox], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """As `submit`, where nobody waits: `done` gets the result or the error, before any step put in later."""
        self._post(_Job(step, done=done))

    def post_item[I, R](
        self,
        many: Many[I, R],
        item: I,
        done: Callable[[R | None, BaseException | None], None],
    ) -> None:
        """As `post`, in one go with the other items of this step."""
        self._post(_Job(many=many, item=item, done=done))

    def _post(self, job: _Job) -> None:
        if self._is_closed:
            raise OutboxError("closed")
        self._posted.put(job)
        if not self._is_nudged:
            self._is_nudged = True
            self._loop.call_later(LAZY, self._nudge)

    def _nudge(self) -> None:
        self._is_nudged = False
        if not self._is_closed and not self._posted.empty():
            self._jobs.put(_Job(_nothing))

    def submit_soon[T](
        self,
        step: Callable[[Outbox], T],
        seconds: float,
        late: Callable[[T], None] | None = None,
    ) -> asyncio.Future[T]:
        """As `submit`; TooSlowError when it is not committed in time. `late` gets the result that nobody waits for."""
        return self._soon(_Job(step, late=late), seconds)

    def submit_item[I, R](
        self,
        many: Many[I, R],
        item: I,
        seconds: float,
        late: Callable[[R], None] | None = None,
        undo: Callable[[Outbox, R], None] | None = None,
    ) -> asyncio.Future[R]:
        """As `submit_soon`, in one go with the other items of this step.

        `undo` comes before `late`: it runs on the outbox before another process sees what was committed too late.
        """
        return self._soon(_Job(many=many, item=item, late=late, undo=undo), seconds)

    def _soon(self, job: _Job, seconds: float) -> asyncio.Future[Any]:
        job.future = future = self._loop.create_future()
        self._put(job)
        job.patience = self._loop.call_later(seconds, _give_up, future)
        return future

    def _put(self, job: _Job) -> None:
        if self._is_closed:
            raise OutboxError("closed")
        self._jobs.put(job)

    async def run[T](self, step: Callable[[Outbox], T]) -> T:
        """As `submit`, awaited."""
        return await self.submit(step)

    def hold_back(self, fault: str) -> None:
        """No more clicks until a check finds that the outbox takes them again."""
        self._set_fault(fault)

    async def check(self) -> None:
        """Finds out whether the outbox takes clicks again; only this ends a fault."""
        try:
            await self.run(Outbox.probe)
        except OutboxError as error:
            logger.debug("the outbox is still unusable: %s", error)
        else:
            self._set_fault(None)

    async def close(self) -> None:
        """Commits what is waiting and ends the thread; one that hangs is left behind."""
        self._is_closed = True
        self._jobs.put(None)
        try:
            await asyncio.wait_for(self._ended.wait(), HANGS)
        except TimeoutError:
            logger.warning("the outbox %s hangs: what waits for it is not written", self.path)

    # on the thread

    def _work(self) -> None:
        is_closing = False
        while not is_closing:
            jobs, is_closing = self._batch()
            self._do(jobs)
        while jobs := _taken(self._posted, MAX_BATCH):
            self._do(jobs)
        if self._outbox:
            self._outbox.close()
        self._tell(self._ended.set)

    def _do(self, jobs: list[_Job]) -> None:
        if jobs:
            self._commit(jobs)
            self._tell(_resolve, jobs)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed: this thread was left behind
            self._loop.call_soon_threadsafe(what, *arguments)

    def _batch(self) -> tuple[list[_Job], bool]:
        """The next jobs, what was posted first; and whether they are the last."""
        jobs: list[_Job | None] = [self._jobs.get()]
        jobs += _taken(self._jobs, MAX_BATCH)
        while len(posted := _taken(self._posted, MAX_BATCH)) == MAX_BATCH:
            self._do(posted)  # no step that was put in later may overtake one
        return posted + [job for job in jobs if job], None in jobs

    def _commit(self, jobs: list[_Job]) -> None:
        """All jobs in one transaction; where one of them is at fault, each in its own: it harms no other."""
        try:
            outbox = self._usable()
            with outbox.turn():
                with outbox.transaction():
                    _run(jobs, outbox)
                _undo([job for job in jobs if job.undo and job.future and job.future.done()], outbox)
        except OutboxError as error:
            for job in jobs:
                job.error = error
            self._note(error)
        except Exception as error:  # noqa: BLE001  handed to whoever waits for the job
            if len(jobs) == 1:
                jobs[0].error = error
            else:
                for job in jobs:
                    self._commit([job])

    def _usable(self) -> Outbox:
        """The outbox, opened anew where it is not open or where its file is not the one of that name any more."""
        if self._outbox and inode_of(self.path) != self._outbox.inode:
            self._drop()
        if self._outbox is None:
            power_safe, max_bytes = self._delivery.power_safe, self._delivery.max_outbox
            self._outbox = Outbox.open(self.path, self._clock, power_safe=power_safe, max_bytes=max_bytes)
        return self._outbox

    def _note(self, error: OutboxError) -> None:
        if not isinstance(error, CorruptOutboxError):
            self._set_fault(str(error))
            return
        inode = self._outbox.inode if self._outbox else error.inode
        self._drop()
        try:
            aside = set_aside(self.path, inode)
        except OutboxError as stuck:
            self._set_fault(f"it is corrupt and can't be set aside: {stuck}")
        else:
            where = f"lies in {aside} now" if aside else "was set aside by another process"
            self._set_fault(f"it was corrupt ({error}) and {where}")

    def _drop(self) -> None:
        if self._outbox:
            self._outbox.close()
            self._outbox = None

    def _set_fault(self, fault: str | None) -> None:
        """Called by the thread and by the event loop, often in the same moment: a commit that fails was slow, too."""
        with self._fault_lock:
            before, self.fault = self.fault, fault
        if fault and not before:
            # A warning: mitmproxy ends by an error that is logged while it starts, and passing clicks is better.
            logger.warning("the outbox %s can't be used, clicks pass: %s", self.path, fault)
        elif before and not fault:
            logger.warning("the outbox %s works again", self.path)


def _run(jobs: list[_Job], outbox: Outbox) -> None:
    """Every job's step; items of one step go together, where the first of them stands."""
    groups: dict[Many[Any, Any], list[_Job]] = {}
    for job in jobs:
        if job.many:
            groups.setdefault(job.many, []).append(job)
    for job in jobs:
        if job.step:
            job.result = job.step(outbox)
        elif job.many and (group := groups.pop(job.many, None)):
            results = job.many(outbox, [one.item for one in group])
            for one, result in zip(group, results, strict=True):
                one.result = result


def _undo(jobs: list[_Job], outbox: Outbox) -> None:
    """Takes back what nobody waited for. Where that fails, `late` is what is left."""
    if not jobs:
        return
    try:
        with outbox.transaction():
            for job in jobs:
                if job.undo:
                    job.undo(outbox, job.result)
    except OutboxError as error:
        logger.debug("what was stored too late is taken back later: %s", error)
    except Exception:  # it is committed: nothing may look as if it were not
        logger.exception("taking back what was stored too late failed in our own code")


def _nothing(_outbox: Outbox) -> None:
    """A step that only has the posted ones come along."""


def _taken[T](queue: SimpleQueue[T], most: int) -> list[T]:
    """What is in the queue now."""
    found: list[T] = []
    try:
        while len(found) < most:
            found.append(queue.get_nowait())
    except Empty:
        pass
    return found


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TooSlowError("a commit takes too long"))


def _resolve(jobs: list[_Job]) -> None:
    """On the event loop: hands every job of a batch its result."""
    for job in jobs:
        if job.patience:
            job.patience.cancel()
        try:
            _hand_over(job)
        except Exception:  # one job's owner is not the next one's
            logger.exception("taking note of what was stored failed in our own code")


def _hand_over(job: _Job) -> None:
    if job.done:
        job.done(None if job.error else job.result, job.error)
    elif job.future is None or job.future.done():  # whoever waited has gone
        if job.late and not job.error:
            job.late(job.result)
    elif job.error:
        job.future.set_exception(job.error)
    else:
        job.future.set_result(job.result)
