"""A stop: which rule lets all its clicks pass, since when and why; and how it ended.

Both lie in the outbox as marks (design §6.1), which every process on it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

MARK_PREFIX, RESUMED_PREFIX = "stop:", "resumed:"
"""Of the marks' names; the rule's name follows."""
BY_HAND = "by_hand"
"""The signal of a stop that a person made."""


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
            return cls(rule, float(fields["since"]), str(fields["signal"]), str(fields["why"]))
        except (ValueError, KeyError, TypeError):
            return cls(rule, 0.0, BY_HAND, f"an unreadable mark: {text[:80]}")


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
                with suppress(ValueError, KeyError, TypeError):
                    fields = json.loads(text)
                    at, since = float(fields["at"]), float(fields["stopped_since"])
                    read[rule] = cls(rule, at, str(fields["because"]), since)
        return read
