"""The content view "Click": one click, from the rules tried to the two URLs, in mitmweb and the console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap

from mitmproxy import contentviews, http

from storehop.decide.device_ids import DEVICE_IDS
from storehop.decide.explanation import GATES, PASSED, because, gates_passed, rules_tried
from storehop.decide.link import decoded
from storehop.decide.rules import RuleSet
from storehop.model import Click, Decision, Direct, Param

PERSONAL = DEVICE_IDS | {"af_ip", "af_ua"}
"""Parameters that we hide unless `storehop_view_personal_data` is set."""
_HIDDEN = "(hidden)"
WIDTH = 72
"""Of sentences, in characters: half of mitmweb's page on a small screen."""


class ClickRecord:
    """One click: its decision, the rules that made it, and the flow that mitmweb shows for it."""

    def __init__(self, click: Click, decision: Decision, rules: RuleSet, flow: http.HTTPFlow) -> None:
        self.click = click
        self.decision = decision
        self.rules = rules
        self.flow = flow


class ClickView(contentviews.Contentview):
    """Shows the click that belongs to a flow. `records` has the clicks by the flow's id."""

    name = "Click"

    def __init__(self, records: Mapping[str, ClickRecord], *, personal_data: bool) -> None:
        self._records = records
        self._personal_data = personal_data

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:  # noqa: ARG002  mitmproxy's signature
        record = self._records.get(metadata.flow.id) if metadata.flow else None
        if record is None:
            raise ValueError("this flow is no click, or too old")
        return self.text(record)

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:  # noqa: ARG002
        """Above all other views for a click's response, below all others for any other flow."""
        is_click = metadata.flow is not None and metadata.flow.id in self._records
        return 2.0 if is_click and isinstance(metadata.http_message, http.Response) else -1.0

    def text(self, record: ClickRecord) -> str:
        """The decision, line by line."""
        return "\n".join(self._lines(record))

    def _lines(self, record: ClickRecord) -> Iterator[str]:
        decision = record.decision
        yield from wrap(record.flow.comment, WIDTH)
        yield ""
        for fact in ("rule", "app", "platform", "store"):
            yield f"{fact}: {getattr(decision, fact) or '–'}"
        yield from ("", "Rules tried", *_trials(record), "", "Checked", *_gates(record))
        if isinstance(decision, Direct) and decision.repeats:
            yield from ("", f"It is click {decision.repeats} again: the same answer, and no S2S call of its own.")
            yield from ("", f"Location: {decision.location}")
        elif isinstance(decision, Direct):
            yield from ("", "Parameters of the S2S click", *self._params(decision.params))
            yield from ("", *self._side_by_side(decision))
        else:
            yield from ("", f"why: {decision.why}") if decision.why else ()
            yield from ("", "The user gets the original link, and nothing is sent.")

    def _params(self, params: Sequence[Param]) -> Iterator[str]:
        width = max(len(param.name) for param in params)
        for param in params:
            value = "–" if param.value is None else self._visible(param.name, param.value)
            yield f"  {param.name:<{width}}  {value}  ({f'{param.source}: {param.why}' if param.why else param.source})"

    def _visible(self, name: str, value: str) -> str:
        return value if self._personal_data or name not in PERSONAL else _HIDDEN

    def _side_by_side(self, decision: Direct) -> Iterator[str]:
        """Both URLs decoded, side by side; then the user's as it is, and ours where personal data may be shown."""
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
            yield f"  {decoded(name)} = {self._visible(decoded(name), decoded(raw))}"


def _trials(record: ClickRecord) -> list[str]:
    trials = rules_tried(record.click, record.rules)
    return [f"  {rule.name}: {f'{why} does not match' if why else 'matches'}" for rule, why in trials] or ["  none"]


def _gates(record: ClickRecord) -> Iterator[str]:
    """What the gates that let the click through found, the gate that did not, and the number of gates behind it."""
    passed = gates_passed(record.click, record.decision)
    found = ", ".join(PASSED[gate] for gate in passed) or "nothing"
    yield from wrap(f"✓ {found}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    if isinstance(record.decision, Direct):
        return
    reason = record.decision.reason
    yield f"  ✗ {reason}: {because(record.decision)}"
    if remaining := len(GATES) - len(passed) - (reason in GATES):
        yield f"  · {remaining} more were not asked"
