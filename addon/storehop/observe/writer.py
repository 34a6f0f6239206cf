"""Writes the log beside the event loop, so that a log that nobody reads stops nothing (design §13).

Whoever reads the log may stop: a full pipe, a hung collector, a terminal on hold. Then a thread waits for it in a
write, what comes meanwhile collects up to a bound in bytes, and the rest is dropped and counted. When the reader reads
again, a line says how many are missing, in their place.

Why not logging.handlers.QueueListener: its queue counts records, not bytes, each record costs it a turn of the thread,
and its end waits for a reader that is stuck.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import stat
import sys
import termios
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

MAX_WAITING_BYTES = 4 << 20
"""What may wait for the reader: about seven seconds of the busiest process's lines."""
END_S = 1.0
"""How long the end of the process waits for what is not written yet."""


class LogWriter:
    """Writes pieces of whole lines in their order. Its methods never wait, but for `close`.

    `write` writes all bytes of a piece and may wait for ever; OSError means that it could not. `notice` makes the line,
    with its end, that says how many lines were dropped and why. Both are called in the thread.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        notice: Callable[[int, str], bytes],
        most_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self.dropped = 0
        """Lines so far that were never written."""
        self._write = write
        self._notice = notice
        self._most = most_bytes
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._waiting_bytes = 0
        self._untold = 0
        self._why = ""
        self._is_full = False
        """Nothing is taken until all is written that waits: the gap is in one place."""
        self._is_ending = False
        self._ready = Condition()
        # A daemon: the end of the process must not wait for one that is stuck. `write` must use no stream of Python's,
        # whose lock the interpreter would find taken at its end.
        self._thread = Thread(target=self._work, name="storehop log", daemon=True)
        self._thread.start()

    def put(self, data: bytes, lines: int) -> None:
        """Writes these lines when their turn comes, or drops them."""
        with self._ready:
            self._is_full = self._is_full or self._waiting_bytes + len(data) > self._most
            if self._is_full:
                self._drop(lines, "the log was not read")
            else:
                self._pieces.append((data, lines))
                self._waiting_bytes += len(data)
            self._ready.notify()

    def close(self, patience_s: float = END_S) -> None:
        """Returns when all is written, or after `patience_s`."""
        with self._ready:
            self._is_ending = True
            self._ready.notify()
        self._thread.join(patience_s)

    def _drop(self, lines: int, why: str) -> None:
        self.dropped += lines
        self._untold += lines
        self._why = why

    # in the thread

    def _work(self) -> None:
        while piece := self._next():
            data, lines, untold, why = piece
            try:
                self._write(self._notice(untold, why) + data if untold else data)
            except OSError as error:
                with self._ready:
                    self._drop(lines, f"the log could not be written ({error.strerror})")
                    self._untold += untold
            with self._ready:
                self._waiting_bytes -= len(data)

    def _next(self) -> tuple[bytes, int, int, str] | None:
        """What to write: data, its lines, and how many were dropped before it, and why; None at the end."""
        with self._ready:
            self._ready.wait_for(lambda: self._pieces or self._is_full or self._is_ending)
            if self._pieces:
                data, lines = self._pieces.popleft()
            elif self._is_full:
                data, lines, self._is_full = b"", 0, False
            else:
                return None
            untold = 0 if self._is_full else self._untold  # else what was dropped comes later
            self._untold -= untold
            return data, lines, untold, self._why


def write_all(descriptor: int, data: bytes) -> None:
    """Writes every byte, however long that takes. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # whoever shares the other end has made it so
            select.select((), (descriptor,), ())


def write_lines(descriptor: int, data: bytes) -> None:
    """Writes every byte, and no line into another process's on a pipe that they share, up to PIPE_BUF a line.

    What a pipe has no room for is written in parts, and others write between them, unless it is short (POSIX, write).
    Raises OSError.
    """
    if len(data) <= select.PIPE_BUF or _room(descriptor) >= len(data):
        write_all(descriptor, data)
        return
    begin = 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + select.PIPE_BUF) + 1 or data.find(b"\n", begin) + 1 or len(data)
        write_all(descriptor, data[begin:end])
        begin = end


def _room(descriptor: int) -> float:
    """Bytes that fit into a pipe; endless where it is none."""
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return math.inf
    unread = int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
    size = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) if hasattr(fcntl, "F_GETPIPE_SZ") else 0  # Linux only
    return size - unread
