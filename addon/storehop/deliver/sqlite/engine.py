"""The engine over one SQLite file: batches become transactions, under a lock that all its processes share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError, FullError
from storehop.deliver.sqlite import upkeep
from storehop.deliver.sqlite.batches import READS, run_all
from storehop.deliver.sqlite.clock import Clock, SystemClock
from storehop.deliver.sqlite.file import BUSY_S, CorruptError, connect, inode_of, set_aside, transaction, translated
from storehop.deliver.sqlite.lock import WriteLock
from storehop.deliver.sqlite.statements import Now

MIN_WAL_BYTES = 64 * 1024 * 1024
"""A write-ahead log may always grow to this."""


class SqliteEngine:
    """Keeps an outbox in the file at `path`; see `storehop.deliver.engine.Engine`.

    With `power_safe` a stored call survives a power cut, else only a crash of the process. `max_bytes` bounds the
    file (see `upkeep.bound`). While a reader from outside keeps the write-ahead log above `max_wal_bytes`, nothing is
    accepted. A corrupt file is set aside for a new one where `sets_aside`; else it stays as it is, and `run` raises.
    """

    kind = "sqlite"
    most = 500
    patience_s = 1.0
    remarks: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        *,
        power_safe: bool = True,
        max_bytes: int | None = None,
        max_wal_bytes: int | None = None,
        sets_aside: bool = True,
        clock: Clock | None = None,
    ) -> None:
        # Once: lock, file and what is set aside must lie together, however the path leads there.
        self._path = Path(os.path.realpath(path))
        self.where = str(path)
        self._power_safe = power_safe
        self._max_bytes = max_bytes
        self._max_wal_bytes = max_wal_bytes or max(MIN_WAL_BYTES, max_bytes or 0)
        self._sets_aside = sets_aside
        self._clock = clock or SystemClock()
        self._lock: WriteLock | None = None
        self._db: sqlite3.Connection | None = None
        self._inode: int | None = None
        self.refusal: str | None = None
        self._is_log_full = False

    def exclusive(self) -> AbstractContextManager[None]:
        """No other process writes or claims meanwhile."""
        with translated():
            if self._lock and self._lock.is_lost:
                self._lock.close()
                self._lock = None
            if self._lock is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = WriteLock(self._path)
        return self._lock

    def run(self, batch: Sequence[op.Operation[Any]]) -> list[Any]:
        """See `Engine.run`. What only reads holds nobody up, however much there is to read."""
        is_locked = self._lock is not None and self._lock.is_held
        if not is_locked and not (self._is_open() and {type(one) for one in batch} <= READS):
            with self.exclusive():
                return self.run(batch)
        try:
            with translated():
                return self._run(self._opened(), batch)
        except CorruptError as error:
            if not self._sets_aside:
                raise
            with nullcontext() if is_locked else self.exclusive():
                raise EngineError(self._put_aside(error)) from error

    def close(self) -> None:
        """See `Engine.close`."""
        self._drop()
        if self._lock:
            self._lock.close()
            self._lock = None

    # the file

    def _is_open(self) -> bool:
        """Whether the file is open, and still the one of that name."""
        return self._db is not None and inode_of(self._path) == self._inode

    def _opened(self) -> sqlite3.Connection:
        """The connection, made anew where there is none. Under the lock."""
        if not self._is_open():
            self._drop()
        if self._db is None:
            self._inode = inode_of(self._path)  # of a file that turns out to be corrupt
            self._db = connect(self._path, self._clock, power_safe=self._power_safe)
            self._inode = inode_of(self._path)
            self._check_bounds(self._db)
        return self._db

    def _drop(self) -> None:
        if self._db:
            self._db.close()
            self._db = None

    def _put_aside(self, error: CorruptError) -> str:
        """Makes place for a new file. Returns what people should know."""
        self._drop()
        try:
            aside = set_aside(self._path, self._inode)
        except EngineError as stuck:
            return f"it is corrupt and can't be set aside: {stuck}"
        where = f"lies in {aside} now" if aside else "was set aside by another process"
        return f"it was corrupt ({error}) and {where}"

    def _check_bounds(self, db: sqlite3.Connection) -> None:
        """Finds out whether more clicks can be taken."""
        is_full = self._max_bytes is not None and upkeep.bound(db, self._max_bytes)
        log_fault = self._wal_fault(db)
        self._is_log_full = log_fault is not None
        self.refusal = log_fault or ("it is full: max_outbox is reached" if is_full else None)

    def _wal_fault(self, db: sqlite3.Connection) -> str | None:
        """A reader that holds a transaction open keeps SQLite from writing the log back, so that it grows."""
        if self._wal_bytes() <= self._max_wal_bytes:
            return None
        db.execute("PRAGMA busy_timeout = 0")  # clicks wait: for a reader that may never end nobody does
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            db.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
        if (size := self._wal_bytes()) <= self._max_wal_bytes:
            return None
        return f"its write-ahead log has {size / 1024 / 1024:.0f} MB: a reader from outside holds it open"

    def _wal_bytes(self) -> int:
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    # batches

    def _run(self, db: sqlite3.Connection, batch: Sequence[op.Operation[Any]]) -> list[Any]:
        kinds = {type(one) for one in batch}
        if op.Sweep in kinds:
            (sweep,) = batch
            return [self._sweep(db, sweep)]
        if op.Probe in kinds:
            self._check_bounds(db)
        if self.refusal and (kinds & {op.Accept, op.Remember} or (op.Probe in kinds and self._is_log_full)):
            raise FullError(self.refusal)
        with transaction(db) if not kinds <= READS else nullcontext():
            results = run_all(db, Now(self._clock.uptime(), self._clock.wall()), batch)
        if self.refusal and op.Probe in kinds:  # all else can be written, as it has found out
            raise FullError(self.refusal)
        return results

    def _sweep(self, db: sqlite3.Connection, sweep: Any) -> op.Swept:
        max_dead_bytes = self._max_bytes // 2 if self._max_bytes else None
        with transaction(db):  # its own: what is freed stays free
            dropped = upkeep.make_room(db, self._clock.uptime(), max_dead_bytes)
        self._check_bounds(db)
        with transaction(db):
            return upkeep.expire(db, Now(self._clock.uptime(), self._clock.wall()), sweep, dropped)
