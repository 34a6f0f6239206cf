"""Lines that the public can cause, one a minute of each kind: what libraries say of a connection, and tracebacks."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Hashable

from storehop.observe.seldom import Seldom, since_last

MAX_KINDS = 100
"""Those after them are one kind together: what strangers write may stand in a library's lines."""
_KIND_CHARACTERS = 24
"""Of a line that say its kind: enough for what the library says, before the stranger's words."""
MAX_CHARACTERS = 500
"""Of a library's line that are logged."""


class Floods(logging.Filter):
    """Lets a kind's lines through once a minute, with a count: warnings of libraries, and whatever has a traceback.

    `clock` as of Seldom. Threads may meet here: then a count is off by one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[Hashable, Seldom] = {}

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        is_theirs = record.levelno >= logging.WARNING and not record.name.startswith("storehop")
        if not (is_theirs or record.exc_info):
            return True
        count = self._seldom(_kind(record)).count()
        if not count:
            return False
        shown = copy.copy(record)
        words = record.getMessage()
        shown.msg, shown.args = (_shortened(words) if is_theirs else words) + since_last(count), None
        return shown

    def _seldom(self, kind: Hashable) -> Seldom:
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = None
        return self._kinds.setdefault(kind, Seldom(self._clock))


def _kind(record: logging.LogRecord) -> Hashable:
    return record.name, record.levelno, str(record.msg)[:_KIND_CHARACTERS], _place(record)


def _place(record: logging.LogRecord) -> Hashable:
    """Where its exception was raised, and which it is."""
    if not record.exc_info or not record.exc_info[0]:
        return None
    kind, _, trace = record.exc_info
    while trace and trace.tb_next:
        trace = trace.tb_next
    return kind, trace and (trace.tb_frame.f_code.co_filename, trace.tb_lineno)


def _shortened(words: str) -> str:
    return words if len(words) <= MAX_CHARACTERS else f"{words[:MAX_CHARACTERS]}…"
