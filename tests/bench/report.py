"""From figures to the report: medians over the rounds, goals, and the page that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FAULTS = ("passed", "lost", "twice", "failed")
"""What a perfect run has none of."""
OWN = 0.85
"""Share of a core from which on a proxy under full load had it for itself."""
YARDSTICK = "stock, forwarding"
REFERENCE_MS = 2.0
"""What 100,000 additions in Python take where a goal of microseconds holds as it is written."""
BEGIN, END = "<!-- made by make bench: begin -->", "<!-- made by make bench: end -->"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that has to be reached."""

    name: str
    what: str
    part: str
    most: bool
    """Whether `limit` is the most that is good, or the least."""
    limit: float
    value: Callable[[dict], float]
    """From a round's figures with `machine` beside them; KeyError where it was not measured."""
    unit: str = ""
    is_of_the_machine: bool = False
    """Whether the limit is longer where Python is slower: the part has `loop_ms` then."""

    def limit_in(self, part: dict) -> float:
        if not self.is_of_the_machine:
            return self.limit
        return self.limit * statistics.median(one["loop_ms"] for one in part["rounds"]) / REFERENCE_MS


def _rates(above: str, below: str) -> Callable[[dict], float]:
    return lambda found: found[above]["rate"] / found[below]["rate"]


def _grown(kind: str) -> Callable[[dict], float]:
    return lambda found: found[kind]["last_mb"] / found[kind]["first_mb"]


def _two_workers(found: dict) -> float:
    """Only where each had a core for itself."""
    if found["machine"]["cores"] < 3:
        raise KeyError("cores")
    return _rates("two workers, clicks", "one worker, clicks")(found)


GOALS = (
    Goal("clicks", "whole clicks ÷ stock forwarding", "speed", False, 2.5, _rates("storehop, clicks", YARDSTICK)),
    Goal("naive", "whole clicks ÷ naive addon's", "speed", False, 8, _rates("storehop, clicks", "naive, clicks")),
    Goal("forwarding", "forwarding ÷ stock forwarding", "speed", False, 3, _rates("storehop, forwarding", YARDSTICK)),
    Goal(
        "light",
        "median answer to a click at light load ÷ stock's forwarded request",
        "speed",
        True,
        0.7,
        lambda found: found["storehop, light load"]["p50"] / found["stock, light load"]["p50"],
    ),
    Goal(
        "added",
        "median time added to a request that is no click, at light load: storehop − stock",
        "speed",
        True,
        0.1,
        lambda found: found["storehop, forwarding at light load"]["p50"] - found["stock, light load"]["p50"],
        " ms",
    ),
    Goal(
        "s2s",
        "answer to arrival of its S2S call at half load, p99",
        "speed",
        True,
        20,
        lambda found: found["storehop, half load"]["answer_to_arrival"]["p99"],
        " ms",
    ),
    Goal("decision", "decision, median", "decision", True, 40, lambda found: found["us"]["1000"], " µs", True),
    Goal(
        "apps",
        "decision with 100,000 app ids ÷ with 10",
        "decision",
        True,
        1.1,
        lambda found: found["us"]["100000"] / found["us"]["10"],
    ),
    Goal(
        "memory",
        "resident memory after {answer[many]:,} clicks ÷ after {answer[few]:,}",
        "memory",
        True,
        1.02,
        _grown("answer"),
    ),
    Goal(
        "hostile",
        "the same with header values that no other click has: after {hostile[many]:,} ÷ after {hostile[few]:,}",
        "memory",
        True,
        1.02,
        _grown("hostile"),
    ),
    Goal(
        "watching",
        "whole clicks with metrics, scrapes and log ÷ without",
        "speed",
        False,
        0.95,
        _rates("storehop, clicks", "unwatched, clicks"),
    ),
    Goal("workers", "two workers ÷ one", "workers", False, 1.8, _two_workers),
)


def with_ratios(parts: dict[str, dict]) -> dict:
    """The figures of `rounds.run`, each part with `median` over its rounds, and `goals` by name."""
    goals = {}
    for goal in GOALS:
        if part := parts.get(goal.part):
            try:
                goals[goal.name] = _met(goal, part)
            except (KeyError, TypeError, ZeroDivisionError):  # not measured here
                continue
    return {
        "parts": {name: part | {"median": _median(part["rounds"])} for name, part in parts.items()},
        "goals": goals,
    }


def _met(goal: Goal, part: dict) -> dict[str, float | bool]:
    """Whether it was reached: a ratio is taken within each round, where both sides met the same machine."""
    values = [goal.value(one | {"machine": part["machine"]}) for one in part["rounds"]]
    limit, value = goal.limit_in(part), statistics.median(values)
    reached = value <= limit if goal.most else value >= limit
    shown = {"value": value, "least": min(values), "most": max(values), "goal": limit}
    return {name: round(number, 3) for name, number in shown.items()} | {"reached": reached}


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


def within_rounds(part: dict, value: Callable[[dict], float], form: str = ".2f") -> str:
    """The median of a ratio over the rounds and, of several, its spread; a dash where it was not measured."""
    try:
        values = [value(one) for one in part["rounds"]]
    except (KeyError, TypeError, ZeroDivisionError):
        return "–"
    return spread(statistics.median(values), min(values), max(values), form)


def spread(value: float, least: float, most: float, form: str = ".2f") -> str:
    """In words; of one value, or where all are alike, the value alone."""
    low, high = format(least, form), format(most, form)
    return format(value, form) + (f" ({low}..{high})" if low != high else "")


def measurements(figures: dict, name: str = "") -> Iterator[tuple[str, dict]]:
    """Each dict of figures with its name, at any depth."""
    for own, found in figures.items():
        if isinstance(found, dict):
            path = f"{name}, {own}" if name else own
            yield path, found
            yield from measurements(found, path)


def doubts(part: dict) -> list[str]:
    """Says where others used the proxy's core, and what a perfect run has none of."""
    lines = []
    shares = {name: figures["busy"] for name, figures in measurements(part["median"]) if figures.get("busy")}
    low = [f"{share:.0%} in {name}" for name, share in shares.items() if share < OWN and not name.startswith("nginx")]
    if low:
        lines.append(f"Beware: others were at work. Of its core the proxy had only {'; '.join(low)}.")
    for number, figures in enumerate(part["rounds"], 1):
        for name, measured in measurements(figures):
            bad = {what: measured[what] for what in FAULTS if measured.get(what)}
            if bad:
                faults = ", ".join(f"{count:,} {what}" for what, count in bad.items())
                reasons = ", ".join(
                    f"{count:,} passed as {why}" for why, count in measured.get("why", {}).items() if count
                )
                lines.append(f"Round {number}, {name}: {faults}{f' ({reasons})' if reasons else ''}.")
    return lines


def on_page(page: str, made: str) -> str:
    """The page with this report between its marks; everything else stays. Raises ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"
