"""A stop: which rule lets all its clicks pass, since when and why. It lies in the outbox as a mark (design §6.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

MARK_PREFIX = "stop:"
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
