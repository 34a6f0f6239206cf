"""Log lines (design §5): one for a click and one for each attempt at its S2S call; text or JSON.

The click id joins both lines with the outbox's row, mitmweb's flow and the metrics' exemplars. Addresses, device
ids and User-Agents are left out unless somebody asked for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

from storehop.model import Click, Dead, DeadReason, Decision, Delivered, Direct, Failure, Reply, RetryIn, Settled
from storehop.observe.watchers import Watcher

logger = logging.getLogger("storehop.click")


type Fields = dict[str, object]


class ClickLog(Watcher):
    """Writes a line for each event of a click. `personal_data` adds link, address, User-Agent and the S2S URL.

    Given `lines`, it writes there without Python's logging, which takes three times as long for a line.
    """

    def __init__(self, *, personal_data: bool = False, lines: BatchHandler | None = None) -> None:
        self.personal_data = personal_data
        self._write = lines.write if lines else _log

    def answered(self, click: Click, decision: Decision, _seconds: float = 0.0) -> None:
        """Logs what the user got."""
        if not logger.isEnabledFor(logging.INFO):
            return
        fields: dict[str, object] = {
            "click": click.id,
            "first": decision.repeats or None if isinstance(decision, Direct) else None,
            "reason": None if isinstance(decision, Direct) else decision.reason,
            "rule": decision.rule,
            "app": decision.app,
            "platform": decision.platform,
            "store": decision.store,
        }
        if self.personal_data:
            fields |= {"link": click.link, "peer": click.peer, "user_agent": click.headers.get("user-agent")}
        self._write(logging.INFO, _event(decision), fields)

    def settled(self, settled: Settled) -> None:
        """Logs the result of an attempt at the S2S call."""
        event, level = _EVENTS[type(settled.verdict)]
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "click": settled.call.id,
            "rule": settled.call.rule,
            "outcome": _words(settled),
            "attempt": settled.attempt,
            "ms": round(settled.age * 1000),
        }
        if isinstance(settled.verdict, Dead):
            fields["reason"] = settled.verdict.reason
        if self.personal_data:
            fields["url"] = settled.call.url
        self._write(level, event, fields)

    def expired(self, call_ids: tuple[str, ...]) -> None:
        """Logs each call that got too old, by the click's id."""
        for call_id in call_ids:
            self._write(logging.WARNING, "s2s_dead", {"click": call_id, "reason": DeadReason.TOO_OLD})


def _event(decision: Decision) -> str:
    if isinstance(decision, Direct):
        return "duplicate" if decision.repeats else "direct"
    return "pass"


_EVENTS = {
    Delivered: ("s2s_delivered", logging.INFO),
    RetryIn: ("s2s_put_off", logging.INFO),
    Dead: ("s2s_dead", logging.WARNING),
}


def _words(settled: Settled) -> str | None:
    match settled.outcome:
        case Reply(status):
            return str(status)
        case Failure(fault):
            return str(fault)
        case None:
            return None


def _log(level: int, event: str, fields: Fields) -> None:
    present = _without_none(fields)
    logger.log(level, "%s", _text(event, present), extra={"event": event, "fields": present})


def _without_none(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _text(event: str, fields: Fields) -> str:
    return f"{event} {' '.join([f'{name}={_plain(str(value))}' for name, value in fields.items()])}"


def _plain(value: str) -> str:
    """The value, in quotes if it could be read as another field or line: strangers write their User-Agents."""
    return value if value.isprintable() and " " not in value else json.dumps(value)


FLUSH_S = 0.1
"""How long a line waits for more lines."""


class BatchHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of FLUSH_S together, so that a busy process makes ten system calls a second for its log.

    Writes warnings and lines of other threads at once, with all lines before them. Lines of clicks always wait: the
    dead letters of an hour would cost a system call each. Needs a running event loop when it is created.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        super().__init__(stream)
        self._as_json = as_json
        self.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._add(self.format(record), is_urgent=record.levelno >= logging.WARNING)
        except Exception:  # noqa: BLE001  as every handler of logging: it reports to stderr
            self.handleError(record)

    def write(self, level: int, event: str, fields: Fields) -> None:
        """Adds a line about a click, equal to the formatter's. On the event loop's thread only."""
        now = time.time()
        present = _without_none(fields)
        if self._as_json:
            head = f'{{"time": "{_stamp(now)}", "level": "{_JSON_LEVELS[level]}", "logger": "{logger.name}"'
            line = f'{head}, "event": "{event}", {_ENCODE(present)[1:]}'
        else:
            second, fraction = divmod(now, 1)
            line = f"{_clock(int(second))},{int(fraction * 1000):03} {_LEVELS[level]} {_text(event, present)}"
        try:
            with self.lock or nullcontext():
                self._add(line, is_urgent=False)
        except Exception:  # noqa: BLE001  as in emit: the caller goes on
            self.handleError(logging.makeLogRecord({"msg": line}))

    def _add(self, line: str, *, is_urgent: bool) -> None:
        self._lines.append(line)
        if is_urgent or threading.get_ident() != self._thread or self._loop.is_closed():
            self.flush()
        elif len(self._lines) == 1:
            self._loop.call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        with self.lock or nullcontext():
            if self._lines:
                lines, self._lines = self._lines, []
                self.stream.write("\n".join(lines) + "\n")
            super().flush()


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    return time.strftime(logging.Formatter.default_time_format, time.localtime(second))


@lru_cache(maxsize=4)
def _utc(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_ENCODE = json.JSONEncoder(default=str).encode
_LEVELS = {level: logging.getLevelName(level) for level in (logging.INFO, logging.WARNING)}
_JSON_LEVELS = {level: name.lower() for level, name in _LEVELS.items()}


def log_to(stream: TextIO, *, as_json: bool) -> BatchHandler:
    """Sends all logging to a stream in batches. Needs a running event loop.

    Turns off what logging looks up for each record and our lines do not show; see "Optimization" in the logging HOWTO
    of Python's documentation.
    """
    handler = BatchHandler(stream, as_json=as_json)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging._srcfile = None  # noqa: SLF001  the documented way
    for attribute in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, attribute, False)
    return handler


def _stamp(created: float) -> str:
    return f"{_utc(int(created))}.{int(created % 1 * 1000):03}+00:00"


def _entry(created: float, level: int, name: str) -> Fields:
    return {
        "time": _stamp(created),
        "level": logging.getLevelName(level).lower(),
        "logger": name,
    }


class JsonFormatter(logging.Formatter):
    """A JSON object for each line: time, level, logger, and the fields of a click's line or the message of another."""

    def format(self, record: logging.LogRecord) -> str:
        entry = _entry(record.created, record.levelno, record.name)
        fields = getattr(record, "fields", None)
        if fields is None:
            entry["message"] = record.getMessage()
        else:
            entry |= {"event": getattr(record, "event", ""), **fields}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _ENCODE(entry)
