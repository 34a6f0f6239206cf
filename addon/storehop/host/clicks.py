"""Where a click is met, in mitmproxy's flows: at *answer*, at *rewrite*, and at a browser's retry (design §2)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import nullcontext
from functools import partial

from mitmproxy import ctx, http
from mitmproxy.proxy import mode_specs

from storehop.decide.points import ORIGINAL_LINK, REDIRECTS, Headers
from storehop.decide.rules import RuleSet
from storehop.deliver.operations import Answer
from storehop.deliver.outbox import Outbox
from storehop.handler import ClickHandler, Handled
from storehop.host import flows, hints, retries
from storehop.host.drift import Drift
from storehop.host.tuning import OptionalInspector
from storehop.ids import new_click_id
from storehop.model import Click, Direct, Reason
from storehop.settings import ClientHints

_NOBODY_LOOKS = nullcontext()


class Clicks:
    """Has clicks handled, and changes their flows accordingly. `headers` are always the flow's request's."""

    def __init__(self, handler: ClickHandler, outbox: Outbox, inspector: OptionalInspector) -> None:
        self._handler = handler
        self._outbox = outbox
        self._inspector = inspector
        self._hint_requests = hints.HintRequests()
        self.drift = Drift(handler, inspector)

    def meet(self, flow: http.HTTPFlow, headers: Headers, rules: RuleSet) -> Awaitable[None] | None:
        """A request came. What is to be waited for, where it is a click or may be a retry; else None."""
        if flow.is_replay and is_rehearsal(flow) and flows.is_shown_call(flow):
            flow.response = flows.not_sent()
            return None
        if retries.TOKEN in flow.metadata:
            return self._repeat_or_answer(flow, headers, rules)
        return self._answer_if_addressed(flow, headers, rules)

    def meet_answer(
        self, flow: http.HTTPFlow, response: http.Response, headers: Headers, rules: RuleSet
    ) -> Awaitable[None] | None:
        """The head of an answer is there. What is to be waited for, where it may be a click; else None."""
        if "storehop" in flow.metadata:  # our own answer, or AppsFlyer's to a click that passed
            return self.rewrite(flow, headers, rules) if self.drift.is_watching else None
        if response.status_code in REDIRECTS:
            return self.rewrite(flow, headers, rules)
        self._leave(flow, response, headers, rules)
        return None

    def _answer_if_addressed(self, flow: http.HTTPFlow, headers: Headers, rules: RuleSet) -> Awaitable[None] | None:
        if self._inspector and not flow.is_replay:
            self._inspector.began(flow)
        is_addressed = rules.is_attribution_host(flows.target_host(flow, headers))
        return self.answer(flow, headers, rules) if is_addressed else None

    async def _repeat_or_answer(self, flow: http.HTTPFlow, headers: Headers, rules: RuleSet) -> None:
        if await self.repeat(flow, headers, rules):
            return
        if answering := self._answer_if_addressed(flow, headers, rules):
            await answering

    async def answer(self, flow: http.HTTPFlow, headers: Headers, rules: RuleSet) -> None:
        """Answers a request that is addressed to an attribution host, where its click goes direct."""
        has_body = flow.request.raw_content != b""  # it has gone upstream already: no click of a person's
        if not has_body:
            link = flows.own_link(flow, headers)
            click = flows.read(flow, headers, link, new_click_id(), at_answer=True)
            handled = await self._handle(flow, click, rules)
            if isinstance(handled.decision, Direct):
                flow.response = flows.answer(handled.decision)
                self._ask_for_hints(flow, flow.response, headers, rules, handled)
                return
            self.drift.watch(flow, click, handled.decision, rules)
        if flow.is_replay and is_rehearsal(flow):
            flow.response = flows.not_sent()  # going on to AppsFlyer would count the click again

    async def rewrite(self, flow: http.HTTPFlow, headers: Headers, rules: RuleSet) -> None:
        """Points the ad stack's redirect at the store, where it leads to an attribution link and the click goes direct.

        A click that passes keeps the ad stack's own bytes; what is no click may ask for client hints.
        """
        if "storehop" in flow.metadata:  # our own answer, or AppsFlyer's to a click that passed
            self.drift.compare(flow)
            return
        link, response = flows.redirect_link(flow), flow.response
        if response is None:
            return
        if link is not None:
            handled = await self._handle(flow, flows.read(flow, headers, link, new_click_id()), rules)
            if isinstance(handled.decision, Direct):
                flows.rewrite(response, handled.decision, link)
                flow.metadata[ORIGINAL_LINK] = link
                self._ask_for_hints(flow, response, headers, rules, handled)
                return
            if handled.decision.reason is not Reason.NOT_A_CLICK:
                if self._inspector:
                    response.stream = not flows.has_small_body(response)  # a view shows nothing of what streamed
                return
        self._leave(flow, response, headers, rules)

    def _leave(self, flow: http.HTTPFlow, response: http.Response, headers: Headers, rules: RuleSet) -> None:
        """Leaves an answer that is no click as it is, but that it may ask for client hints."""
        if isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
            self._ask_for_hints(flow, response, headers, rules)

    async def repeat(self, flow: http.HTTPFlow, headers: Headers, rules: RuleSet) -> bool:
        """Gives a browser's retry the first answer: the ad stack does not hear of it again. False: it is no retry."""
        if not retries.looks_like_retry(flow, headers):
            return False
        first = await retries.take(self._outbox, flow, headers)
        if first is None:
            return False
        flow.metadata["storehop"] = "retry"
        flow.response = first.again()
        with self._inspector.showing(first.click.id, flow, rules) if self._inspector else _NOBODY_LOOKS:
            self._handler.retried(first.click, first.digest, headers, rules)
        return True

    async def _handle(self, flow: http.HTTPFlow, click: Click, rules: RuleSet) -> Handled:
        """Has a click decided on; the flow's metadata say what came of it."""
        with self._inspector.showing(click.id, flow, rules) if self._inspector else _NOBODY_LOOKS:
            if flow.is_replay and is_rehearsal(flow):
                handled = Handled(self._handler.rehearse(click, rules))
            else:
                may_retry = hints.may_retry(click.headers) and hints.is_secure(flow, click.headers)
                first_answer = partial(self._first_answer, flow, click, rules) if may_retry else None
                handled = await self._handler.handle(click, rules, first_answer)
        if isinstance(handled.decision, Direct):
            flow.metadata["storehop"] = "direct"
        elif handled.decision.reason is not Reason.NOT_A_CLICK:
            flow.metadata["storehop"] = f"pass {handled.decision.reason}"
        return handled

    def _first_answer(self, flow: http.HTTPFlow, click: Click, rules: RuleSet, direct: Direct) -> Answer:
        return retries.plan(flow, click, rules, self._planned_response(flow, click, rules, direct))

    def _planned_response(self, flow: http.HTTPFlow, click: Click, rules: RuleSet, direct: Direct) -> http.Response:
        """What the user gets once the call is stored."""
        if click.at_answer or flow.response is None:
            response = flows.answer(direct)
        else:
            response = flow.response.copy()
            flows.rewrite(response, direct, click.link)
        self._ask_for_hints(flow, response, click.headers, rules, Handled(direct))
        return response

    def _ask_for_hints(
        self,
        flow: http.HTTPFlow,
        response: http.Response,
        headers: Mapping[str, str],
        rules: RuleSet,
        handled: Handled | None = None,
    ) -> None:
        """Has the browser say more about the device: with its next request, or with this one once more."""
        direct = handled.decision if handled and isinstance(handled.decision, Direct) else None
        mode = direct.client_hints if direct else rules.hints.mode
        if mode is ClientHints.OFF or not hints.is_secure(flow, headers):
            return
        self._hint_requests.ask(response, headers.get("host", ""), rules.hints)
        if handled and handled.is_held:
            retries.ask_to_retry(flow, response)


def is_rehearsal(flow: http.HTTPFlow) -> bool:
    """Whether this is a replay that must send nothing: it only shows what the rules would do now."""
    return bool(flow.is_replay) and not ctx.options.storehop_replay_sends
