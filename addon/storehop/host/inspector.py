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
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from cachetools import LRUCache
from mitmproxy import connection, contentviews, ctx, eventsequence, flow, hooks, http

from storehop.decide.rules import RuleSet
from storehop.host import comments
from storehop.host.click_view import ClickRecord, ClickView
from storehop.model import Click, Decision, Direct, Reply, Settled
from storehop.observe.watchers import Watcher

logger = logging.getLogger(__name__)

PRUNE_PAUSE_S = 1.0
"""Between two looks for flows that can go."""


class Inspector(Watcher):
    """Annotates flows while somebody looks. `most` is how many flows the view keeps."""

    def __init__(self, most: int, *, keep_other: bool, personal_data: bool) -> None:
        self._most = most
        self._keep_other = keep_other
        self._stories: LRUCache[str, ClickRecord] = LRUCache(2 * most)  # a click's flow and its call, and its id
        self._expected: dict[str, tuple[http.HTTPFlow, RuleSet]] = {}
        self._shown: deque[http.HTTPFlow] = deque()
        self._others: list[http.HTTPFlow] = []
        self._view = ClickView(self._stories, personal_data=personal_data)
        self._pruner = asyncio.create_task(self._prune(), name="storehop view")
        self._pruner.add_done_callback(_report)
        contentviews.add(self._view)

    def close(self) -> None:
        self._pruner.cancel()

    @contextmanager
    def showing(self, click_id: str, flow: http.HTTPFlow, rules: RuleSet) -> Iterator[None]:
        """What a watcher hears of this click meanwhile is shown with this flow."""
        self._expected[click_id] = (flow, rules)
        try:
            yield
        finally:
            del self._expected[click_id]

    def answered(self, click: Click, decision: Decision, _seconds: float = 0.0, _whole_s: float = 0.0) -> None:
        """A click was decided on."""
        self._show(click, decision, "")

    def rehearsed(self, click: Click, decision: Decision) -> None:
        """A click was replayed."""
        self._show(click, decision, "replayed, nothing sent")

    def _show(self, click: Click, decision: Decision, news: str) -> None:
        flow, rules = self._expected[click.id]
        story = ClickRecord(click, decision, rules, flow)
        self._stories[flow.id] = self._stories[click.id] = story
        flow.marked = comments.mark(decision)
        flow.comment = comments.of_click(click, decision, news)
        if flow not in self._shown:  # a replay is the flow of before
            self._shown.append(flow)

    def retried(self, click: Click, decision: Direct) -> None:
        """A browser repeated a click with client hints: they belong to the same story."""
        flow, _ = self._expected[click.id]
        if story := self._stories.get(click.id):
            story.click, story.decision = click, decision
            self._stories[flow.id] = story
            self._shown.append(flow)
            flow.marked, flow.comment = comments.DIRECT, comments.of_retry(click, decision)

    def began(self, flow: http.HTTPFlow) -> None:
        """A request came. Until it is known to be a click the list shows its URL."""
        flow.comment = comments.of_other(flow.request.method, flow.request.pretty_url)

    def other(self, ended: http.HTTPFlow) -> None:
        """A flow that is no click is over."""
        if not self._keep_other:
            self._others.append(ended)

    def settled(self, settled: Settled) -> None:
        """What became of an attempt: the click's comment says so, and the call is shown beside it."""
        story = self._stories.get(settled.call.id)
        if story is None:
            return
        story.flow.comment = comments.of_click(story.click, story.decision, comments.of_outcome(settled))
        ctx.master.addons.trigger(hooks.UpdateHook([story.flow]))
        call = _call_flow(settled, story)
        self._stories[call.id] = story
        self._shown.append(call)
        task = asyncio.create_task(_show(call), name="storehop shows a call")
        task.add_done_callback(_report)

    def compared(self, flow: http.HTTPFlow, words: str) -> None:
        """What came of comparing AppsFlyer's answer to a click that passed."""
        if story := self._stories.get(flow.id):
            flow.comment = comments.of_click(story.click, story.decision, words)

    def explain(self, one: flow.Flow) -> str:
        """The whole decision about a flow's click, as the content view shows it."""
        story = self._stories.get(one.id)
        return self._view.text(story) if story else "no click, or too old"

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_PAUSE_S)
            removable = [old for old in self._others if not old.live]
            self._others = [young for young in self._others if young.live]
            while len(self._shown) > self._most and not self._shown[0].live:
                removable.append(self._shown.popleft())
            if removable:
                ctx.master.commands.call("view.flows.remove", removable)


def _call_flow(settled: Settled, story: ClickRecord) -> http.HTTPFlow:
    """The S2S call as a flow: request as sent, answer as received. `live` is False: it is no click to meet."""
    url = urlsplit(settled.call.url)
    now = time.time()
    client = connection.Client(peername=("127.0.0.1", 0), sockname=("127.0.0.1", 0), timestamp_start=now)
    port = url.port or (443 if url.scheme == "https" else 80)
    flow_of_call = http.HTTPFlow(client, connection.Server(address=(url.hostname or "", port)))
    flow_of_call.request = http.Request.make("GET", settled.call.url, headers=http.Headers(_raw(settled.call.headers)))
    flow_of_call.request.headers["Host"] = url.netloc
    if isinstance(settled.outcome, Reply):
        flow_of_call.response = http.Response.make(settled.outcome.status, b"", http.Headers(settled.outcome.headers))
    elif settled.outcome:
        flow_of_call.error = flow.Error(str(settled.outcome.fault))
    flow_of_call.live = False
    flow_of_call.marked = comments.CALL
    flow_of_call.comment = comments.of_call(story.click, story.decision, story.rules, settled)
    flow_of_call.metadata["storehop"] = "s2s"
    return flow_of_call


def _raw(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _report(task: asyncio.Task[None]) -> None:
    """Logs an exception that nobody waits for."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s failed in our own code", task.get_name(), exc_info=error)


async def _show(flow_of_call: http.HTTPFlow) -> None:
    """Hands a flow to mitmproxy's addons. Not by load_flow, which rewrites the host of a reverse proxy's flows."""
    for event in eventsequence.iterate(flow_of_call):
        await ctx.master.addons.handle_lifecycle(event)
