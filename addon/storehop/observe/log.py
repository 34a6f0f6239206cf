"""Log lines (design §5): one a click and one for the end of its S2S call; text for people, JSON for machines.

The click id joins both lines with the outbox's row, mitmweb's flow and the metrics' exemplars. Addresses, device
ids and User-Agents are left out unless somebody asked for them.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

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
