"""Sections 6 to 9: AppsFlyer's own redirect against ours, what is saved, what nobody can tell, and what changed."""

from __future__ import annotations

from collections.abc import Mapping

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
from storehop.decide.drift import Kind

MOST_APPS = 30
MOST_EXAMPLES = 3
MOST_SENTENCES = 10
MOST_UNKNOWN = 15
MOST_CHANGES = 20


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
    compared = sum(report.drift.values()) - report.drift.get(Kind.NOT_COMPARABLE, 0)
    differing = sum(_differing(report.drift).values())
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
        _counted(report.harmless, "Differences that do not count, and why", "Difference"),
        _counted(report.not_comparable, "Why some answers cannot be compared", "Reason"),
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
    items = [visible(text, WORDS_BYTES) for text in report.cannot_tell]
    always = "whether an install follows a click: only AppsFlyer and the store know that"
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
    return section(
        "changes",
        "What has changed",
        paragraph(since, _other_rules(report)),
        _new_parameters(report),
        _changed_shares(report),
    )


def _other_rules(report: Report) -> str:
    return (
        " The rules are other ones now."
        if report.baseline_digest != report.rules_digest
        else " The rules are the same."
    )


def _new_parameters(report: Report) -> Markup | None:
    found = report.new_parameters[:MOST_CHANGES]
    if not found:
        return None
    more = len(report.new_parameters) - len(found)
    tail = f", and {count(more)} more." if more else "."
    return paragraph("Parameters that no link had then: ", joined(*map(name, found), between=", "), tail)


def _changed_shares(report: Report) -> Markup:
    if not report.changes:
        return paragraph("No share has changed by two points and more.")
    rows = [(name(one.what), percent(one.before), percent(one.now)) for one in report.changes[:MOST_CHANGES]]
    first = Column("Shares that differ by two points and more, and by more than chance", "t")
    return table(
        "Changes", (first, Column("Before"), Column("Now")), rows, len(report.changes) - len(rows), is_titled=True
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
    order = sorted(known.items(), key=lambda item: (-sum(_differing(item[1].drift).values()), -item[1].clicks, item[0]))
    shown, more = order[:MOST_APPS], max(0, len(order) - MOST_APPS)
    columns = (
        Column("App", "t"),
        Column("Compared"),
        Column("Same"),
        Column("Other"),
        Column("What differs", "t why"),
    )
    return table("By app", columns, [_app_row(app, one) for app, one in shown], more)


def _app_row(app: str, one: Counts) -> tuple[str, ...]:
    other = _differing(one.drift)
    compared = sum(one.drift.values()) - one.drift.get(Kind.NOT_COMPARABLE, 0)
    differs = "; ".join(f"{words.kind(key)} ({count(n)})" for key, n in ranked(other, 3)[0])
    return (
        name(app),
        count(compared),
        count(one.drift.get(Kind.SAME, 0)),
        count(sum(other.values())),
        visible(differs, 160),
    )


def _counted(counts: Mapping[str, int], title: str, head: str) -> Markup | None:
    """Sentences with the number of clicks of each, folded."""
    found, more = ranked(counts, MOST_SENTENCES)
    if not found:
        return None
    rows = [(visible(why, WORDS_BYTES), count(n)) for why, n in found]
    return fold(title, table(title, (Column(head, "t"), Column("Clicks")), rows, more, is_titled=True))


def _differing(drift: Mapping[str, int]) -> dict[str, int]:
    """Clicks that would come to another place, by kind."""
    return {key: n for key, n in drift.items() if key in words.DRIFT}
