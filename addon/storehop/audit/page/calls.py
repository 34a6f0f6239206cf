"""Section 4: what AppsFlyer would be sent, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from storehop.audit.page import words
from storehop.audit.page.parts import (
    SPACE,
    Column,
    Markup,
    count,
    counted,
    element,
    figure,
    name,
    paragraph,
    ranked,
    samples,
    section,
    share,
    table,
    visible,
)
from storehop.audit.report import Report
from storehop.decide.s2s import MAX_URL_CHARACTERS
from storehop.model import Source

MOST_PARAMETERS = 25
MOST_SOURCES = 4
SLOW_CALL_S = 1.0
"""A call may take as long at the peak, or `concurrency` is called too small."""


def calls(report: Report) -> Markup:
    title = "What AppsFlyer would be sent"
    if not report.direct:
        return section("calls", title, paragraph("No click would be direct, so nothing would be sent."))
    return section(
        "calls",
        title,
        paragraph(f"One call from server to server for each of the {counted(report.direct, 'direct click')}."),
        _facts(report),
        _advice(report),
        _never_filled_in(report),
        samples(report, "never_filled_in", "Clicks with such a value"),
        _parameters(report),
    )


def _facts(report: Report) -> Markup:
    facts = (
        ("Calls a second, at the peak", _known(report.peak_calls_per_second)),
        ("Calls a second, in 99 of 100 seconds at most", _known(report.p99_calls_per_second)),
        (f"Longest call, in characters (at most {count(MAX_URL_CHARACTERS)})", count(report.longest_url)),
    )
    return element(
        "dl", *(element("div", element("dt", term), element("dd", fact)) for term, fact in facts), cls="facts"
    )


def _known(calls_per_second: int) -> str:
    return count(calls_per_second) if calls_per_second else "unknown"


def _advice(report: Report) -> Markup:
    """What the peak means for `delivery.concurrency`: calls under way are calls a second times seconds a call."""
    peak, limit = report.peak_calls_per_second, report.concurrency
    setting = element("code", "delivery.concurrency")
    if not peak:
        return paragraph("This recording has no times, so the calls a second are unknown.", cls="note")
    seconds = limit / peak
    outage = report.calls_in_an_outage
    waiting = (
        f" When AppsFlyer is away for two minutes, the outbox needs room for {counted(outage, 'call')}."
        if outage
        else ""
    )
    if seconds >= SLOW_CALL_S:
        return paragraph(
            setting,
            f" allows {count(limit)} calls at a time. That is enough at the peak as long as AppsFlyer answers within "
            f"{figure(seconds)}{SPACE}seconds.{waiting}",
            cls="note",
        )
    return paragraph(
        setting,
        f" allows {count(limit)} calls at a time. At the peak that is enough only if AppsFlyer answers within "
        f"{count(int(1000 * seconds))}{SPACE}ms. Raise it to {count(ceil(peak * SLOW_CALL_S))} to leave it a second."
        f"{waiting}",
        cls="note warn",
    )


def _never_filled_in(report: Report) -> Markup:
    found, more = ranked(report.never_filled_in, MOST_PARAMETERS)
    if not found:
        return paragraph("Every value was filled in: no call has a macro such as {clickid} left in it.")
    columns = (Column("Values that nobody filled in", "t"), Column("Direct clicks"), Column("Share"))
    rows = [(name(key), count(n), share(n, report.direct)) for key, n in found]
    clicks = report.never_filled_in_clicks
    return element(
        "div",
        table("Macros that came as they were written", columns, rows, more),
        paragraph(
            f"{counted(clicks, 'direct click')} ({share(clicks, report.direct)}) have at least one. Such a value "
            "tells AppsFlyer nothing: ask the ad network why its macro is not filled in."
        ),
    )


def _parameters(report: Report) -> Markup | None:
    totals = {key: sum(by.values()) - by.get(Source.OMITTED, 0) for key, by in report.parameters.items()}
    known, more = ranked({key: totals[key] or 1 for key in totals}, MOST_PARAMETERS)
    if not known:
        return None
    rows = [
        (name(key), _sources(report.parameters[key]), count(totals[key]), share(totals[key], report.direct))
        for key, _ in known
    ]
    columns = (Column("Parameter", "t"), Column("Its value comes from", "t why"), Column("Calls"), Column("Share"))
    return table("Parameters of the calls", columns, rows, more)


def _sources(by_source: Mapping[str, int]) -> str:
    found, _ = ranked(by_source, MOST_SOURCES)
    if len(found) == 1:
        return visible(words.source(found[0][0]))
    return visible("; ".join(f"{words.source(key)} {count(n)}" for key, n in found), 200)
