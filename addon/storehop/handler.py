"""A click handled: decided, its call accepted, and the watchers told. Knows no mitmproxy.

Nothing may fail between accepting a call and redirecting the user: what watches is guarded, and comes last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from storehop.canary.stops import Stops
from storehop.decide.decision import decide
from storehop.decide.drift import Compared
from storehop.decide.duplicate import are_apart, key_with_hints
from storehop.decide.hints import lacks_hints, without_hints
from storehop.decide.rules import RuleSet
from storehop.deliver.courier import Courier, NotAcceptedError
from storehop.deliver.operations import Answer
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError
from storehop.duplicates import WINDOW_S, ClickAnswer, Duplicates
from storehop.model import Click, Decision, Direct, Pass, Reason
from storehop.observe.watchers import Watchers
from storehop.settings import ClientHints

logger = logging.getLogger(__name__)

TURNED_BACK = frozenset({Reason.STOPPED, Reason.NOT_SAMPLED, Reason.OBSERVED, Reason.RULE_OFF})
"""Why clicks pass that went direct before somebody changed the rules, or stopped one."""

type FirstAnswer = Callable[[Direct], Answer]
"""Makes what a browser's retry is answered, of the decision on its first request."""


class Handled(NamedTuple):
    """What the user gets."""

    decision: Decision
    is_held: bool = False
    """The S2S call waits for the browser's retry: the answer has to ask for that."""


