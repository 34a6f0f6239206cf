"""Counts by name, of which strangers choose the names: so many of them, and none of them long."""

from __future__ import annotations

from collections.abc import Callable

from storehop.audit.report import OTHERS, Counts
from storehop.model import Reason
from storehop.observe.coverage import Signal

MAX_NAMES = 2_000
"""Of apps, of campaigns and so on. All further names are counted together, as OTHERS."""
MAX_NAME_CHARACTERS = 80
_MAX_READ_CHARACTERS = 400
"""Of a name, before it is cleaned and cut."""
NONE = "(none)"
"""Stands for the name of what has none."""
_FOR_SURE = frozenset({Signal.REFERRER, Signal.DEVICE_ID})
"""Signals that join a click and an install without guessing."""


class Group:
    """Clicks of one name. A set of signals is counted as one: there are few sets, and it costs one look-up."""

    __slots__ = ("clicks", "direct", "reasons", "signals")

    def __init__(self) -> None:
        self.clicks = 0
        self.direct = 0
        self.reasons: dict[Reason, int] = {}
        self.signals: dict[frozenset[Signal], int] = {}

    def add_direct(self, signals: frozenset[Signal]) -> None:
        """Counts a click that goes direct."""
        self.clicks += 1
        self.direct += 1
        self.signals[signals] = self.signals.get(signals, 0) + 1

    def add_pass(self, reason: Reason) -> None:
        """Counts a click that passes."""
        self.clicks += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def counts(self) -> Counts:
        """The figures so far."""
        return Counts(
            self.clicks,
            self.direct,
            by_size({str(reason): count for reason, count in self.reasons.items()}),
            {
                str(signal): sum(count for signals, count in self.signals.items() if signal in signals)
                for signal in Signal
            },
            sum(count for signals, count in self.signals.items() if not signals & _FOR_SURE),
        )


class Groups:
    """Groups by name. `clean` makes a name fit to be shown."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._groups: dict[str, Group] = {}

    def of(self, name: str) -> Group:
        """The group of this name."""
        group = self._groups.get(name)
        return group if group is not None else self._named(fit(self._clean, name))

    def _named(self, name: str) -> Group:
        if name not in self._groups and len(self._groups) >= MAX_NAMES:
            name = OTHERS
        return self._groups.setdefault(name, Group())

    def counts(self) -> dict[str, Counts]:
        """By name, the largest first; OTHERS last."""
        groups = sorted(self._groups.items(), key=lambda item: (item[0] == OTHERS, -item[1].clicks, item[0]))
        return {name: group.counts() for name, group in groups}


class Numbers:
    """One number a name."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._numbers: dict[str, int] = {}

    def add(self, name: str) -> None:
        """One more of this name."""
        if name not in self._numbers:
            name = fit(self._clean, name)
            if name not in self._numbers and len(self._numbers) >= MAX_NAMES:
                name = OTHERS
        self._numbers[name] = self._numbers.get(name, 0) + 1

    def by_size(self) -> dict[str, int]:
        """By name, the largest first; OTHERS last."""
        return by_size(self._numbers)


def fit(clean: Callable[[str], str], name: str) -> str:
    """The name under which something is counted."""
    return clean(name[:_MAX_READ_CHARACTERS])[:MAX_NAME_CHARACTERS] or NONE


def by_size(numbers: dict[str, int]) -> dict[str, int]:
    """The same, the largest first; OTHERS last."""
    return dict(sorted(numbers.items(), key=lambda item: (item[0] == OTHERS, -item[1], item[0])))
