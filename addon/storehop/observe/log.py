"""Log lines (design §5): one for a click and one for each attempt at its S2S call; text or JSON.

The click id joins both lines with the outbox's row, mitmweb's flow and the metrics' exemplars. Addresses, device
ids and User-Agents are left out unless somebody asked for them.
"""

from __future__ import annotations

import logging

from storehop.model import Click, Dead, DeadReason, Decision, Delivered, Direct, Failure, Pass, Reply, RetryIn, Settled
from storehop.observe.batches import BatchHandler
from storehop.observe.lines import CLICK_LOGGER, Fields, in_words, without_none
from storehop.observe.watchers import Watcher

logger = logging.getLogger(CLICK_LOGGER)


class ClickLog(Watcher):
    """Writes a line for each event of a click. `personal_data` adds link, address, User-Agent and the S2S URL.

    Given `lines`, it writes there without Python's logging, which takes three times as long for a line.
    """

    def __init__(self, *, personal_data: bool = False, lines: BatchHandler | None = None) -> None:
        self.personal_data = personal_data
        self._write = lines.write if lines else _log

    def answered(self, click: Click, decision: Decision, _seconds: float = 0.0, _whole_s: float = 0.0) -> None:
        """Logs what the user got."""
        if not logger.isEnabledFor(logging.INFO):
            return
        fields: Fields = {"click": click.id}
        if isinstance(decision, Pass):
            fields["reason"] = decision.reason
        elif decision.repeats:
            fields["first"] = decision.repeats
        fields |= {
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
        fields: Fields = {"click": settled.call.id, "rule": settled.call.rule, "outcome": _words(settled)}
        if isinstance(settled.outcome, Failure) and settled.outcome.cause:
            fields["cause"] = settled.outcome.cause
        fields["attempt"] = settled.attempt
        fields["ms"] = round(settled.age * 1000)
        if isinstance(settled.verdict, Dead):
            fields["reason"] = settled.verdict.reason
        if self.personal_data:
            fields["url"] = settled.call.url
        self._write(level, event, fields)

    def expired(self, call_ids: tuple[str, ...]) -> None:
        """Logs each call that got too old, by the click's id."""
        if not logger.isEnabledFor(logging.WARNING):
            return
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
    outcome = settled.outcome
    if isinstance(outcome, Reply):
        return str(outcome.status)
    return str(outcome.fault) if outcome else None


def _log(level: int, event: str, fields: Fields) -> None:
    present = without_none(fields)
    logger.log(level, "%s", in_words(event, present), extra={"event": event, "fields": present})
