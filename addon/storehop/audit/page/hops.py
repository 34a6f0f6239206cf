"""Sections 6 to 9: AppsFlyer's own redirect against ours, what is saved, what nobody can tell, and what changed."""

from __future__ import annotations

from storehop.audit.page import words
from storehop.audit.page.parts import (
    SPACE,
    WORDS_BYTES,
    Column,
    Markup,
    count,
    counted,
    element,
    figure,
    fold,
    joined,
    largest,
    name,
    paragraph,
    percent,
    ranked,
    sample_list,
    samples,
    section,
    table,
    visible,
)
from storehop.audit.report import Counts, Report

MOST_APPS = 30
MOST_EXAMPLES = 6
MOST_HARMLESS = 20
MOST_UNKNOWN = 20
MOST_CHANGES = 30


def drift(report: Report) -> Markup:
    title = "Where AppsFlyer's own redirect leads"
    if not any(report.drift.values()):
        return section(
            "drift",
            title,
            paragraph(
                element("strong", "Not observable in this recording. "),
                "It does not hold AppsFlyer's own answers, and nobody can ask for them without counting clicks. A HAR "
                "that was saved with “Preserve log”, or a recording by a forward proxy on some test phones holds them.",
            ),
        )
    compared = sum(report.drift.values()) - report.drift.get("not_comparable", 0)
    differing = compared - report.drift.get("same", 0)
    summary = (
        f"{counted(differing, 'click')} of {count(compared)} that can be compared would come to another place."
        if differing
        else f"All {counted(compared, 'click')} that can be compared would come to the same place."
    )
    return section(
        "drift",
        title,
        paragraph(element("strong", summary), cls="note warn" if differing else "note"),
        _kinds(report),
        _by_app(report),
        fold("Clicks that would come to another place", sample_list(report.drift_examples[:MOST_EXAMPLES]))
        if report.drift_examples
        else None,
        _harmless(report),
    )


def savings(report: Report) -> Markup:
    removed = paragraph(
        f"Each direct click has one hop less: the phone goes to the store without asking AppsFlyer. Here that is "
        f"{counted(report.direct, 'request')}."
    )
    if report.hop_ms_median is None or not report.hops:
        measured = paragraph("How long such a hop takes is not recorded, so no time is claimed.")
    else:
        measured = paragraph(
            f"In {counted(report.hops, 'click')} the hop is recorded with its times: half of them waited for it "
            f"{figure(report.hop_ms_median, 0)}{SPACE}ms or longer. For the other clicks nothing was measured."
        )
    return section("savings", "What is saved", removed, measured)


def unknown(report: Report) -> Markup:
    told = [(one.name, words_) for one in report.inputs for words_ in one.cannot_tell]
    items = list(dict.fromkeys(joined(name(file), ": ", visible(text, WORDS_BYTES)) for file, text in told))
    items += [joined(visible(text, WORDS_BYTES)) for text in report.cannot_tell]
    always = "Whether an install follows a click: only AppsFlyer and the store know that."
    more = len(items) - MOST_UNKNOWN
    return section(
        "unknown",
        "What this recording cannot tell",
        element("ul", *(element("li", item) for item in items[:MOST_UNKNOWN]), element("li", always)),
        paragraph(f"… and {count(more)} more.", cls="more") if more > 0 else None,
    )


def changes(report: Report) -> Markup | None:
    """Only where there was an earlier report to compare with."""
    if not report.baseline:
        return None
    since = joined("Compared with ", name(report.baseline), ".")
    if not report.changes:
        calm = " No share has changed by two points and more."
        return section("changes", "What has changed", paragraph(since, calm))
    rows = [(name(one.what), percent(one.before), percent(one.now)) for one in report.changes[:MOST_CHANGES]]
    return section(
        "changes",
        "What has changed",
        paragraph(since, " Shares that differ by two points and more, and by more than chance:"),
        table(
            "Changes",
            (Column("Share of clicks", "t"), Column("Before"), Column("Now")),
            rows,
            len(report.changes) - len(rows),
            is_titled=True,
        ),
    )


def _kinds(report: Report) -> Markup:
    rows = [(_kind(report, key), count(n)) for key, n in ranked(report.drift, len(words.KINDS))[0]]
    columns = (Column("AppsFlyer's redirect against storehop's", "t"), Column("Clicks"))
    return table("By what differs", columns, rows, is_titled=True)


def _kind(report: Report, key: str) -> Markup:
    advice = words.kind_advice(key)
    return joined(
        visible(words.kind(key)),
        " ",
        element("small", visible(key)),
        element("p", element("span", "What to do: ", cls="label"), advice) if advice else None,
        samples(report, key),
    )


def _by_app(report: Report) -> Markup | None:
    known = {app: one for app, one in report.apps.items() if any(one.drift.values())}
    if not known:
        return None
    shown, more = largest(known, MOST_APPS)
    columns = (
        Column("App", "t"),
        Column("Compared"),
        Column("Same"),
        Column("Other"),
        Column("What differs", "t why"),
    )
    return table("By app", columns, [_app_row(app, one) for app, one in shown], more)


def _app_row(app: str, one: Counts) -> tuple[str, ...]:
    other = {key: n for key, n in one.drift.items() if key not in words.HARMLESS_KINDS}
    compared = sum(one.drift.values()) - one.drift.get("not_comparable", 0)
    differs = "; ".join(f"{words.kind(key)} ({count(n)})" for key, n in ranked(other, 3)[0])
    return (
        name(app),
        count(compared),
        count(one.drift.get("same", 0)),
        count(sum(other.values())),
        visible(differs, 160),
    )


def _harmless(report: Report) -> Markup | None:
    found, more = ranked(report.harmless, MOST_HARMLESS)
    if not found:
        return None
    rows = [(visible(why, WORDS_BYTES), count(n)) for why, n in found]
    title, columns = "Differences that do not count, and why", (Column("Difference", "t"), Column("Clicks"))
    return fold(title, table(title, columns, rows, more, is_titled=True))
