"""Log lines (design §5): one a click and one for the end of its S2S call; text for people, JSON for machines.

The click id joins both lines with the outbox's row, mitmweb's flow and the metrics' exemplars. Addresses, device
ids and User-Agents are left out unless somebody asked for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TextIO

from storehop.model import Click, Dead, DeadReason, Decision, Delivered, Direct, Failure, Reply, RetryAt, Settled

logger = logging.getLogger("storehop.click")


class ClickLog:
    """Writes what happened to clicks. `personal_data` adds link, address, User-Agent and the S2S URL."""

    def __init__(self, *, personal_data: bool = False) -> None:
        self.personal_data = personal_data

    def answered(self, click: Click, decision: Decision) -> None:
        """What the user got."""
        if not logger.isEnabledFor(logging.INFO):
            return
        fields: dict[str, object] = {
            "click": click.id,
            "reason": None if isinstance(decision, Direct) else decision.reason,
            "rule": decision.rule,
            "app": decision.app,
            "platform": decision.platform,
            "store": decision.store,
        }
        if self.personal_data:
            fields |= {"link": click.link, "peer": click.peer, "user_agent": click.headers.get("user-agent")}
        _write(logging.INFO, "direct" if isinstance(decision, Direct) else "pass", fields)

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
        _write(level, event, fields)

    def expired(self, call_ids: list[str]) -> None:
        for call_id in call_ids:
            _write(logging.WARNING, "s2s_dead", {"click": call_id, "reason": DeadReason.TOO_OLD})


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


def _write(level: int, event: str, fields: dict[str, object]) -> None:
    known = {name: value for name, value in fields.items() if value is not None}
    text = " ".join(f"{name}={value}" for name, value in known.items())
    logger.log(level, "%s %s", event, text, extra={"event": event, "fields": known})


FLUSH = 0.1
"""Seconds that a line waits for others."""


class BatchHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of a moment at once, so that a busy host pays for a system call ten times a second.

    Warnings and what other threads say are written at once, with all that came before. Must be made on a running
    event loop.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001  as every handler of logging's: it says so on stderr
            self.handleError(record)
        if record.levelno >= logging.WARNING or threading.get_ident() != self._thread or self._loop.is_closed():
            self.flush()
        elif len(self._lines) == 1:
            self._loop.call_later(FLUSH, self.flush)

    def flush(self) -> None:
        with self.lock or nullcontext():
            if self._lines:
                lines, self._lines = self._lines, []
                self.stream.write("\n".join(lines) + "\n")
            super().flush()


def log_to(stream: TextIO, *, as_json: bool) -> None:
    """Sends all logging to a stream in batches, without what no line of ours shows: it is looked up for each record.

    See "Optimization" in the logging HOWTO of Python's documentation. Must be called on a running event loop.
    """
    handler = BatchHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging._srcfile = None  # noqa: SLF001  the documented way
    for fact in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, fact, False)


class JsonFormatter(logging.Formatter):
    """A JSON object a line: time, level, logger, and the fields of a click's line or the message of any other."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            entry["message"] = record.getMessage()
        else:
            entry |= {"event": getattr(record, "event", ""), **fields}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)
