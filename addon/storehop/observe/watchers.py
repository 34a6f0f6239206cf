"""Who watches clicks: metrics, the log, mitmweb. None of them may harm a click (design §6: nothing lost)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from storehop.decide.drift import Compared
from storehop.model import Click, Decision, Direct, Settled

logger = logging.getLogger(__name__)

type _Hear = Callable[..., None]


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
        everybody = tuple(watchers)
        self._answered = _who_hear("answered", everybody)
        self._rehearsed = _who_hear("rehearsed", everybody)
        self._retried = _who_hear("retried", everybody)
        self._amended = _who_hear("amended", everybody)
        self._settled = _who_hear("settled", everybody)
        self._expired = _who_hear("expired", everybody)
        self._drifted = _who_hear("drifted", everybody)

    def answered(self, click: Click, decision: Decision, seconds: float = 0.0, whole_s: float = 0.0) -> None:
        _tell(self._answered, click, decision, seconds, whole_s)

    def rehearsed(self, click: Click, decision: Decision) -> None:
        _tell(self._rehearsed, click, decision)

    def retried(self, click: Click, decision: Direct) -> None:
        _tell(self._retried, click, decision)

    def amended(self, before: Direct, after: Direct) -> None:
        _tell(self._amended, before, after)

    def settled(self, settled: Settled) -> None:
        _tell(self._settled, settled)

    def expired(self, call_ids: tuple[str, ...]) -> None:
        _tell(self._expired, call_ids)

    def drifted(self, rule: str, app: str, compared: Compared) -> None:
        _tell(self._drifted, rule, app, compared)


def _who_hear(event: str, watchers: Iterable[Watcher]) -> tuple[_Hear, ...]:
    """Their methods for this event, without those that do nothing: looked up once, and not for each click."""
    nothing = getattr(Watcher, event)
    methods = [getattr(watcher, event) for watcher in watchers]
    return tuple(method for method in methods if getattr(method, "__func__", None) is not nothing)


def _tell(hearing: tuple[_Hear, ...], *what: Any) -> None:
    for hear in hearing:
        try:
            hear(*what)
        except Exception:  # the call is stored by now, so the redirect must follow
            who = type(getattr(hear, "__self__", hear)).__name__
            logger.exception("%s failed on a click; the click itself goes on", who)
