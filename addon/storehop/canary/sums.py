"""The counts of all processes on an outbox: each lays its own down as a mark, and reads the others'.

A mark holds figures alone, no address and no click. A process whose mark stays as it is has ended: it soon counts no
more, and whoever sees it takes the mark away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storehop.canary.figures import Figures, number

PREFIX = "canary:"
"""Of the marks' names; the process's name follows."""
FRESH_S = 10.0
"""A mark that has stayed as it is for so long counts no more."""
GONE_S = 60.0
"""One that has for so long is taken away;"""
OLD_S = 600.0
"""or when it counts no more, where it is as old as that: who is killed soon takes away others' marks, too."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Counted:
    """What a process says of a rule."""

    step: str
    """The rule's percent: only what was counted at the same one adds up."""
    resumed: float
    """Which resumes it knew when its step began: a number that each resume changes, to the millisecond. 0: none."""
    harm: float
    """The level of repeat taps that it sees, over all processes."""
    figures: Figures


def to_text(at: float, rules: Mapping[str, Counted]) -> str:
    """A process's mark, written at this time (Unix seconds)."""
    raw = {name: [one.step, one.resumed, round(one.harm, 2), one.figures.to_list()] for name, one in rules.items()}
    return json.dumps({"v": _VERSION, "at": round(at, 3), "rules": raw}, separators=(",", ":"))


def from_text(text: str) -> tuple[float, dict[str, Counted]]:
    """What `to_text` was given. Nothing of a text or a rule of another version, or that can't be read."""
    at, raw = _raw(text)
    return at, {name: one for name in raw if (one := _counted(raw[name]))}


def _raw(text: str) -> tuple[float, dict[str, Any]]:
    """When a mark was written, and what it says of the rules, not read yet: most of the work is that."""
    try:
        raw = json.loads(text)
        if raw["v"] != _VERSION or not isinstance(raw["rules"], dict):
            return 0.0, {}
        return number(raw["at"]), raw["rules"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0.0, {}


def _counted(raw: Any) -> Counted | None:
    try:
        step, resumed, harm, figures = raw
        return Counted(_percent(step), number(resumed), number(harm), Figures.from_list(figures))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _percent(step: str) -> str:
    """A step's name. Raises ValueError or TypeError where it is none."""
    if type(step) is not str:
        raise TypeError(step)
    number(float(step))
    return step


@dataclass(slots=True)
class _Heard:
    text: str
    since: float
    """When the text was first seen, in seconds of the caller's clock."""
    at: float
    """When it was written, in Unix seconds of the other one's clock."""
    raw: Mapping[str, Any]
    is_alive: bool
    """It has come, or changed, since we listen: else it may be what an ended process left."""
    read: dict[str, Counted | None] = field(default_factory=dict)

    def of(self, rule: str) -> Counted | None:
        """Read when it is asked for."""
        if rule not in self.read:
            self.read[rule] = _counted(self.raw.get(rule))
        return self.read[rule]


class Others:
    """What the other processes have counted. Times are seconds by any clock that never jumps."""

    def __init__(self, own_mark: str) -> None:
        self._own = own_mark
        self._heard: dict[str, _Heard] = {}
        self._listens = False

    def hear(self, marks: Mapping[str, str], now: float) -> None:
        """All marks, as they are."""
        texts = {name: text for name, text in marks.items() if name.startswith(PREFIX) and name != self._own}
        for name, text in texts.items():
            before = self._heard.get(name)
            if before is None or before.text != text:
                self._heard[name] = _Heard(text, now, *_raw(text), is_alive=self._listens)
        for name in self._heard.keys() - texts.keys():
            del self._heard[name]
        self._listens = True

    def gone(self, now: float, wall: float) -> list[str]:
        """Marks of processes that have ended; `wall` is Unix seconds."""
        return [
            name
            for name, one in self._heard.items()
            if now - one.since >= (FRESH_S if wall - one.at > OLD_S else GONE_S)
        ]

    def of(self, rule: str, step: str, resumed: float, now: float) -> dict[str, Counted]:
        """What counts for a rule, by the marks' names: of the same step, and since the same resumes."""
        found = {}
        for name, heard in self._heard.items():
            one = heard.of(rule)
            is_of_step = one is not None and one.step == step and one.resumed == resumed
            if one and is_of_step and heard.is_alive and now - heard.since < FRESH_S:
                found[name] = one
        return found
