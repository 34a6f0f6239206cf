"""What mitmweb and the console show of clicks: a marker and a comment, the S2S call as a flow beside its click, and
a content view with the whole decision. Only there where somebody looks: where mitmproxy has a view.

The view is kept small: the last N clicks stay, other traffic goes when it is over, so that a debugging session can
stay open for days (mitmweb itself keeps every flow for ever).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from urllib.parse import urlsplit

from cachetools import LRUCache
from mitmproxy import connection, contentviews, ctx, eventsequence, flow, hooks, http

from storehop.decide.decision import rules_tried
from storehop.decide.rules import RuleSet
from storehop.model import Click, Dead, Decision, Delivered, Direct, Param, Reply, Settled

logger = logging.getLogger(__name__)

PRUNE_INTERVAL = 1.0
"""Seconds between two looks for flows that can go."""
PERSONAL = frozenset({"af_ip", "af_ua", "advertising_id", "idfa", "idfv", "oaid", "imei", "fire_advertising_id"})
_MARK_DIRECT, _MARK_PASS, _MARK_S2S = ":rocket:", ":fast_forward:", ":satellite:"


class Story:
    """One click: its decision, and the flows that show it."""

    def __init__(self, click: Click, decision: Decision, rules: RuleSet, shown: http.HTTPFlow) -> None:
        self.click = click
        self.decision = decision
        self.rules = rules
        self.flow = shown
        self.comment = _decided(decision)


class Inspector:
    """Annotates flows while somebody looks. `most` is how many flows the view keeps."""

    def __init__(self, most: int, *, keep_other: bool, personal_data: bool) -> None:
        self._most = most
        self._keep_other = keep_other
        self._stories: LRUCache[str, Story] = LRUCache(most)
        self._shown: deque[http.HTTPFlow] = deque()
        self._others: list[http.HTTPFlow] = []
        self._view = ClickView(self._stories, personal_data=personal_data)
        self._pruner = asyncio.create_task(self._prune(), name="storehop view")
        self._pruner.add_done_callback(_report)
        contentviews.add(self._view)

    @staticmethod
    def is_wanted() -> bool:
        """Whether this mitmproxy has a list of flows that somebody looks at."""
        return ctx.master.addons.get("view") is not None

    def close(self) -> None:
        self._pruner.cancel()

    def met(self, shown: http.HTTPFlow, click: Click, decision: Decision, rules: RuleSet) -> None:
        """A click was decided on."""
        story = Story(click, decision, rules, shown)
        self._stories[shown.id] = story
        self._stories[click.id] = story
        shown.marked = _MARK_DIRECT if isinstance(decision, Direct) else _MARK_PASS
        shown.comment = story.comment
        self._shown.append(shown)

    def other(self, ended: http.HTTPFlow) -> None:
        """A flow that is no click is over."""
        if not self._keep_other:
            self._others.append(ended)

    def settled(self, settled: Settled) -> None:
        """What became of an attempt: the click's comment says so, and the call is shown beside it."""
        story = self._stories.get(settled.call.id)
        if story is None:
            return
        story.flow.comment = f"{story.comment} · {_outcome(settled)}"
        ctx.master.addons.trigger(hooks.UpdateHook([story.flow]))
        call = _call_flow(settled, story)
        self._stories[call.id] = story
        self._shown.append(call)
        task = asyncio.create_task(_show(call), name="storehop shows a call")
        task.add_done_callback(_report)

    def explain(self, shown: flow.Flow) -> str:
        """The whole decision about a flow's click, as the content view shows it."""
        story = self._stories.get(shown.id)
        return self._view.text(story) if story else "no click, or one of long ago"

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_INTERVAL)
            gone = [old for old in self._others if not old.live]
            self._others = [young for young in self._others if young.live]
            while len(self._shown) > self._most and not self._shown[0].live:
                gone.append(self._shown.popleft())
            if gone:
                ctx.master.commands.call("view.flows.remove", gone)


def _decided(decision: Decision) -> str:
    if isinstance(decision, Direct):
        return f"direct · {decision.rule} · {decision.store.replace('_', ' ')}"
    return f"pass · {decision.reason}"


