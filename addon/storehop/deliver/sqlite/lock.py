"""Whose turn it is to write, among the processes that share an outbox.

SQLite lets them ask again and again, in pauses that grow: the unlucky one asks in vain for seconds while others write.
Here they stand in a queue of the kernel's (flock), which a process that dies leaves. A process that is stopped stays
in it: so nobody waits without a limit.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path

from storehop.deliver.engine import EngineError

PATIENCE_S = 1.0
"""How long somebody waits for the lock."""


class WriteLock:
    """One process's place in the queue; for one thread."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where its file, beside the outbox at `path`, can't be had."""
        # Not the outbox itself: closing it would drop the locks that SQLite has on it (POSIX, fcntl).
        self._path = path.with_name(f"{path.name}-turn")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with suppress(FileNotFoundError):
            self._give_to_owner_of(path)
        self.is_held = False
        self._waiter: _Waiter | None = None

    def _give_to_owner_of(self, path: Path) -> None:
        """Root may look into another user's outbox: that user's storehop must still be able to open this file."""
        owner = path.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(self._file, owner.st_uid, owner.st_gid)

    @property
    def is_lost(self) -> bool:
        """Whether its file is deleted, or another's in its place: the others queue up elsewhere."""
        try:
            return not os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return True

    def __enter__(self) -> None:
        """No other process writes until it ends. Raises EngineError when it is not to be had within PATIENCE_S."""
        try:
            if not self._is_free():
                self._queue()
        except (OSError, RuntimeError) as error:  # of a network file system; no thread is to be had
            raise _no_lock(error) from error
        self.is_held = True

    def __exit__(self, *_: object) -> None:
        self.is_held = False
        try:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            raise _no_lock(error) from error

    def close(self) -> None:
        """A waiter that is still in the queue ends by itself when it is its turn."""
        if self._waiter is None or self._waiter.has_ended:
            os.close(self._file)

    def _is_free(self) -> bool:
        """Takes the lock if nobody has it, and nobody of ours stands in the queue."""
        if self._waiter:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _queue(self) -> None:
        while True:
            self._waiter = waiter = self._waiter or _Waiter(self._file)
            try:
                is_ours = waiter.wait(PATIENCE_S)
            finally:
                if waiter.has_ended:
                    self._waiter = None
            if is_ours or (self._waiter is None and self._is_free()):
                return
            if self._waiter:  # it still stands in the queue; else its turn came when nobody wanted it
                raise EngineError(f"another process has held its lock for longer than {PATIENCE_S:g} s")


class _Waiter:
    """Stands in the kernel's queue, in a thread: flock has no time limit. Who waits for it may give up."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._change = threading.Condition()
        self._is_wanted = True
        self._is_acquired = False
        self._error: OSError | None = None
        self.has_ended = False
        """It does nothing to the lock any more."""
        threading.Thread(target=self._queue, name="storehop lock", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether the lock is the caller's now. Where not, this may be called again. Raises OSError."""
        with self._change:
            if not self.has_ended:
                self._is_wanted = True
                self._is_wanted = self._change.wait_for(lambda: self.has_ended, seconds)
            if self._error:
                raise self._error
            return self._is_acquired

    def _queue(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._change:
            self._is_acquired = self._is_wanted and self._error is None
            if not self._is_acquired:
                with suppress(OSError):  # first: whoever sees the end may take the lock by this very file
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            self.has_ended = True
            self._change.notify()


def _no_lock(error: Exception) -> EngineError:
    return EngineError(f"its lock can't be had: {getattr(error, 'strerror', None) or error}")
