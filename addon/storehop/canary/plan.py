"""How long each step of a rollout must last for a rule's rate of clicks, and what it shows (design §11). Pure.

A step that has met no bad click of n shows with 95 % that fewer than 3/n are bad (the rule of three).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

DAY_MIN, HOUR_MIN = 1440.0, 60.0
OVERNIGHT_MIN = 12 * HOUR_MIN
OBSERVE_MIN = DAY_MIN
"""The least time in which a rule observes: what differs by the hour of the day shows then."""
STEPS = ((1.0, 30.0), (5.0, 30.0), (25.0, 2 * HOUR_MIN), (50.0, OVERNIGHT_MIN), (100.0, 0.0))
"""Percent, and the least minutes at it."""
STARTS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0)
"""Percent with which a rule may begin."""
FIRST_CLICKS, SECOND_CLICKS = 300, 3_000
"""The least direct clicks of the first two steps: below 1 %, and below 0.1 %, are bad then."""
MAX_FIRST_MIN = 2 * HOUR_MIN
"""A first step that takes longer begins with a greater share."""
STOP_S = 60.0
"""How long a fault may harm clicks until the canary stops the rule."""
NEEDED = ((-0.05, 300_000), (-0.30, 7_300))
"""Changes of the share of clicks that become installs, and the clicks that each arm needs to show one in 80 of 100
trials. The share is 2 %; half of it takes twice the clicks.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step with its share."""

    percent: float
    minutes: float
    """How long it must last; 0 where it has no end."""
    clicks: float
    """Direct ones, in that time."""
    at_risk: float
    """Clicks that a fault harms until the rule is stopped."""

    @property
    def bad_below(self) -> float | None:
        """The greatest share of bad clicks that may go unseen, with 95 %; None where it has no end."""
        return min(1.0, 3 / self.clicks) if self.clicks else None


@dataclass(frozen=True, slots=True)
class Plan:
    """The way of one rule up to 100 %."""

    rate: float
    """Clicks a minute that can go direct."""
    steps: tuple[Step, ...]
    advice: str | None
    """Why it does not begin with 1 %."""

    @classmethod
    def of(cls, rate: float) -> Plan:
        """For so many clicks a minute, more than 0."""
        start = next(
            (share for share in STARTS if _minutes_for(FIRST_CLICKS, rate, share) <= MAX_FIRST_MIN), STARTS[-1]
        )
        steps = (_first(rate, start), *_later(rate, start))
        return cls(rate, steps, None if start == STARTS[0] else _advice(rate, start))

    @property
    def in_an_hour(self) -> tuple[Step, ...]:
        """The steps that are done an hour after the rule has begun to go direct."""
        done: list[Step] = []
        for step in self.steps[:-1]:
            if sum(one.minutes for one in (*done, step)) > HOUR_MIN:
                break
            done.append(step)
        return tuple(done)

    def minutes_to_show(self, clicks: int) -> float:
        """How long half of the clicks take to be so many."""
        return _minutes_for(clicks, self.rate, 50.0)

    def to_json(self) -> dict[str, Any]:
        """For machines. Times are minutes."""
        return {
            "clicks_per_minute": self.rate,
            "observe_minutes": OBSERVE_MIN,
            "steps": [
                {
                    "percent": step.percent,
                    "minutes": step.minutes,
                    "clicks": round(step.clicks),
                    "at_risk": round(step.at_risk, 1),
                    "bad_below": step.bad_below,
                }
                for step in self.steps
            ],
            "in_an_hour": [step.percent for step in self.in_an_hour],
            "advice": self.advice,
            "installs": [
                {"change": change, "clicks_of_each_arm": clicks, "minutes_at_50": self.minutes_to_show(clicks)}
                for change, clicks in NEEDED
            ],
        }


def clicks_a_minute(rate: float) -> str:
    """A rate in words."""
    return "1 click a minute" if rate == 1 else f"{rate:,.4g} clicks a minute"


def rate_of_audit(report: Mapping[str, Any], rule: str) -> float:
    """A rule's direct clicks a minute in an audit's report. Raises ValueError: the report can't say it."""
    rules = report.get("rules") or {}
    if rule not in rules:
        raise ValueError(f"it has no rule {rule}: it has {', '.join(rules) or 'none'}")
    begin, end = _span(report.get("inputs"))
    direct: float = rules[rule]["direct"]
    if direct <= 0:
        raise ValueError(f"no click of rule {rule} goes direct in it")
    return direct / ((end - begin) / 60)


def _span(inputs: Any) -> tuple[float, float]:
    """From the first time to the last of all inputs: they may be of several hosts at the same time."""
    times = [_unix(one[end]) for one in inputs or () for end in ("from", "to") if one.get(end)]
    if not times or max(times) <= min(times):
        raise ValueError("it does not say from when to when it was recorded: give --rate")
    return min(times), max(times)


def _unix(time: Any) -> float:
    """Unix seconds, or ISO 8601; UTC where it does not say."""
    if isinstance(time, int | float):
        return float(time)
    read = datetime.fromisoformat(str(time))
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _minutes_for(clicks: int, rate: float, percent: float) -> float:
    return clicks / (rate * percent / 100)


def _step(rate: float, percent: float, least_min: float, least_clicks: int) -> Step:
    a_minute = rate * percent / 100
    minutes = max(least_min, least_clicks / a_minute)
    return Step(percent, minutes, a_minute * minutes, a_minute * STOP_S / 60)


def _first(rate: float, start: float) -> Step:
    least_min = max(minutes for percent, minutes in STEPS if percent <= start)
    return _step(rate, start, least_min, FIRST_CLICKS)


def _later(rate: float, start: float) -> list[Step]:
    after = [(percent, minutes) for percent, minutes in STEPS if percent > start]
    clicks = [SECOND_CLICKS, *(0 for _ in after[1:])] if len(after) > 1 else [0]
    return [_step(rate, percent, minutes, least) for (percent, minutes), least in zip(after, clicks, strict=True)]


def _advice(rate: float, start: float) -> str:
    hours = _minutes_for(FIRST_CLICKS, rate, STARTS[0]) / HOUR_MIN
    if _minutes_for(FIRST_CLICKS, rate, start) > MAX_FIRST_MIN:
        return (
            f"at {clicks_a_minute(rate)} 1 % needs {hours:,.1f} h, and {start:g} % more than two: so few clicks show "
            "little. Begin with a rule of more clicks, and look at each click of this one"
        )
    return f"at {clicks_a_minute(rate)} 1 % needs {hours:.1f} h: start with {start:g} %"
