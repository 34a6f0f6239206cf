"""Section 1: what this is, whether the gates hold, what was read by which rules, and room to sign."""

from __future__ import annotations

from pathlib import PurePath

from storehop.audit.page import words
from storehop.audit.page.parts import (
    WORDS_BYTES,
    Column,
    Markup,
    count,
    counted,
    day_and_time,
    element,
    figure,
    fold,
    joined,
    name,
    paragraph,
    percent,
    section,
    share,
    table,
    visible,
)
from storehop.audit.report import Gate, Input, Report

MOST_INPUTS = 15
MOST_GATES = 10
_SHORT_DIGEST = 12
_MOST_DIGITS = 6


def head(report: Report) -> Markup:
    """The title, and the whole result in a box."""
    made = f"Made by storehop {visible(report.version) or '(unknown)'} on {day_and_time(report.made_at)} UTC."
    tone, title = _verdict(report)
    box = element(
        "div",
        element("h2", title, id="verdict-title"),
        _result(report),
        _gates(report),
        paragraph(
            element("strong", "Nothing was sent."), " Recorded clicks were decided on, and that is all.", cls="calm"
        ),
        cls=f"box {tone}",
    )
    return joined(
        element("header", element("h1", "What storehop would do to these clicks"), paragraph(made, cls="muted")),
        element("section", box, id="verdict", aria_labelledby="verdict-title"),
    )


def read(report: Report) -> Markup:
    """What was read, and by which rules."""
    rows = [_input_row(one) for one in report.inputs[:MOST_INPUTS]]
    columns = (
        Column("File", "t"),
        Column("Format", "t"),
        Column("From (UTC)"),
        Column("To (UTC)"),
        Column("Lines"),
        Column("Unreadable"),
    )
    files = table("Recordings", columns, rows, len(report.inputs) - len(rows), is_titled=True) if rows else None
    faults = [
        element("li", name(one.name), ":", visible(fault, WORDS_BYTES))
        for one in report.inputs
        for fault in one.first_faults[:3]
    ]
    closed = [element("li", name(file), ": ", visible(why, WORDS_BYTES)) for file, why in report.not_read.items()]
    answers = f" {count(report.further_hops)} are AppsFlyer's answers to clicks." if report.further_hops else ""
    return section(
        "read",
        "What was read",
        paragraph("Somebody stopped the audit: all figures are of what was read until then.", cls="note warn")
        if report.is_stopped_early
        else None,
        files or paragraph("No recording was read."),
        element("div", paragraph("Not read:", cls="label"), element("ul", *closed[:MOST_INPUTS])) if closed else None,
        fold("The first lines that could not be read", element("ul", *faults[:MOST_INPUTS])) if faults else None,
        paragraph(
            f"Of {counted(report.exchanges, 'readable line')}, {count(report.not_clicks)} are no clicks: they lead to "
            f"no attribution link.{answers} {counted(report.clicks, 'click')} remain."
        ),
        paragraph(
            "Rules: ", name(PurePath(report.rules_path).name or "(none)"), " ", _digest(report.rules_digest), "."
        ),
    )


def sign_off() -> Markup:
    """Lines to sign on, on paper or in a viewer of PDF files."""
    columns = (Column("Checked by", "t"), Column("Name", "t"), Column("Date", "t"), Column("Signature", "t"))
    rows = [(who, "", "", "") for who in ("Operations", "Ad operations")]
    return element(
        "div",
        section("sign", "Read and agreed", table("Who has read this and agrees", columns, rows, is_titled=True)),
        cls="sign",
    )


def _verdict(report: Report) -> tuple[str, str]:
    if not report.clicks:
        return "bad", "No click was found in this recording"
    if not report.gates:
        return "plain", "No limits were set: the figures are yours to judge"
    failed = sum(not gate.holds for gate in report.gates)
    if failed:
        return "bad", f"{failed} of {counted(len(report.gates), 'limit')} {'does' if failed == 1 else 'do'} not hold"
    return "good", "The limit holds" if len(report.gates) == 1 else f"All {len(report.gates)} limits hold"


def _result(report: Report) -> Markup:
    if not report.clicks:
        return paragraph(
            "No line leads to an attribution link that these rules know. Look at what was read below, "
            "and at what this recording cannot tell."
        )
    return joined(
        paragraph(
            element("span", share(report.direct, report.clicks), cls="figure"),
            " ",
            element("span", "of the clicks would go straight to the store", cls="figure-words"),
            cls="headline",
        ),
        paragraph(
            f"That is {count(report.direct)} of {counted(report.clicks, 'click')}. AppsFlyer would hear of each one "
            f"from server to server. The other {count(report.clicks - report.direct)} would go on as they do today."
        ),
    )


def _gates(report: Report) -> Markup | None:
    if not report.gates:
        return None
    columns = (Column("Limit", "t"), Column("Figure"), Column("Asked for"), Column("Holds", "t"))
    shown = sorted(report.gates, key=lambda gate: gate.holds)[:MOST_GATES]
    return table("Limits", columns, [_gate_row(gate) for gate in shown], len(report.gates) - len(shown), is_titled=True)


def _gate_row(gate: Gate) -> tuple[str, str, str, str]:
    value, limit = _apart(gate)
    holds = element("span", "holds" if gate.holds else "does not hold", cls="good-word" if gate.holds else "bad-word")
    known = words.gate(gate.name)
    title = joined(
        visible(known),
        " ",
        element("small", visible(gate.name)) if known != gate.name else None,
        element("p", visible(words.sentence(gate.why), WORDS_BYTES), ".", cls="small") if gate.why else None,
    )
    operator = words.OPERATORS.get(gate.operator, visible(gate.operator))
    return title, value, f"{operator} {limit}", holds


def _apart(gate: Gate) -> tuple[str, str]:
    """Figure and limit with as many digits as tell them apart, and the figure from zero."""
    write = figure if gate.name in words.COUNTS else percent
    if gate.value is None:
        return "nobody can tell", write(gate.limit, _MOST_DIGITS)
    nothing = value = limit = write(0.0)
    for digits in range(1, _MOST_DIGITS + 1):
        value, limit = write(gate.value, digits), write(gate.limit, digits)
        is_told = (value != limit or gate.value == gate.limit) and (value != nothing or not gate.value)
        if is_told and (limit != nothing or not gate.limit):
            break
    return value, limit


def _input_row(one: Input) -> tuple[str, ...]:
    cut = element("small", " It ended in the middle; what stood before was read.") if one.is_truncated else None
    return (
        joined(name(one.name), " ", _digest(one.sha256), cut),
        visible(one.format),
        day_and_time(one.first),
        day_and_time(one.last),
        count(one.lines),
        count(one.unreadable),
    )


def _digest(digest: str) -> Markup:
    return element("small", f"sha256 {visible(digest[:_SHORT_DIGEST]) or 'unknown'}", cls="digest")
