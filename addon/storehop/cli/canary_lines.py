"""What `storehop canary status` shows: stops, who was let go on, and the watched rules."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from storehop.canary.roll_call import Present
from storehop.canary.status import watched
from storehop.canary.stop import Resumed, Stop
from storehop.canary.stops import in_words, name_of, when
from storehop.cli.opened import age

RESUMED_FOR_S = 7 * 86400.0
"""So long it is said that a rule was let go on."""


def facts(marks: Mapping[str, str], present: list[Present] | None) -> dict[str, Any]:
    """The keys are what scripts build on. No `processes` (null): the outbox takes no question."""
    return {
        "stopped": [asdict(one) for one in Stop.of_marks(marks).values()],
        "resumed": [asdict(one) for one in _recent(marks)],
        "watched": [one.facts() for one in watched(marks, time.time())],
        "processes": None if present is None else [one.facts() for one in present],
    }


def lines(marks: Mapping[str, str]) -> Iterable[str]:
    """For people."""
    stops = sorted(Stop.of_marks(marks).values(), key=lambda one: one.since)
    for one in stops:
        yield f"{in_words(one)} ({one.signal}, since {when(one.since)}, {_ago(one.since)})"
    if not stops:
        yield "no rule is stopped"
    for done in _recent(marks):
        stood = age(done.at - done.stopped_since)
        yield f"{name_of(done.rule)}: let go on {_ago(done.at)}, after a stop of {stood}: {done.because}"
    for row in watched(marks, time.time()):
        yield from row.lines()


def _recent(marks: Mapping[str, str]) -> list[Resumed]:
    """The last resumptions, newest first."""
    since = time.time() - RESUMED_FOR_S
    return sorted(
        (one for one in Resumed.of_marks(marks).values() if one.at > since), key=lambda one: one.at, reverse=True
    )


def _ago(unix_s: float) -> str:
    return f"{age(max(0.0, time.time() - unix_s))} ago"
