"""From figures to the report: medians over the rounds, ratios, and the tables of this folder's README.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.cost import in_words

OWN = 0.85
"""Share of a core from which on a proxy under full load had it for itself."""
FAULTS = ("passed", "lost", "twice", "failed")
"""What a perfect run has none of."""
YARDSTICK = "stock, forwarding"
RATES = {
    "stock, forwarding": "stock mitmdump, forwarding (the yardstick)",
    "naive, clicks": "naive mitmdump addon, whole clicks",
    "storehop, forwarding": "storehop, forwarding",
    "storehop, clicks": "storehop, whole clicks",
    "storehop, rewritten clicks": "storehop, whole clicks on the ad stack's redirects",
    "two workers, clicks": "storehop with two workers, whole clicks",
    "nginx, forwarding": "nginx, forwarding",
    "no proxy, forwarding": "no proxy: what load and ad stack can do",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that has to be reached."""

    name: str
    what: str
    most: bool
    """Whether `limit` is the most that is good, or the least."""
    limit: float
    value: Callable[[dict], float]
    """From a round's figures, with `decision_us` and `memory` beside them; KeyError where it was not measured."""
    unit: str = ""

    def holds(self, value: float) -> bool:
        return value <= self.limit if self.most else value >= self.limit


def _rates(above: str, below: str) -> Callable[[dict], float]:
    return lambda found: found[above]["rate"] / found[below]["rate"]


GOALS = (
    Goal("clicks", "whole clicks ÷ stock forwarding", False, 2.0, _rates("storehop, clicks", YARDSTICK)),
    Goal("naive", "whole clicks ÷ naive addon's", False, 6.0, _rates("storehop, clicks", "naive, clicks")),
    Goal("forwarding", "forwarding ÷ stock forwarding", False, 2.2, _rates("storehop, forwarding", YARDSTICK)),
    Goal(
        "light",
        "median answer to a click at light load ÷ stock's forwarded request",
        True,
        1.0,
        lambda found: found["storehop, light load"]["p50"] / found["stock, light load"]["p50"],
    ),
    Goal(
        "s2s",
        "answer to arrival of its S2S call at half load, p99",
        True,
        50,
        lambda found: found["storehop, half load"]["answer_to_arrival"]["p99"],
        " ms",
    ),
    Goal("decision", "decision, median", True, 40, lambda found: found["decision_us"]["1000"], " µs"),
    Goal(
        "apps",
        "decision with 100,000 app ids ÷ with 10",
        True,
        1.2,
        lambda found: found["decision_us"]["100000"] / found["decision_us"]["10"],
    ),
    Goal(
        "memory",
        "resident memory after {many:,} clicks ÷ after {few:,}",
        True,
        1.05,
        lambda found: found["memory"]["last_mb"] / found["memory"]["first_mb"],
    ),
    Goal(
        "watching",
        "whole clicks with metrics, scrapes and log ÷ without",
        False,
        0.95,
        _rates("storehop, clicks", "unwatched, clicks"),
    ),
    Goal("workers", "two workers ÷ one", False, 1.8, _rates("two workers, clicks", "storehop, clicks")),
)


def with_ratios(figures: dict) -> dict:
    """The figures of `rounds.run` with `median` over the rounds, and `goals` by name."""
    whole = {name: figures[name] for name in ("decision_us", "memory")}
    goals = {}
    for goal in GOALS:
        try:  # a ratio is taken within each round, where both sides met the same machine
            value = statistics.median(goal.value(one | whole) for one in figures["rounds"])
        except (KeyError, TypeError, ZeroDivisionError):  # not measured here
            continue
        goals[goal.name] = {"value": round(value, 3), "goal": goal.limit, "reached": goal.holds(value)}
    return figures | {"median": _median(figures["rounds"]), "goals": goals}


def _median(rounds: list) -> dict:
    """Of dicts with equal keys: the median of each number, at any depth. None where one is missing."""
    result = {}
    for name, first in rounds[0].items():
        values = [one[name] for one in rounds]
        if isinstance(first, dict):
            result[name] = _median(values)
        else:
            result[name] = None if None in values else statistics.median(values)
    return result


def markdown(found: dict) -> str:
    """The report for people."""
    return "\n\n".join((_rate_table(found), _goal_table(found), _latency_table(found), _words(found)))


