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
from storehop.decide.duplicate import are_apart, key_with_hints
from storehop.decide.rules import RuleSet
from storehop.deliver.courier import Courier, NotAcceptedError
from storehop.deliver.notes import Notes
from storehop.deliver.outbox import Note
from storehop.deliver.outbox_file import OutboxError
from storehop.host.duplicates import WINDOW, Answer, Duplicates
from storehop.host.hints import FirstAnswer, lacks_hints, without_hints
from storehop.host.inspector import Inspector
from storehop.model import Claim, Click, Decision, Direct, Pass, Reason, S2SCall, Settled
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics
from storehop.settings import ClientHints

logger = logging.getLogger(__name__)


class Desk:
    """Turns clicks into answers."""

    def __init__(self, duplicates: Duplicates, metrics: Metrics, log: ClickLog, notes: Notes) -> None:
        self._notes = notes
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

    def held(self, direct: Direct) -> Claim | None:
        """The call where it is held for the browser's retry: the answer has to ask for that."""
        return self.courier.held(direct.repeats or direct.call.id) if self.courier else None

    def retried(self, first: FirstAnswer, headers: Mapping[str, str], rules: RuleSet, shown: http.HTTPFlow) -> None:
        """The browser repeated a click, with hints: its S2S call goes out now, and says what they say."""
        click = replace(first.click, headers=headers)
        told = decide(click, rules)
        if self.courier is None or rules.digest != first.digest or not isinstance(told, Direct):
            return  # between two rule files the call goes as the first answer had it
        self.courier.amend(told.call, first.lease_until, lambda: self._amended(click, told, rules))
        if self.inspector:
            self.inspector.retried(shown, click, told)

    def _amended(self, click: Click, told: Direct, rules: RuleSet) -> None:
        untold = decide(replace(click, headers=without_hints(click.headers)), rules)
        if isinstance(untold, Direct):
            self._metrics.amended(untold, told)

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
        self._metrics.decided(time.perf_counter() - begin)
        if isinstance(decision, Pass):
            return decision
        asks = may_retry and decision.client_hints is ClientHints.CRITICAL and lacks_hints(decision)
        hold = rules.hints.wait if asks else 0.0
        return await self._duplicates.once(decision, lambda direct, key: self._accept(direct, key, hold))

    async def _accept(self, direct: Direct, key: bytes | None, hold: float) -> tuple[Answer, bytes | None]:
        """Has the call delivered, unless another process, or one before a restart, has answered the same click.

        Returns the answer that counts, and the key under which it lies.
        """
        same, call = direct.likeness, direct.call
        answer = Answer(call.id, same.hints, direct.location)
        own = key_with_hints(same)
        if own and key != own:
            if known := await self._recall(own):
                return known, own
            first = await self._store(call, key, answer, hold)
            if not are_apart(first.hints, same.hints):
                return first, key
            key = own
        return await self._store(call, key, answer, hold), key

    async def _recall(self, key: bytes) -> Answer | None:
        """What this click was answered elsewhere, as far as that can be found out."""
        try:
            text = await self._notes.read(key)
        except OutboxError as error:
            logger.debug("an earlier answer can't be read: %s", error)
            return None
        return Answer.read(text) if text else None

    async def _store(self, call: S2SCall, key: bytes | None, answer: Answer, hold: float) -> Answer:
        """The answer that counts: this one, an earlier one, or the reason why the click passes."""
        note = Note(key, answer.written(), WINDOW) if key else None
        if self.courier is None:
            return answer._replace(text=Reason.OUTBOX_DOWN)
        try:
            known = await self.courier.accept(call, hold, note)
        except NotAcceptedError as error:
            answer = answer._replace(text=error.reason)
            known = await self._tell(note._replace(text=answer.written())) if note else None
        return Answer.read(known) if known else answer

    async def _tell(self, note: Note) -> str | None:
        """Notes that a click passes; what it was answered already, by another process or before a restart."""
        try:
            return await self._notes.leave(note)
        except OutboxError as error:
            logger.debug("an answer can't be noted: %s", error)
            return None

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
