"""Where a click is met: decided, handed to the courier, and seen by whoever watches.

Nothing may fail between accepting a call and redirecting the user: what is counted and logged comes before or
is not allowed to matter.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from mitmproxy import http

from storehop.decide.decision import decide
from storehop.decide.rules import RuleSet
from storehop.deliver.courier import Courier, NotAcceptedError, Once
from storehop.host.duplicates import WINDOW, Duplicates, key_of
from storehop.host.hints import FirstAnswer, lacks_hints
from storehop.host.inspector import Inspector
from storehop.model import Click, ClientHints, Decision, Direct, Pass, Reason, Settled
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics

logger = logging.getLogger(__name__)


class Desk:
    """Turns clicks into answers. `is_shared`: other processes take clicks of the same users."""

    def __init__(self, duplicates: Duplicates, metrics: Metrics, log: ClickLog, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._duplicates = duplicates
        self._metrics = metrics
        self._log = log
        self.courier: Courier | None = None
        """None while starting and after the end: then clicks pass."""
        self.inspector: Inspector | None = None

    async def meet(self, click: Click, rules: RuleSet, shown: http.HTTPFlow, *, may_retry: bool = False) -> Decision:
        """What the user gets. Never raises: a failure of ours is a pass. `shown` is the click's flow.

        `may_retry` says that the browser would repeat its request for client hints if it were told to.
        """
        try:
            decision = await self._decide(click, rules, may_retry=may_retry)
        except Exception:  # whatever it is: the old redirect still works, and the click is counted by it
            logger.exception("storehop failed on a click: it passes")
            decision = Pass(Reason.ERROR)
        if isinstance(decision, Direct) or decision.reason is not Reason.NOT_A_CLICK:
            self._note(click, decision, rules, shown)
        return decision

    def expects_retry(self, decision: Decision) -> bool:
        """Whether the call is held for the browser's retry: the answer has to ask for it."""
        return isinstance(decision, Direct) and self.courier is not None and self.courier.is_held(decision.call.id)

    def retried(self, first: FirstAnswer, headers: Mapping[str, str], shown: http.HTTPFlow) -> None:
        """The browser repeated a click, with hints: its S2S call goes out now, and says what they say."""
        click = replace(first.click, headers=headers)
        decision = decide(click, first.rules)
        if self.courier is None or not isinstance(decision, Direct):
            return
        if self.courier.amend(decision.call):
            self._metrics.amended(first.direct, decision)
        if self.inspector:
            self.inspector.retried(shown, click, decision)

    def rehearse(self, click: Click, rules: RuleSet, shown: http.HTTPFlow) -> Decision:
        """What the user would get by these rules. Nothing is stored, sent, counted or logged."""
        decision = decide(click, rules)
        if self.inspector and (isinstance(decision, Direct) or decision.reason is not Reason.NOT_A_CLICK):
            self.inspector.met(shown, click, decision, rules, note=" · replayed, nothing sent")
        return decision

    def _note(self, click: Click, decision: Decision, rules: RuleSet, shown: http.HTTPFlow) -> None:
        """Who watches must not matter: the call is stored by now, so the redirect has to follow."""
        try:
            self._metrics.answered(decision)
            self._log.answered(click, decision)
            if self.inspector:
                self.inspector.met(shown, click, decision, rules)
        except Exception:
            logger.exception("noting a click failed; the click itself goes on")

    async def _decide(self, click: Click, rules: RuleSet, *, may_retry: bool) -> Decision:
        begin = time.perf_counter()
        decision = decide(click, rules)
        if isinstance(decision, Pass) and decision.reason is Reason.NOT_A_CLICK:
            return decision
        self._metrics.decided(decision, time.perf_counter() - begin)
        if isinstance(decision, Pass):
            return decision
        asks = may_retry and decision.client_hints is ClientHints.CRITICAL and lacks_hints(decision)
        hold = rules.hints.wait if asks else 0.0
        return await self._duplicates.once(click, decision, lambda direct: self._accept(click, direct, hold))

    async def _accept(self, click: Click, direct: Direct, hold: float) -> Decision:
        once = Once(key_of(click, direct.client_ip), direct.location, WINDOW) if self._is_shared else None
        refused = Reason.OUTBOX_DOWN
        if self.courier:
            try:
                known = await self.courier.accept(direct.call, hold, once)
            except NotAcceptedError as error:
                refused = error.reason
            else:
                return _answered_before(direct, known) if known else direct
            if once and (known := await self.courier.remember(replace(once, answer=refused))):
                return _answered_before(direct, known)
        return _passed(direct, refused)

    def settled(self, settled: Settled) -> None:
        """What became of an attempt at a call."""
        self._metrics.settled(settled)
        self._log.settled(settled)
        if self.inspector:
            self.inspector.settled(settled)

    def expired(self, call_ids: list[str]) -> None:
        """Stored calls that got too old to be sent."""
        self._metrics.expired(len(call_ids))
        self._log.expired(call_ids)


def _answered_before(direct: Direct, known: str) -> Decision:
    """What another process answered the same click: a store's URL, or why it passed."""
    return _passed(direct, Reason(known)) if known in set(Reason) else replace(direct, location=known)


def _passed(direct: Direct, reason: Reason) -> Pass:
    return Pass(reason, direct.rule, direct.app, direct.platform, direct.store)
