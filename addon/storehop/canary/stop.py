"""A stop: which rule lets all its clicks pass, since when and why; and how it ended.

Both lie in the outbox as marks (design §6.1), which every process on it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

MARK_PREFIX, RESUMED_PREFIX = "stop:", "resumed:"
"""Of the marks' names; the rule's name follows."""
BY_HAND = "by_hand"
"""The signal of a stop that a person made."""

_MOST_S = 253_402_300_799.0
"""Unix seconds: the end of the year 9999, the last time that can be said."""
_MOST_CHARACTERS = 500
"""Of a text for people: a mark is anybody's who can write to the outbox."""
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a rule is stopped."""

    rule: str
    """Its name; `decide.rules.EVERY_RULE` is all of them."""
    since: float
    """Unix seconds."""
    signal: str
    """What was bad, a name of `canary.limits`; or BY_HAND."""
    why: str
    """In words, with figures."""

    @property
    def mark(self) -> str:
        """The mark's name."""
        return MARK_PREFIX + self.rule

    def to_text(self) -> str:
        """The mark's text."""
        return json.dumps(asdict(self))

    @classmethod
    def of_marks(cls, marks: Mapping[str, str]) -> dict[str, Stop]:
        """The stops among all marks, by rule. An unreadable text stops its rule, too: on any doubt clicks pass."""
        return {
            name.removeprefix(MARK_PREFIX): cls._read(name.removeprefix(MARK_PREFIX), text)
            for name, text in marks.items()
            if name.startswith(MARK_PREFIX)
        }

    @classmethod
    def _read(cls, rule: str, text: str) -> Stop:
        try:
            fields = json.loads(text)
            return cls(rule, _time(fields["since"]), in_one_line(fields["signal"]), in_one_line(fields["why"]))
        except _UNREADABLE:
            return cls(rule, 0.0, BY_HAND, f"an unreadable mark: {in_one_line(text[:80])}")


@dataclass(frozen=True, slots=True)
class Resumed:
    """That a person let a rule go on. Its mark stays until the next one of this rule, or until it is old."""

    rule: str
    at: float
    """Unix seconds."""
    because: str
    """The person's reason."""
    stopped_since: float
    """Unix seconds."""

    @property
    def mark(self) -> str:
        """The mark's name."""
        return RESUMED_PREFIX + self.rule

    def to_text(self) -> str:
        """The mark's text."""
        return json.dumps(asdict(self))

    def ends(self, stop: Stop) -> bool:
        """Whether it was this stop of the rule, or a later one, that the person ended. Hosts' clocks may differ."""
        return self.stopped_since == stop.since or self.at >= stop.since

    @classmethod
    def of_marks(cls, marks: Mapping[str, str]) -> dict[str, Resumed]:
        """Those among all marks, by rule. One that can't be read is none: nothing depends on it."""
        read = {}
        for name, text in marks.items():
            if name.startswith(RESUMED_PREFIX):
                rule = name.removeprefix(RESUMED_PREFIX)
                with suppress(*_UNREADABLE):
                    fields = json.loads(text)
                    at, since = _time(fields["at"]), _time(fields["stopped_since"])
                    read[rule] = cls(rule, at, in_one_line(fields["because"]), since)
        return read


def in_one_line(text: object) -> str:
    """For logs and terminals: without line ends and what moves a cursor, and not for ever long."""
    shown = "".join(one if one.isprintable() else " " for one in str(text)[:_MOST_CHARACTERS])
    return " ".join(shown.split())


def _time(raw: Any) -> float:
    """Unix seconds. Raises one of _UNREADABLE where it is no time that can be said."""
    seconds = float(raw)
    if not 0 <= seconds <= _MOST_S:
        raise ValueError(raw)
    return seconds
