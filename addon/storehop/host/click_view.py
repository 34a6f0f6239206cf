"""The content view "Click": one click's story, from the rules tried to the two URLs, in mitmweb and the console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from textwrap import wrap

from mitmproxy import contentviews, http

from storehop.decide.explanation import GATES, HELP, gates_passed, rules_tried
from storehop.decide.link import decoded
from storehop.decide.rules import RuleSet
from storehop.decide.s2s import DEVICE_IDS
from storehop.model import Click, Decision, Direct, Param

PERSONAL = DEVICE_IDS | {"af_ip", "af_ua"}
"""Parameters that are hidden unless `storehop_view_personal_data` is set."""
_HIDDEN = "(hidden)"


class Story:
    """One click: its decision, and the flow that shows it."""

    def __init__(self, click: Click, decision: Decision, rules: RuleSet, shown: http.HTTPFlow) -> None:
        self.click = click
        self.decision = decision
        self.rules = rules
        self.flow = shown
        self.comment = _decided(decision)


def _decided(decision: Decision) -> str:
    if isinstance(decision, Direct):
        what = f"duplicate of {decision.repeats}" if decision.repeats else "direct"
        return f"{what} · {decision.rule} · {decision.store.replace('_', ' ')}"
    return f"pass · {decision.reason}"


class ClickView(contentviews.Contentview):
    """Shows the stories of flows, by the flow's id."""

    name = "Click"

    def __init__(self, stories: Mapping[str, Story], *, personal_data: bool) -> None:
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

    def _lines(self, story: Story) -> Iterator[str]:
        decision = story.decision
        yield story.flow.comment
        yield ""
        for fact in ("rule", "app", "platform", "store"):
            yield f"{fact}: {getattr(decision, fact) or '–'}"
        yield from ("", "Rules tried", *_tried(story), "", "Gates", *_gates(story))
        if isinstance(decision, Direct) and decision.repeats:
            yield from ("", f"It is click {decision.repeats} again: the same answer, and no S2S call of its own.")
            yield from ("", f"Location: {decision.location}")
        elif isinstance(decision, Direct):
            yield from ("", "Parameters of the S2S click", *self._params(decision.params))
            yield from ("", *self._side_by_side(decision))
        else:
            yield from ("", f"why: {decision.why}") if decision.why else ()
            yield from ("", "The user gets the original link, and nothing is sent.")

    def _params(self, params: tuple[Param, ...]) -> Iterator[str]:
        width = max(len(param.name) for param in params)
        for param in params:
            value = "–" if param.value is None else self._shown(param.name, param.value)
            yield f"  {param.name:<{width}}  {value}  ({f'{param.source}: {param.why}' if param.why else param.source})"

    def _shown(self, name: str, value: str) -> str:
        return value if self._personal_data or name not in PERSONAL else _HIDDEN

    def _side_by_side(self, decision: Direct) -> Iterator[str]:
        """Both URLs, decoded, and then the one that the user got as it is."""
        left = ["The user gets", *self._decoded(decision.location)]
        right = ["AppsFlyer gets", *self._decoded(decision.call.url)]
        width = max(map(len, left))
        for user, appsflyer in zip_longest(left, right, fillvalue=""):
            yield f"{user:<{width}}  {appsflyer}".rstrip()
        yield from ("", f"Location: {decision.location}")
        if self._personal_data:
            yield f"S2S: {decision.call.url}"
        else:
            yield "S2S: storehop_view_personal_data shows the URL"

    def _decoded(self, url: str) -> Iterator[str]:
        base, _, query = url.partition("?")
        yield f"  {base}"
        for segment in query.split("&") if query else ():
            name, _, raw = segment.partition("=")
            yield f"  {decoded(name)} = {self._shown(decoded(name), decoded(raw))}"


def _tried(story: Story) -> list[str]:
    tried = rules_tried(story.click, story.rules)
    return [f"  {rule.name}: {f'{why} does not match' if why else 'matches'}" for rule, why in tried] or ["  none"]


def _gates(story: Story) -> Iterator[str]:
    """Each gate that let the click through, the one that did not, and how many were not asked any more."""
    passed = gates_passed(story.click, story.decision)
    yield from wrap(f"✓ {', '.join(passed)}", 72, initial_indent="  ", subsequent_indent="    ")
    if isinstance(story.decision, Direct):
        return
    reason = story.decision.reason
    yield f"  ✗ {reason}: {HELP.get(reason, 'the old redirect still works')}"
    if left := len(GATES) - len(passed) - (reason in GATES):
        yield f"  · {left} more were not asked"