class ClickHandler:
    """Turns clicks into decisions that hold."""

    def __init__(
        self, duplicates: Duplicates, courier: Courier, outbox: Outbox, stops: Stops, watchers: Watchers
    ) -> None:
        self._duplicates = duplicates
        self._courier = courier
        self._outbox = outbox
        self._stops = stops
        self._watchers = watchers
        self.rules_changed()

    def rules_changed(self) -> None:
        """What went direct until now may pass from now on, but not where it is the same click."""
        self._changed_until = time.perf_counter() + WINDOW_S

    async def handle(self, click: Click, rules: RuleSet, first_answer: FirstAnswer | None = None) -> Handled:
        """Decides on a click and has its call stored. Never raises: a failure of ours is a pass.

        `first_answer` is given where the browser would repeat its request for client hints if it were asked to.
        """
        begin = time.perf_counter()
        seconds, decision = 0.0, None
        try:
            if not self._stops.are_known:
                rules = await self._stops.up_to_date(rules)
            decision = decide(click, rules)
            if not isinstance(decision, Direct) and decision.reason is Reason.NOT_A_CLICK:
                return Handled(decision)
            seconds = time.perf_counter() - begin
            if begin < self._changed_until and isinstance(decision, Pass) and decision.reason in TURNED_BACK:
                decision = await self._as_before(click, decision, rules)
            handled = await self._have_accepted(decision, rules, first_answer)
        except Exception:  # whatever it is: the old redirect still works, and the click is counted by it
            logger.exception("storehop failed on a click: it passes")
            handled = Handled(_failed(decision))
        self._watchers.answered(click, handled.decision, seconds, time.perf_counter() - begin)
        return handled

    def rehearse(self, click: Click, rules: RuleSet) -> Decision:
        """What the user would get by these rules. Nothing is stored, sent, counted or logged."""
        decision = decide(click, rules)
        if _is_click(decision):
            self._watchers.rehearsed(click, decision)
        return decision

    def retried(self, first: Click, digest: str, headers: Mapping[str, str], rules: RuleSet) -> None:
        """The browser repeats a click, with hints: its S2S call goes out now, and says what they say.

        `digest` is of the rules that decided first: between two rule files the call goes as it is.
        """
        click = replace(first, headers=headers)
        decision = decide(click, rules)
        if rules.digest == digest and isinstance(decision, Direct):
            self._courier.start(self._amend(click, decision, rules), f"amend {click.id}")
            self._watchers.retried(click, decision)

    async def _amend(self, click: Click, direct: Direct, rules: RuleSet) -> None:
        if await self._courier.amend(direct.call):
            before = decide(replace(click, headers=without_hints(click.headers)), rules)
            if isinstance(before, Direct):
                self._watchers.amended(before, direct)

    def drifted(self, rule: str, app: str, compared: Compared) -> None:
        """AppsFlyer answered a click that passed, and its redirect was compared with ours."""
        self._watchers.drifted(rule, app, compared)

    async def _as_before(self, click: Click, decision: Pass, rules: RuleSet) -> Decision:
        """Direct, where the same click went direct before a change: the old redirect would count it twice."""
        direct = decide(click, rules.at_their_most())
        if not isinstance(direct, Direct):
            return decision
        earlier = await self._duplicates.earlier(direct) or await self._earlier_elsewhere(direct)
        return earlier.decision_for(direct) if earlier and earlier.is_direct else decision

    async def _earlier_elsewhere(self, direct: Direct) -> ClickAnswer | None:
        """What the same click was answered by another process, or before a restart."""
        same = direct.likeness
        if (own := key_with_hints(same)) and (earlier := await self._recall(own)):
            return earlier
        first = await self._recall(same.key) if same.key else None
        return first if first and not are_apart(first.hints, same.hints) else None

    # the call

    async def _have_accepted(self, decision: Decision, rules: RuleSet, first_answer: FirstAnswer | None) -> Handled:
        """What holds once a direct decision's call is stored; a pass holds as it is."""
        if isinstance(decision, Pass) or decision.repeats:
            return Handled(decision)
        holds = first_answer and decision.client_hints is ClientHints.CRITICAL and lacks_hints(decision)
        hold_s = rules.hints.wait if holds else 0.0
        retry = first_answer(decision) if first_answer and holds else None
        decision = await self._duplicates.once(decision, self._accept, retry, hold_s)
        return Handled(decision, is_held=hold_s > 0 and isinstance(decision, Direct) and not decision.repeats)

    async def _accept(
        self, direct: Direct, key: bytes | None, retry: Answer | None, hold_s: float
    ) -> tuple[ClickAnswer, bytes | None]:
        """Has the call delivered, unless another process, or one before a restart, has answered the same click.

        Returns the answer that counts, and the key under which it lies.
        """
        same = direct.likeness
        own = key_with_hints(same) if same.hints else None
        if own and key != own:
            if earlier := await self._recall(own):
                return earlier, own
            first = await self._store(direct, key, retry, hold_s)
            if not are_apart(first.hints, same.hints):
                return first, key
            key = own
        return await self._store(direct, key, retry, hold_s), key

    async def _recall(self, key: bytes) -> ClickAnswer | None:
        """What this click was answered elsewhere, as far as that can be found out."""
        try:
            text = await self._outbox.recall(key)
        except OutboxError as error:
            logger.debug("an earlier answer can't be read: %s", error)
            return None
        return ClickAnswer.from_text(text) if text else None

    async def _store(self, direct: Direct, key: bytes | None, retry: Answer | None, hold_s: float) -> ClickAnswer:
        """The answer that counts: this one, an earlier one, or the reason why the click passes."""
        own = ClickAnswer(direct.call.id, direct.likeness.hints, direct.location)
        answer = Answer(key, own.to_text(), WINDOW_S) if key else None
        try:
            if not self._stops.are_known:  # the rule may be stopped
                raise NotAcceptedError(Reason.OUTBOX_DOWN)  # noqa: TRY301
            text = await self._courier.accept(direct.call, answer=answer, retry=retry, hold_s=hold_s)
        except NotAcceptedError as error:
            own = own._replace(text=error.reason)
            text = await self._remember(Answer(key, own.to_text(), WINDOW_S)) if key else None
        return ClickAnswer.from_text(text) if text else own

    async def _remember(self, answer: Answer) -> str | None:
        """Stores that a click passes; what it was answered already, by another process or before a restart."""
        try:
            return await self._outbox.remember(answer)
        except OutboxError as error:
            logger.debug("an answer can't be stored: %s", error)
            return None


def _failed(decision: Decision | None) -> Pass:
    """What a click gets that failed in our own code, after this decision; None: while deciding."""
    if decision is None:
        return Pass(Reason.ERROR)
    return Pass(Reason.ERROR, decision.rule, decision.app, decision.platform, decision.store)


def _is_click(decision: Decision) -> bool:
    return isinstance(decision, Direct) or decision.reason is not Reason.NOT_A_CLICK