def _rate_table(found: dict) -> str:
    stock = found["median"][YARDSTICK]
    lines = [
        "| one process on one core | a second | ÷ stock | processor time each | ÷ stock |",
        "|---|---|---|---|---|",
    ]
    for name, words in RATES.items():
        if figures := found["median"].get(name):
            rate, each = figures["rate"], figures.get("cpu_us")
            cost, ratio = ("–", "–") if each is None else (f"{each:,.0f} µs", f"{each / stock['cpu_us']:.2f}")
            lines.append(f"| {words} | {rate:,.0f} | {rate / stock['rate']:.2f} | {cost} | {ratio} |")
    return "\n".join(lines)


def _goal_table(found: dict) -> str:
    lines = ["| ratio or limit | measured | to reach | |", "|---|---|---|---|"]
    for goal in GOALS:
        if result := found["goals"].get(goal.name):
            sign = "≤" if goal.most else "≥"
            verdict = "✓" if result["reached"] else "✗"
            what = goal.what.format(**found["memory"])
            lines.append(
                f"| {what} | {result['value']:.2f}{goal.unit} | {sign} {goal.limit:g}{goal.unit} | {verdict} |"
            )
    return "\n".join(lines)


def _latency_table(found: dict) -> str:
    median = found["median"]
    rows = {"stock, forwarded request at light load": median.get("stock, light load")}
    rows["storehop, answer to a click at light load"] = median.get("storehop, light load")
    if half := median.get("storehop, half load"):
        rows |= {
            f"answer to a click at half load ({half['rate']:,.0f} clicks/s)": half["answer"],
            "click to arrival at AppsFlyer, half load": half["click_to_arrival"],
            "answer to arrival at AppsFlyer, half load": half["answer_to_arrival"],
        }
    lines = ["| milliseconds | p50 | p90 | p99 |", "|---|---|---|---|"]
    for words, cuts in rows.items():
        if cuts:
            lines.append(f"| {words} | {cuts['p50']:.2f} | {cuts['p90']:.2f} | {cuts['p99']:.2f} |")
    return "\n".join(lines)


def _words(found: dict) -> str:
    machine, held = found["machine"], found["memory"]
    decision = ", ".join(f"{taken:.1f} µs with {int(size):,}" for size, taken in found["decision_us"].items())
    first, last = _megabytes(held["first_mb"]), _megabytes(held["last_mb"])
    where = f"{machine['processor']}, {machine['cores']} cores ({machine['pinning']}); {machine['system']}"
    software = f"Python {machine['python']}, mitmproxy {machine['mitmproxy']}, load by {machine['load']}"
    speed = (
        f"100,000 additions in Python take {machine['loop_ms']:.1f} ms, "
        f"one commit to this disk {machine['commit_ms']:.2f} ms"
    )
    lines = [
        f"Decision by number of app ids: {decision}.",
        in_words(found["decision_instructions"]),
        f"Memory: {first} after {held['few']:,} clicks, {last} after {held['many']:,}.",
        f"{where}; {software}; {speed}; median of {len(found['rounds'])} round(s), {machine['date']}.",
        *(f"Not measured: {what} ({why})." for what, why in found["skipped"].items()),
        *_shared(found["median"]),
        *_faults(found["rounds"]),
    ]
    return "\n".join(lines)


def _megabytes(held: float | None) -> str:
    return "unknown" if held is None else f"{held:.0f} MB"


def _shared(median: dict) -> list[str]:
    """Says where others used the proxy's core: then only ratios of processor times can be trusted."""
    shares = {name: figures["busy"] for name, figures in median.items() if figures.get("busy")}
    low = [f"{share:.0%} in {name}" for name, share in shares.items() if share < OWN and not name.startswith("nginx")]
    return [f"Beware: others were at work. Of its core the proxy had only {'; '.join(low)}."] if low else []


def _faults(rounds: list[dict]) -> list[str]:
    """A line for everything that a perfect run has none of."""
    lines = []
    for number, figures in enumerate(rounds, 1):
        for name, measured in figures.items():
            bad = {what: measured[what] for what in FAULTS if measured.get(what)}
            if bad:
                lines.append(
                    f"Round {number}, {name}: " + ", ".join(f"{count:,} {what}" for what, count in bad.items())
                )
    return lines
