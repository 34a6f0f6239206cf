"""How the watched rules do, for people and machines: what all processes have laid down, added up and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from storehop.canary.figures import Figures, total
from storehop.canary.limits import Finding, judge
from storehop.canary.stop import in_one_line
from storehop.canary.sums import PREFIX, Counted, from_text

RECENT_S = 15.0
"""What a process laid down longer ago does not count: it writes every five seconds. Clocks of hosts may differ some."""


class Watched(NamedTuple):
    """A rule at one percent: hosts may differ while their rule files do."""

    rule: str
    percent: str
    processes: int
    figures: Figures
    findings: tuple[Finding, ...]

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        step = self.figures.step
        return {
            "rule": self.rule,
            "percent": float(self.percent),
            "processes": self.processes,
            "since": self.figures.begun,
            "direct": step.direct,
            "control": step.control,
            "failed": step.failed,
            "signals": [one._asdict() for one in self.findings],
        }

    def lines(self) -> Iterable[str]:
        """For people."""
        step = self.figures.step
        processes = f"{self.processes} process{'es' if self.processes != 1 else ''}"
        yield (
            f"rule {in_one_line(self.rule)} at {self.percent} %: {step.direct:,} direct, {step.control:,} control,"
            f" {step.failed:,} failed ({processes})"
        )
        for one in self.findings:
            yield f"  {one.state.replace('_', ' '):<8} {one.signal:<13} {one.figure}; limit: {one.limit}"


def watched(marks: Mapping[str, str], now: float) -> list[Watched]:
    """Of all marks, in the order of the rules' names. `now` is Unix seconds."""
    found: dict[tuple[str, str], list[Counted]] = {}
    for name, text in marks.items():
        if name.startswith(PREFIX):
            at, rules = from_text(text)
            for rule, counted in rules.items() if now - at < RECENT_S else ():
                found.setdefault((rule, counted.step), []).append(counted)
    return [_added(rule, step, parts) for (rule, step), parts in sorted(found.items())]


def _added(rule: str, step: str, parts: list[Counted]) -> Watched:
    figures = total(one.figures for one in parts)
    harm = max(one.harm for one in parts)
    return Watched(rule, step, len(parts), figures, judge(figures, harm))
