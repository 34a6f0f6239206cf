"""Sections 2 and 3: how many clicks go direct, why the others pass, and what AppsFlyer can match on."""

from __future__ import annotations

from collections.abc import Mapping

from storehop.audit.page import drawings, words
from storehop.audit.page.parts import (
    WORDS_BYTES,
    Column,
    Markup,
    count,
    element,
    fold,
    joined,
    largest,
    name,
    paragraph,
    ranked,
    sample_list,
    section,
    share,
    table,
    visible,
)
from storehop.audit.report import Counts, Report

MOST_REASONS = 20
MOST_APPS = 50
MOST_RULES = 20
MOST_CAMPAIGNS = 30
MOST_SOURCES = 15
_COLOURS = 5
"""Reasons with a colour of their own; the others share one."""
_SHADES = 5


def coverage(report: Report) -> Markup:
    """What becomes of the clicks, as if every rule were direct at 100 %, and as the rules are."""
    if not report.clicks:
        return section("coverage", "What becomes of the clicks", paragraph("There is no click to speak of."))
    return section(
        "coverage",
        "What becomes of the clicks",
        paragraph(
            "As if every rule were direct, for all clicks. Open a line to see clicks behind the figure.", cls="muted"
        ),
        drawings.stack(_parts(report)),
        _reasons(report),
        _as_configured(report),
        drawings.over_time(report.per_minute, report.slot_seconds),
        _groups("By app", "App", report.apps, MOST_APPS),
        _groups("By rule", "Rule", report.rules, MOST_RULES),
        _folded("By campaign", "Campaign", report.campaigns, MOST_CAMPAIGNS),
        _folded("By media source", "Media source (pid)", report.sources, MOST_SOURCES),
    )


def match_keys(report: Report) -> Markup:
    """What AppsFlyer can join direct clicks with installs on, by app."""
    title = "What AppsFlyer can match on"
    if not report.direct:
        return section("keys", title, paragraph("No click would be direct, so there is nothing to match."))
    apps, more = largest({app: counts for app, counts in report.apps.items() if counts.direct}, MOST_APPS)
    is_rest_known = report.ip_and_user_agent_only is not None
    rest = report.ip_and_user_agent_only or 0
    rows = [
        _keys_row("All apps", report.direct, report.signals, rest if is_rest_known else None),
        *(
            _keys_row(name(app), one.direct, one.signals, one.ip_and_user_agent_only if is_rest_known else None)
            for app, one in apps
        ),
    ]
    columns = [Column("App", "t"), Column("Direct"), *(Column(words.signal(key)) for key in words.SIGNALS)]
    if is_rest_known:
        columns.append(Column("IP and User-Agent only"))
    return section(
        "keys",
        title,
        paragraph(
            "The share of direct clicks that carry each key. The install referrer and a device id match for certain; "
            "IP, User-Agent, OS version and model together match by probability."
        ),
        paragraph(
            f"{share(rest, report.direct)} of the direct clicks have neither a referrer nor a device id: AppsFlyer can "
            "match these by IP and User-Agent only, as it does today."
        )
        if is_rest_known
        else None,
        table("Match keys by app", columns, rows, more, is_titled=True),
    )


def _parts(report: Report) -> list[tuple[str, str, int]]:
    """(colour, words, clicks) of the stacked bar: direct, the most frequent reasons, the rest."""
    first, _ = ranked(report.reasons, _COLOURS)
    rest = sum(report.reasons.values()) - sum(n for _, n in first)
    parts = [("direct", "Straight to the store", report.direct)]
    parts += [(f"c{i}", visible(words.reason(key), WORDS_BYTES), n) for i, (key, n) in enumerate(first)]
    return [*parts, ("rest", "All other reasons", rest)] if rest else parts


def _reasons(report: Report) -> Markup:
    reasons, more = ranked(report.reasons, MOST_REASONS)
    rows = [_reason_row(report, "direct", "Straight to the store", "direct", report.direct)]
    for i, (key, n) in enumerate(reasons):
        rows.append(_reason_row(report, key, words.reason(key), f"c{i}" if i < _COLOURS else "rest", n))
    columns = (Column("What happens", "t"), Column("Clicks"), Column("Share"))
    return table("Straight to the store, or on as today, and why", columns, rows, more, is_titled=True)


def _reason_row(report: Report, key: str, title: str, colour: str, n: int) -> tuple[str, str, str]:
    setting = words.a_rule_may_say(key)
    hint = joined("; a rule may say ", element("code", setting)) if setting else None
    label = joined(drawings.swatch(colour), visible(title, WORDS_BYTES), " ", element("small", visible(key), hint))
    found = report.samples.get(key, [])[:3]
    shown = (
        fold(label, sample_list(found, is_whole=key == "direct")) if found else element("div", label, cls="unfolded")
    )
    return shown, count(n), share(n, report.clicks)


def _as_configured(report: Report) -> Markup:
    now = report.configured
    again = (
        f" {count(now.duplicate)} repeat a click of the ten seconds before and get its answer." if now.duplicate else ""
    )
    reasons, _ = ranked(now.reasons, 3)
    why = "; ".join(f"{words.reason_within(key)} ({count(n)})" for key, n in reasons)
    passes = f" The others go on as today, most of them because: {visible(why, 400)}." if why else ""
    return paragraph(
        element("strong", "By the rules as they are set now: "),
        f"{count(now.direct)} of {count(now.clicks)} clicks go straight to the store "
        f"({share(now.direct, now.clicks)}).{again}{passes}",
        cls="note",
    )


def _groups(
    caption: str, title: str, groups: Mapping[str, Counts], most: int, *, is_titled: bool = False
) -> Markup | None:
    if not groups:
        return None
    shown, more = largest(groups, most)
    columns = (
        Column(title, "t"),
        Column("Clicks"),
        Column("Direct"),
        Column("Share"),
        Column("", "drawn"),
        Column("The others, mostly", "t why"),
    )
    return table(caption, columns, [_group_row(key, one) for key, one in shown], more, is_titled=is_titled)


def _folded(caption: str, title: str, groups: Mapping[str, Counts], most: int) -> Markup | None:
    whole = _groups(caption, title, groups, most, is_titled=True)
    return whole and fold(f"{caption} ({count(len(groups))})", whole)


def _group_row(key: str, one: Counts) -> tuple[str, ...]:
    why, _ = ranked(one.reasons, 1)
    mostly = [f"{words.reason_within(reason)} ({count(n)})" for reason, n in why]
    return (
        name(key),
        count(one.clicks),
        count(one.direct),
        share(one.direct, one.clicks),
        drawings.bar(one.direct, one.clicks),
        visible("".join(mostly), 120),
    )


def _keys_row(title: str, direct: int, signals: Mapping[str, int], rest: int | None) -> tuple[str, ...]:
    figures: list[str] = [_shaded(signals.get(key, 0), direct) for key in words.SIGNALS]
    if rest is not None:
        figures.append(share(rest, direct))
    return (title, count(direct), *figures)


def _shaded(part: int, whole: int) -> Markup:
    """A share on a ground that is the deeper the more clicks have the key."""
    depth = _SHADES * part // whole if whole else 0
    return element("span", share(part, whole), cls=f"shade s{min(depth, _SHADES)}")
