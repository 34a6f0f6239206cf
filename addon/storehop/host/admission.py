"""How many clients are let in: no more than asked for, and never so many that files run out for the rest of us.

Where there is no room, no connection is accepted. New ones wait in the kernel's queue, where another process on the
same socket can take them, and are served as soon as there is room: a peak costs a moment, and not an error.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Callable
from time import monotonic

from storehop.host.places import Places
from storehop.observe.seldom import Seldom, since_last

logger = logging.getLogger(__name__)

RESERVED_FILES = 128
"""For S2S calls, outbox, admin endpoints and log; half of the limit of open files at the most."""
_TOO_FEW = "too few files are left"
_NO_LIMIT = 1 << 30
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A peer that is gone without a word is noticed after two minutes; one that is only silent stays."""


def file_limit() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


class Admission:
    """Says whether one more client may come in, and why not.

    `places` are for connections to the upstream, out of the same files: nobody takes those that are reserved.
    """

    def __init__(self, count: Callable[[], int], most: int = 0, files: int | None = None) -> None:
        """`count` returns how many are in; `most` may be, 0: as many as `files` allow, the limit of open files."""
        files = file_limit() if files is None else files
        reserved = min(RESERVED_FILES, files // 2)
        by_files = (files - reserved) // 2  # each may need one to the upstream, too
        self.places = Places(count, files - reserved)
        self.most = min(most or by_files, by_files)
        self._last_file = files - max(1, reserved // 8)  # beyond it others have taken more than is reserved for them
        self._count = count
        self._lack_of_files: str | None = None
        self._lines = Seldom(monotonic)

    @property
    def inside(self) -> int:
        """How many are in."""
        return self._count()

    def fault(self) -> str | None:
        """Why nobody is let in, or None."""
        if self._count() >= self.most:
            return f"all {self.most:,} are in use"
        return self._lack_of_files

    def has_room(self, coming: int, listening: int) -> bool:
        """Whether one more may come in. `coming` are not counted yet; `listening` is the number of any open file."""
        self._lack_of_files = self._lacks_files(listening)
        if self._lack_of_files or self._count() + coming >= self.most:
            return False
        if not self.places.has_room(coming + 1):
            self._lack_of_files = _TOO_FEW
        return self._lack_of_files is None

    def _lacks_files(self, listening: int) -> str | None:
        try:
            lowest_free = os.dup(listening)
        except OSError as error:
            return os.strerror(error.errno or 0)
        os.close(lowest_free)
        return _TOO_FEW if lowest_free >= self._last_file else None

    def failed(self, error: OSError) -> None:
        """The kernel had no file for one more."""
        self._lack_of_files = os.strerror(error.errno or 0)

    def closed(self) -> None:
        """Nobody is accepted from now on, until there is room."""
        if count := self._lines.count():
            why = self._lack_of_files or f"all {self.most:,} are in use"
            logger.warning("connections: %s: new ones wait%s", why, since_last(count))


def keep_alive(connection: socket.socket) -> None:
    """Lets the kernel find out whether a silent peer is still there: no limit of ours ends a WebSocket."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if number := getattr(socket, name, None):  # macOS lacks one of them
            connection.setsockopt(socket.IPPROTO_TCP, number, value)
