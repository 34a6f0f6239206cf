"""What `storehop audit` says in the terminal: one screen, in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from storehop.audit.report import Counts, Gate, Report
from storehop.cli.explain import escape
from storehop.cli.screen import Screen
from storehop.decide.drift import Kind
from storehop.decide.explanation import HELP
from storehop.model import Reason
from storehop.observe.coverage import NAMES, Signal

WIDTH = 80
INDENT = 2
MOST_ROWS = 5
"""Of a table. The page and the JSON have all of them."""
MOST_REASONS = 8
NO_CLICKS = (
    "[bold yellow]No click was found.[/] A click is a redirect to an attribution link, or a line with one in it.",
    "Does the log hold the answers' Location? Is this the ad stack's own log?",
    "In CSV and JSON lines --map link=COLUMN says where the link stands.",
    "For branded OneLinks, onelinks in the rules name the host.",
)


def show(report: Report, *, to_stderr: bool = False) -> None:
    """Prints the report, at most 60 lines of 80 columns."""
    console = Console(stderr=True, highlight=False) if to_stderr else Screen(highlight=False)
    console.width = min(console.width, WIDTH)
    _verdict(console, report)
    if report.clicks:
        _reasons(console, report)
        _groups(console, "rule", report.rules)
        _groups(console, "app", report.apps)
        _lines(console, "AppsFlyer can match direct clicks on", _signals(report))
        if report.peak_calls_per_second:
            console.print(
                f"S2S calls in the busiest second: {report.peak_calls_per_second:,}; the longest URL has"
                f" {report.longest_url:,} of 2,000 characters."
            )
        _lines(console, "Surprises", _surprises(report))
        _lines(console, "AppsFlyer's own redirect", _drift(report))
    else:
        _lines(console, "", NO_CLICKS)
        _lines(console, "Surprises", _surprises(report))
    _lines(console, f"Since {escape(report.baseline)}", _changes(report) if report.baseline else [])
    _lines(console, "Gates", map(_gate, report.gates))
    _lines(console, "These recordings cannot tell", map(escape, report.cannot_tell))
    console.print("Nothing was sent.")


def _verdict(console: Console, report: Report) -> None:
    if report.gates:
        failed = [gate.name for gate in report.gates if not gate.holds]
        word = (
            f"[bold red]Gates that do not hold: {', '.join(failed)}.[/]" if failed else "[bold green]All gates hold.[/]"
        )
        console.print(word)
    direct = f"{report.direct:,} of {report.clicks:,} clicks go direct ({_share(report.direct, report.clicks)})"
    console.print(f"[bold]{direct}[/], if each rule were direct at 100 %.")
    now = report.configured
    console.print(
        f"As the rules are: {now.direct:,} direct, {now.duplicate:,} duplicates, {sum(now.reasons.values()):,} pass."
    )
    for one in report.inputs[:MOST_ROWS]:
        broken = f", {one.unreadable:,} unreadable" if one.unreadable else ""
        cut = ", cut off in the middle" if one.is_truncated else ""
        _line(
            console,
            f"{escape(one.name)} ({one.format}): {one.lines:,} lines{broken}{cut}{_span(one.first, one.last)}",
        )
    if len(report.inputs) > MOST_ROWS:
        console.print(f"  and {len(report.inputs) - MOST_ROWS} more recordings")
    faults = [f"{one.name}:{fault}" for one in report.inputs for fault in one.first_faults]
    for fault in faults[:2]:
        _line(console, f"[yellow]{escape(fault)}[/]")
    if report.is_stopped_early:
        console.print("[bold yellow]It was stopped: these are the figures of what was read.[/]")


def _reasons(console: Console, report: Report) -> None:
    table = _table("clicks", "share", "why the others pass")
    rows = list(report.reasons.items())
    for reason, number in rows[:MOST_REASONS]:
        words = HELP[Reason(reason)].partition(": ")[0].partition(" (")[0]
        table.add_row(f"{number:,}", _share(number, report.clicks), f"{reason}: {escape(words)}")
    if rest := rows[MOST_REASONS:]:
        number = sum(number for _, number in rest)
        table.add_row(f"{number:,}", _share(number, report.clicks), f"{len(rest)} more reasons")
    _print(console, table)


def _groups(console: Console, title: str, groups: dict[str, Counts]) -> None:
    table = _table("clicks", "direct", title)
    for name, counts in list(groups.items())[:MOST_ROWS]:
        table.add_row(f"{counts.clicks:,}", _share(counts.direct, counts.clicks), escape(name))
    if len(groups) > MOST_ROWS:
        table.add_row("", "", f"and {len(groups) - MOST_ROWS:,} more")
    _print(console, table)


def _signals(report: Report) -> list[str]:
    shares = [f"{NAMES[signal]} {_share(report.signals.get(signal, 0), report.direct)}" for signal in Signal]
    return [", ".join(shares[:3]), ", ".join(shares[3:])]


def _surprises(report: Report) -> list[str]:
    others = ", ".join(f"{number:,} of {network}" for network, number in report.other_networks.items())
    unfilled = ", ".join(list(report.never_filled_in)[:3])
    found = (
        (report.private_addresses, "come from a private address: is client_ip.trusted_proxies missing?"),
        (report.never_filled_in_clicks, f"have a value that nobody filled in: {unfilled}"),
        (report.missing_click_ids, "have no click id"),
        (report.repeated_click_ids, "have a click id that another click had before"),
        (report.page_redirects, "pages lead to a link by meta refresh or script: no rule can meet them"),
        (report.store_redirects, "redirects lead to a store already: is this the log of a storehop?"),
        (sum(report.other_networks.values()), f"links of other networks: {others}"),
    )
    return [escape(f"{number:,} {words}") for number, words in found if number]


def _drift(report: Report) -> list[str]:
    if not report.drift:
        return []
    drifts = sum(number for kind, number in report.drift.items() if Kind(kind).is_drift)
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in report.drift.items())
    times = f"; it took {report.hop_ms_median:.0f} ms in the median" if report.hop_ms_median is not None else ""
    apps = [name for name, counts in report.apps.items() if any(Kind(kind).is_drift for kind in counts.drift)]
    found = [f"{kinds}{times}"]
    if drifts:
        found.append(f"[bold red]{drifts:,} lead elsewhere than ours[/]: {escape(', '.join(apps[:3]))}")
    return found


def _changes(report: Report) -> list[str]:
    found = [
        f"{escape(change.what)}: {_percent(change.before)} before, {_percent(change.now)} now"
        for change in report.changes[:MOST_ROWS]
    ]
    if report.baseline_digest != report.rules_digest:
        found.append("the rules are other ones")
    if report.new_parameters:
        found.append(f"new parameters: {escape(', '.join(report.new_parameters[:MOST_ROWS]))}")
    return found or ["no share has changed by two points and beyond chance"]


def _gate(gate: Gate) -> str:
    word = "[green]holds[/]" if gate.holds else "[bold red]does not hold[/]"
    value = "nobody can tell" if gate.value is None else f"{gate.value:.6g}"
    return f"{gate.name} {gate.operator} {gate.limit:g}: {value}, {word}{f' ({escape(gate.why)})' if gate.why else ''}"


# how it is printed


def _table(number: str, share: str, what: str) -> Table:
    """Its columns have these heads."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(number, justify="right", no_wrap=True, min_width=9)
    table.add_column(share, justify="right", no_wrap=True, min_width=len("99.9 %"))
    table.add_column(what, no_wrap=True, overflow="ellipsis")
    return table


def _print(console: Console, table: Table) -> None:
    if table.row_count:
        console.print(table)


def _lines(console: Console, title: str, lines: Iterable[str]) -> None:
    shown = list(lines)
    if not shown:
        return
    if title:
        console.print(f"[bold]{title}[/]")
    for line in shown[: MOST_REASONS + 1]:
        _line(console, line)


def _line(console: Console, text: str) -> None:
    """A line with an indent, or a few: what people are to do is never cut."""
    console.print(Padding(Text.from_markup(text, overflow="fold"), (0, 0, 0, INDENT), expand=False))


def _span(first: float | None, last: float | None) -> str:
    if first is None or last is None:
        return ""
    start, end = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (first, last))
    day = f"{start.partition(' ')[0]} "
    return f", {start} to {end.removeprefix(day)} UTC"


def _share(part: int, whole: int) -> str:
    """Rounded down: only all of them are 100 %."""
    return _percent(part / whole if whole else 0.0)


def _percent(share: float) -> str:
    return f"{int(share * 1000) / 10:g} %"
