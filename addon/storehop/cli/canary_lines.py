"""What `storehop canary status` shows: stops, who was let go on, and the watched rules."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from storehop.canary.roll_call import Present
from storehop.canary.status import Watched, watched
from storehop.canary.stop import MARK_PREFIX, RESUMED_PREFIX, Resumed, Stop
from storehop.canary.stops import in_words, name_of, when
from storehop.cli.opened import age
from storehop.decide.rules import EVERY_RULE

RESUMED_FOR_S = 7 * 86400.0
"""So long it is said that a rule was let go on."""


def of_rule(marks: Mapping[str, str], rule: str) -> Mapping[str, str]:
    """Without the stops and resumptions of other rules. No rule: all marks."""
    kept = [prefix + name for prefix in (MARK_PREFIX, RESUMED_PREFIX) for name in (rule, EVERY_RULE)]
    return {
        name: text
        for name, text in marks.items()
        if not rule or name in kept or not name.startswith((MARK_PREFIX, RESUMED_PREFIX))
    }


def facts(marks: Mapping[str, str], rule: str, present: list[Present] | None) -> dict[str, Any]:
    """The keys are what scripts build on. No `processes` (null): the outbox takes no question."""
    marks = of_rule(marks, rule)
    return {
        "stopped": [asdict(one) for one in Stop.of_marks(marks).values()],
        "resumed": [asdict(one) for one in _recent(marks)],
        "watched": [one.facts() for one in _watched(marks, rule)],
        "processes": None if present is None else [one.facts() for one in present],
    }


def lines(marks: Mapping[str, str], rule: str) -> Iterable[str]:
    """For people; of one rule, or of all where it is empty."""
    marks = of_rule(marks, rule)
    stops = sorted(Stop.of_marks(marks).values(), key=lambda one: one.since)
    for one in stops:
        yield f"{in_words(one)} ({one.signal}, since {when(one.since)}, {_ago(one.since)})"
    if not stops:
        yield f"rule {rule} is not stopped" if rule else "no rule is stopped"
    for done in _recent(marks):
        stood = age(done.at - done.stopped_since)
        yield f"{name_of(done.rule)}: let go on {_ago(done.at)}, after a stop of {stood}: {done.because}"
    rows = _watched(marks, rule)
    for row in rows:
        yield from row.lines()
    if rule and not stops and not rows:
        yield (
            f"no figures of rule {rule}: of late no process has counted clicks of it under canary: auto and"
            " mode: direct"
        )


def _watched(marks: Mapping[str, str], rule: str) -> list[Watched]:
    return [row for row in watched(marks, time.time()) if not rule or row.rule == rule]


def _recent(marks: Mapping[str, str]) -> list[Resumed]:
    """The last resumptions, newest first."""
    since = time.time() - RESUMED_FOR_S
    return sorted(
        (one for one in Resumed.of_marks(marks).values() if one.at > since), key=lambda one: one.at, reverse=True
    )


def _ago(unix_s: float) -> str:
    return f"{age(max(0.0, time.time() - unix_s))} ago"
