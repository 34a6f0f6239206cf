"""Who watches clicks: metrics, the log, mitmweb. None of them may harm a click (design §6: nothing lost)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from storehop.decide.drift import Compared
from storehop.model import Click, Decision, Direct, Settled

logger = logging.getLogger(__name__)


class Watcher:
    """Gets the events of clicks, on the event loop. Each method does nothing; a watcher overrides what it needs."""

    def answered(self, click: Click, decision: Decision, seconds: float = 0.0, whole_s: float = 0.0) -> None:
        """The user got this decision. Deciding took so many seconds, 0 where it failed; `whole_s` is all our work."""

    def rehearsed(self, click: Click, decision: Decision) -> None:
        """A rehearsal: the user would get this decision; nothing was sent."""

    def retried(self, click: Click, decision: Direct) -> None:
        """A browser repeated a click with client hints."""

    def amended(self, before: Direct, after: Direct) -> None:
        """Client hints completed a held call."""

    def settled(self, settled: Settled) -> None:
        """One attempt at a call is over."""

    def expired(self, call_ids: tuple[str, ...]) -> None:
        """These calls got too old to be sent."""

    def drifted(self, rule: str, app: str, compared: Compared) -> None:
        """A click passed, and AppsFlyer's own redirect was seen: this came of comparing it. It may be `same`."""


class Watchers(Watcher):
    """Passes each event to all watchers, one after another. The one place that catches their exceptions."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        self._watchers = tuple(watchers)

    def answered(self, click: Click, decision: Decision, seconds: float = 0.0, whole_s: float = 0.0) -> None:
        self._tell("answered", click, decision, seconds, whole_s)

    def rehearsed(self, click: Click, decision: Decision) -> None:
        self._tell("rehearsed", click, decision)

    def retried(self, click: Click, decision: Direct) -> None:
        self._tell("retried", click, decision)

    def amended(self, before: Direct, after: Direct) -> None:
        self._tell("amended", before, after)

    def settled(self, settled: Settled) -> None:
        self._tell("settled", settled)

    def expired(self, call_ids: tuple[str, ...]) -> None:
        self._tell("expired", call_ids)

    def drifted(self, rule: str, app: str, compared: Compared) -> None:
        self._tell("drifted", rule, app, compared)

    def _tell(self, event: str, *what: Any) -> None:
        for watcher in self._watchers:
            try:
                hear: Callable[..., None] = getattr(watcher, event)
                hear(*what)
            except Exception:  # the call is stored by now, so the redirect must follow
                logger.exception("%s failed on a click; the click itself goes on", type(watcher).__name__)
