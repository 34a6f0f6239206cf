"""All of Python's logging, and clicks' lines past it, in batches into one writer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from contextlib import nullcontext
from functools import partial
from typing import Protocol, TextIO

from storehop.observe.floods import Floods
from storehop.observe.lines import Fields, JsonLines, TextLines
from storehop.observe.writer import LogWriter, write_all, write_lines

FLUSH_S = 0.1
"""How long a line waits for more lines."""


class Writer(Protocol):
    """Writes pieces of whole lines; see LogWriter."""

    dropped: int

    def put(self, data: bytes, lines: int) -> None: ...
    def close(self) -> None: ...


class BatchHandler(logging.Handler):
    """Writes the lines of FLUSH_S together, so that a busy process makes ten system calls a second for its log.

    Writes warnings and lines of other threads at once, with all lines before them. Lines of clicks always wait: the
    dead letters of an hour would cost a system call each. Needs a running event loop when it is created.
    """

    def __init__(self, writer: Writer, formatter: TextLines | JsonLines) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._of_click = formatter.of_click
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    @property
    def dropped(self) -> int:
        """Lines so far that were never written."""
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  a mistake in a line must not end what it is about
            self.handleError(record)
        else:
            self._add(line, is_urgent=record.levelno >= logging.WARNING)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Says it in the log: Python's own way would write to a reader that may be stuck."""
        self._add(f"A log line of {record.name} could not be made: {traceback.format_exc()}", is_urgent=True)

    def write(self, level: int, event: str, fields: Fields) -> None:
        """Adds a line about a click, equal to the formatter's. On the event loop's thread only."""
        self._lines.append(self._of_click(time.time(), level, event, fields))
        if len(self._lines) == 1:
            self._loop.call_later(FLUSH_S, self.flush)

    def _add(self, line: str, *, is_urgent: bool) -> None:
        self._lines.append(line)
        if is_urgent or threading.get_ident() != self._thread or self._loop.is_closed():
            self.flush()
        elif len(self._lines) == 1:
            self._loop.call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Hands what there is to the writer, which never waits."""
        with self.lock or nullcontext():
            if lines := self._lines[:]:
                del self._lines[: len(lines)]  # no new list: a click's line may come meanwhile, without the lock
                self._writer.put(_encoded(lines), len(lines))
            if self._lines and not self._loop.is_closed():  # one came meanwhile, and saw no need of a timer
                self._loop.call_soon_threadsafe(self.flush)

    def close(self) -> None:
        """At the end of the process."""
        self.flush()
        self._writer.close()
        super().close()


def _encoded(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def log_to(stream: TextIO, *, as_json: bool, level: int = logging.INFO, worker: int | None = None) -> BatchHandler:
    """Sends all logging of this level and above to a file's stream in batches. Needs a running event loop.

    `worker` is this process's place where it is one of several.

    Turns off what logging looks up for each record and our lines do not show; see "Optimization" in the logging HOWTO
    of Python's documentation.
    """
    formatter = (JsonLines if as_json else TextLines)(worker)

    def notice(count: int, why: str) -> bytes:
        words = f"{count:,} log lines were dropped: {why}"
        record = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": words}
        return _encoded([formatter.format(logging.makeLogRecord(record))])

    write = partial(write_lines if worker else write_all, stream.fileno())
    handler = BatchHandler(LogWriter(write, notice), formatter)
    handler.addFilter(Floods(time.monotonic))
    logging.basicConfig(level=level, handlers=[handler])
    logging._srcfile = None  # noqa: SLF001  the documented way
    for attribute in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, attribute, False)
    return handler