def _outcome(settled: Settled) -> str:
    said = settled.outcome.status if isinstance(settled.outcome, Reply) else settled.outcome and settled.outcome.fault
    match settled.verdict:
        case Delivered():
            return f"S2S {said} in {settled.age * 1000:.0f} ms"
        case Dead(reason):
            return f"S2S given up: {reason} ({said or 'not sent'})"
        case _:
            return f"S2S {said or 'put off'}, attempt {settled.attempt}"


def _call_flow(settled: Settled, story: Story) -> http.HTTPFlow:
    """The S2S call as a flow: request as sent, answer as received. `live` is False: it is no click to meet."""
    url = urlsplit(settled.call.url)
    now = time.time()
    client = connection.Client(peername=("127.0.0.1", 0), sockname=("127.0.0.1", 0), timestamp_start=now)
    port = url.port or (443 if url.scheme == "https" else 80)
    shown = http.HTTPFlow(client, connection.Server(address=(url.hostname or "", port)))
    shown.request = http.Request.make("GET", settled.call.url, headers=http.Headers(_raw(settled.call.headers)))
    shown.request.headers["Host"] = url.netloc
    if isinstance(settled.outcome, Reply):
        shown.response = http.Response.make(settled.outcome.status, b"", http.Headers(settled.outcome.headers))
    elif settled.outcome:
        shown.error = flow.Error(str(settled.outcome.fault))
    shown.live = False
    shown.marked = _MARK_S2S
    shown.comment = f"S2S of {story.flow.id} · attempt {settled.attempt}"
    shown.metadata["storehop"] = "s2s"
    return shown


def _raw(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _report(task: asyncio.Task[None]) -> None:
    """Logs an exception that nobody waits for."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s failed in our own code", task.get_name(), exc_info=error)


async def _show(shown: http.HTTPFlow) -> None:
    """Hands a flow to mitmproxy's addons. Not by load_flow, which rewrites the host of a reverse proxy's flows."""
    for event in eventsequence.iterate(shown):
        await ctx.master.addons.handle_lifecycle(event)


class ClickView(contentviews.Contentview):
    """The content view "Click"."""

    name = "Click"

    def __init__(self, stories: LRUCache[str, Story], *, personal_data: bool) -> None:
        self._stories = stories
        self._personal_data = personal_data

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:  # noqa: ARG002  mitmproxy's signature
        story = self._stories.get(metadata.flow.id) if metadata.flow else None
        if story is None:
            raise ValueError("this flow is no click, or one of long ago")
        return self.text(story)

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:  # noqa: ARG002
        """Above all others for a click's own response; never in the way of other flows."""
        is_click = metadata.flow is not None and metadata.flow.id in self._stories
        return 2.0 if is_click and isinstance(metadata.http_message, http.Response) else -1.0

    def text(self, story: Story) -> str:
        """The decision, line by line."""
        return "\n".join(self._lines(story))

    def _lines(self, story: Story) -> list[str]:
        decision = story.decision
        facts = ("rule", "app", "platform", "store")
        lines = [story.flow.comment, "", *(f"{name}: {getattr(decision, name) or '–'}" for name in facts)]
        lines += ["", "Rules tried", *(f"  {line}" for line in _tried(story))]
        if not isinstance(decision, Direct):
            return [*lines, "", "The user gets the original link, and nothing is sent."]
        width = max(len(param.name) for param in decision.params)
        lines += ["", "S2S click"]
        lines += [f"  {param.name:<{width}}  {self._value(param)}  ({_source(param)})" for param in decision.params]
        lines += ["", f"The user gets   {decision.location}"]
        return [*lines, f"AppsFlyer gets  {decision.call.url if self._personal_data else _bare(decision.call.url)}"]

    def _value(self, param: Param) -> str:
        if param.value is None:
            return "–"
        return param.value if self._personal_data or param.name not in PERSONAL else "(hidden)"


def _tried(story: Story) -> list[str]:
    tried = rules_tried(story.click, story.rules)
    return [f"{rule.name}: {f'{missed} does not match' if missed else 'matches'}" for rule, missed in tried] or ["none"]


def _source(param: Param) -> str:
    return f"{param.source}: {param.why}" if param.why else str(param.source)


def _bare(url: str) -> str:
    return f"{url.partition('?')[0]}?… (storehop_view_personal_data shows it)"
