"""The engine over Redis or Valkey: a batch is one run of a script; what gives a right to send waits for replicas."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import batched
from typing import Any

from storehop.deliver import operations as op
from storehop.deliver.clock import uptime
from storehop.deliver.engine import EngineError, EngineWatcher, FullError, UnknownError
from storehop.deliver.redis.finding import finder_for
from storehop.deliver.redis.link import GoneError
from storehop.deliver.redis.parts import Ids, ListThese, ReleaseThese
from storehop.deliver.redis.place import Place
from storehop.deliver.redis.primary import Primary, Run
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

PAUSE_S = 0.1
"""After a connection that could not be made, about: twenty hosts must not storm a server that starts."""
READS = frozenset({op.ListCalls, op.Marks, op.Recall, Ids, ListThese})
NEEDS_NO_REPLICA = READS | {op.Settle, op.Remember, op.Forget, op.Release, ReleaseThese, op.Sweep}
"""These give nobody the right to send. A verdict that is lost with its primary lets the call be sent again."""
PART = 200
"""Calls that one run of the script shows or releases: more would hold up the clicks of all hosts."""


class RedisEngine:
    """Keeps an outbox at a `place`; see `storehop.deliver.engine.Engine`.

    Of `settings` the keys `outbox_…` and `max_outbox` count.
    """

    kind = "redis"
    most = 100
    patience_s = 0.3

    def __init__(self, place: Place, settings: Delivery, watcher: EngineWatcher | None = None) -> None:
        self.where = str(place)
        self.remarks: tuple[str, ...] = ()
        self.refusal: str | None = None
        self._place = place
        self._settings = settings
        self._watcher = watcher
        self._tag = f"{{{settings.outbox_name}}}"
        self._max_bytes: int | None = settings.max_outbox
        self._finder = finder_for(place, self._tag)
        self._primary: Primary | None = None
        self._history = ""
        self._next_try, self._why = 0.0, ""

    def exclusive(self) -> AbstractContextManager[None]:
        """Leases alone keep others away."""
        return nullcontext()

    def run(self, batch: Sequence[op.Operation[Any]]) -> list[Any]:
        """See `Engine.run`."""
        primary = self._connected()
        kinds = {type(one) for one in batch}
        if kinds & {op.Probe, op.Sweep}:
            self._examine(primary)
        if self.refusal and kinds & {op.Accept, op.Remember}:
            raise FullError(self.refusal)
        match batch:
            case [op.ListCalls() as listing]:
                return [self._listed(primary, listing)]
            case [op.Release(holder)]:
                return [self._released(primary, holder)]
        results = self._run(primary, batch) if batch else []
        if self.refusal and op.Probe in kinds:  # all else can be written, as it has found out
            raise FullError(self.refusal)
        return results

    def close(self) -> None:
        """See `Engine.close`."""
        self._finder.close()
        if self._primary:
            self._primary.close()
            self._primary = None

    # the primary

    def _connected(self) -> Primary:
        if self._primary is None:
            if uptime() < self._next_try:
                raise EngineError(self._why)
            try:
                self._primary = self._opened()
            except EngineError as error:
                self._next_try, self._why = uptime() + PAUSE_S * random.uniform(0.5, 1.5), str(error)  # noqa: S311
                raise
        return self._primary

    def _opened(self) -> Primary:
        primary = Primary(self._finder, self._place, self._tag, self._settings, self._watcher)
        try:
            self._take_health(primary)
        except EngineError:
            primary.close()
            raise
        return primary

    def _examine(self, primary: Primary) -> None:
        """Whether it is the primary still, and may keep an outbox."""
        try:
            if not self._finder.is_still(primary.address):
                raise GoneError("another server is the primary now")
            self._take_health(primary)
        except EngineError:
            self.close()
            raise

    def _take_health(self, primary: Primary) -> None:
        health = primary.health()
        self.refusal, self.remarks = health.refusal, (*health.remarks, *self._finder.remarks)
        if self._history and self._history == health.history_before:
            logger.warning("the outbox %s has another primary now: %s:%d", self.where, *primary.address)
            if self._watcher:
                self._watcher.failed_over()
        self._history = health.history

    # batches

    def _run(self, primary: Primary, batch: Sequence[op.Operation[Any]]) -> list[Any]:
        kinds = {type(one) for one in batch}
        try:
            return primary.run(batch, _how(kinds, self._max_bytes))
        except FullError:
            raise
        except GoneError as error:
            self.close()
            raise UnknownError(str(error)) from error
        except EngineError:
            self.close()
            raise

    def _listed(self, primary: Primary, operation: op.ListCalls) -> list[op.StoredCall]:
        """In parts; what changes meanwhile may be missing."""
        if operation.call_id:
            (listed,) = self._run(primary, [operation])
            return list(listed)
        rows: list[op.StoredCall] = []
        for part in self._parts(primary, operation.dead):
            rows += self._run(primary, [ListThese(part, operation.dead)])[0]
        return sorted(rows, key=lambda row: row.age)

    def _released(self, primary: Primary, holder: str) -> int:
        """In parts: who has ended leases nothing more meanwhile."""
        parts = self._parts(primary, dead=False)
        return sum(self._run(primary, [ReleaseThese(holder, part)])[0] for part in parts)

    def _parts(self, primary: Primary, dead: bool | None) -> Iterator[tuple[str, ...]]:
        """The ids of the calls that are there now."""
        (ids,) = self._run(primary, [Ids(dead)])
        return batched(ids, PART)


def _how(kinds: set[type[op.Operation[Any]]], max_bytes: int | None) -> Run:
    """A full server takes no clicks, but lets go of those that it has."""
    takes = bool(kinds & {op.Accept, op.Remember, op.Probe})
    flags = "no-writes" if kinds <= READS else "" if takes else "allow-oom"
    return Run(flags, writes=not kinds <= READS, is_awaited=not kinds <= NEEDS_NO_REPLICA, max_bytes=max_bytes)
