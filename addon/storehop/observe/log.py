"""Log lines (design §5): one a click and one for the end of its S2S call; text for people, JSON for machines.

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

from storehop.model import Click, Dead, DeadReason, Decision, Delivered, Direct, Failure, Reply, RetryAt, Settled

logger = logging.getLogger("storehop.click")


type Fields = dict[str, object]


class ClickLog:
    """Writes what happened to clicks. `personal_data` adds link, address, User-Agent and the S2S URL.

    With `lines` it writes there, past Python's logging, which takes three times as long for a line.
    """

    def __init__(self, *, personal_data: bool = False, lines: BatchHandler | None = None) -> None:
        self.personal_data = personal_data
        self._write = lines.write if lines else _log

    def answered(self, click: Click, decision: Decision) -> None:
        """What the user got."""
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
        """What came of an attempt at its S2S call."""
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

    def expired(self, call_ids: list[str]) -> None:
        for call_id in call_ids:
            self._write(logging.WARNING, "s2s_dead", {"click": call_id, "reason": DeadReason.TOO_OLD})


def _event(decision: Decision) -> str:
    if isinstance(decision, Direct):
        return "duplicate" if decision.repeats else "direct"
    return "pass"


_EVENTS = {
    Delivered: ("s2s_delivered", logging.INFO),
    RetryAt: ("s2s_put_off", logging.INFO),
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
    known = _known(fields)
    logger.log(level, "%s", _text(event, known), extra={"event": event, "fields": known})


def _known(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _text(event: str, known: Fields) -> str:
    return f"{event} {' '.join([f'{name}={_plain(str(value))}' for name, value in known.items()])}"


def _plain(value: str) -> str:
    """In quotes where it holds what could pass for another field or line: Users write their User-Agents themselves."""
    return value if value.isprintable() and " " not in value else json.dumps(value)


FLUSH = 0.1
"""Seconds that a line waits for others."""


class BatchHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of a moment at once, so that a busy host pays for a system call ten times a second.

    Warnings and what other threads say are written at once, with all that came before. Must be made on a running
    event loop.
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
            self._add(self.format(record), record.levelno)
        except Exception:  # noqa: BLE001  as every handler of logging's: it says so on stderr
            self.handleError(record)

    def write(self, level: int, event: str, fields: Fields) -> None:
        """A line of a click's, as the formatter would write it. On the event loop's thread."""
        now = time.time()
        known = _known(fields)
        if self._as_json:
            head = f'{{"time": "{_stamp(now)}", "level": "{_JSON_LEVELS[level]}", "logger": "{logger.name}"'
            line = f'{head}, "event": "{event}", {_ENCODE(known)[1:]}'
        else:
            second, fraction = divmod(now, 1)
            line = f"{_clock(int(second))},{int(fraction * 1000):03} {_LEVELS[level]} {_text(event, known)}"
        try:
            with self.lock or nullcontext():
                self._add(line, level)
        except Exception:  # noqa: BLE001  as in emit: whoever says it goes on
            self.handleError(logging.makeLogRecord({"msg": line}))

    def _add(self, line: str, level: int) -> None:
        self._lines.append(line)
        if level >= logging.WARNING or threading.get_ident() != self._thread or self._loop.is_closed():
            self.flush()
        elif len(self._lines) == 1:
            self._loop.call_later(FLUSH, self.flush)

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
    """Sends all logging to a stream in batches, without what no line of ours shows: it is looked up for each record.

    See "Optimization" in the logging HOWTO of Python's documentation. Must be called on a running event loop.
    """
    handler = BatchHandler(stream, as_json=as_json)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging._srcfile = None  # noqa: SLF001  the documented way
    for fact in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, fact, False)
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
    """A JSON object a line: time, level, logger, and the fields of a click's line or the message of any other."""

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
