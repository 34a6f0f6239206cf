"""What a canary knows of a rule: counts of its last minute and of its step, of one process or of all (design §11).

A step begins when a process first sees the rule as it is now, or when a person resumes it. Counts of several processes
add up, so evidence that is spread over workers and hosts decides as if one process had it all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from operator import add
from typing import Any

EDGES_MS = (
    *(1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 120, 150, 200, 250, 300, 400, 500, 700),
    *(1000, 1500, 2000, 3000, 5000, 10_000),
)
"""Upper edges of the classes of answer times, in milliseconds; what is slower is in one more class."""
CLASSES = len(EDGES_MS) + 1
SLICE_S = 5
"""Time is counted in slices."""
LASTING = 9
"""Slices, together what clicks must fail for: a hiccup of AppsFlyer's, or two in a minute, pass by themselves."""
MAX_RUN = 10
"""Refusals in a row whose times are kept: more change nothing."""
_MOST = 2**53
"""Of a number in a mark: no sum of such loses its way."""
ODDS = (1.3, 2.0, 4.0)
"""By how much a broken store page may multiply repeat taps: each is tested, see `canary.repeats`."""


def class_of(seconds: float) -> int:
    """The class of an answer time."""
    return bisect_left(EDGES_MS, seconds * 1000)


@dataclass(slots=True)
class Sums:
    """Counts over some time."""

    direct: int = 0
    """Clicks that went direct, each with a call of its own."""
    failed: int = 0
    """Clicks in the rule's share that passed since AppsFlyer, the outbox or storehop failed."""
    control: int = 0
    """Clicks outside the rule's share, which pass: the control arm."""
    calls: int = 0
    """Calls whose click came long enough ago that they should have been delivered."""
    in_time: int = 0
    """Those of `calls` that were delivered, or given up, soon enough."""
    ended: int = 0
    """Calls that were delivered or given up."""
    refused: int = 0
    """Those of `ended` that AppsFlyer refused."""
    dead: int = 0
    """Those of `ended` that were given up for another reason."""
    direct_times: list[int] = field(default_factory=lambda: [0] * CLASSES)
    """Direct clicks that were timed, by the class of their answer time."""
    control_times: list[int] = field(default_factory=lambda: [0] * CLASSES)
    """Control's, likewise."""

    def add(self, other: Sums) -> None:
        """Adds the other's counts to these."""
        self.add_events(other)
        self.add_calls(other)

    def add_calls(self, other: Sums) -> None:
        """Adds those alone that are counted when a click came, see `counts`."""
        self.calls += other.calls
        self.in_time += other.in_time

    def add_events(self, other: Sums) -> None:
        """Adds all but those."""
        self.direct += other.direct
        self.failed += other.failed
        self.control += other.control
        self.ended += other.ended
        self.refused += other.refused
        self.dead += other.dead
        self.direct_times = list(map(add, self.direct_times, other.direct_times))
        self.control_times = list(map(add, self.control_times, other.control_times))

    def to_list(self) -> list[Any]:
        """For JSON: the numbers, and the classes that are not empty."""
        return [_sparse(value) if isinstance(value, list) else value for value in (getattr(self, n) for n in _SUMS)]

    @classmethod
    def from_list(cls, raw: Sequence[Any]) -> Sums:
        """What `to_list` gave. Raises ValueError or TypeError for anything else."""
        values: Iterable[Any] = (
            _dense(value) if name in _TIMES else _count(value) for name, value in zip(_SUMS, raw, strict=True)
        )
        return cls(*values)


_SUMS = tuple(one.name for one in fields(Sums))
_TIMES = frozenset({"direct_times", "control_times"})


@dataclass(slots=True)
class Taps:
    """Repeat taps: each first tap is a trial of its arm. Pairs are (direct, control)."""

    trials: list[int] = field(default_factory=lambda: [0, 0])
    repeats: list[int] = field(default_factory=lambda: [0, 0])
    log_ratios: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))
    """For each of ODDS: how much likelier it makes the repeats than no harm does. Natural logarithms; see `repeats`."""

    def add(self, other: Taps) -> None:
        """Adds the other's counts to these."""
        self.trials = [a + b for a, b in zip(self.trials, other.trials, strict=True)]
        self.repeats = [a + b for a, b in zip(self.repeats, other.repeats, strict=True)]
        self.log_ratios = [a + b for a, b in zip(self.log_ratios, other.log_ratios, strict=True)]

    def to_list(self) -> list[Any]:
        """For JSON."""
        return [*self.trials, *self.repeats, *(round(one, 3) for one in self.log_ratios)]

    @classmethod
    def from_list(cls, raw: Sequence[Any]) -> Taps:
        """What `to_list` gave. Raises ValueError or TypeError for anything else."""
        counts, ratios = list(map(_count, raw[:4])), list(map(number, raw[4:]))
        if len(counts) != 4 or len(ratios) != len(ODDS):  # noqa: PLR2004  two pairs
            raise ValueError(raw)
        return cls(counts[:2], counts[2:], ratios)


@dataclass(slots=True)
class Figures:
    """All that the limits look at, of one rule. Times are Unix seconds."""

    begun: float = 0.0
    """When the step began."""
    minute: Sums = field(default_factory=Sums)
    step: Sums = field(default_factory=Sums)
    slices: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * LASTING)
    """Of each SLICE_S, newest first: clicks in the rule's share, and how many of them failed."""
    taken_at: float = 0.0
    """When AppsFlyer last took a call."""
    refused_at: list[float] = field(default_factory=list)
    """When it refused one since then: the newest MAX_RUN, oldest first."""
    open_s: float = 0.0
    """How long an origin has failed in this step, with its breaker open, that the rule's calls go to."""
    drifted: int = 0
    """Comparisons with AppsFlyer's own redirect that found another app or another store."""
    taps: Taps = field(default_factory=Taps)

    @property
    def is_empty(self) -> bool:
        """Nothing has been counted."""
        step = self.step
        return not (step.direct or step.control or step.failed or step.ended or self.drifted or self.open_s)

    def to_list(self) -> list[Any]:
        """For JSON."""
        return [
            round(self.begun, 3),
            self.minute.to_list(),
            self.step.to_list(),
            self.slices,
            round(self.taken_at, 3),
            [round(one, 3) for one in self.refused_at],
            round(self.open_s, 1),
            self.drifted,
            self.taps.to_list(),
        ]

    @classmethod
    def from_list(cls, raw: Sequence[Any]) -> Figures:
        """What `to_list` gave. Raises ValueError or TypeError for anything else: what it gives can be judged."""
        begun, minute, step, slices, taken_at, refused_at, open_s, drifted, taps = raw
        if len(slices) != LASTING or len(refused_at) > MAX_RUN:
            raise ValueError(raw)
        return cls(
            number(begun),
            Sums.from_list(minute),
            Sums.from_list(step),
            [(_count(sampled), _count(failed)) for sampled, failed in slices],
            number(taken_at),
            [number(one) for one in refused_at],
            number(open_s),
            _count(drifted),
            Taps.from_list(taps),
        )


def total(parts: Iterable[Figures]) -> Figures:
    """The figures of several processes as one's.

    Refusals are in a row where no process has seen AppsFlyer take a call since.
    """
    whole = Figures()
    for part in parts:
        whole.begun = min(filter(None, (whole.begun, part.begun)), default=0.0)
        whole.minute.add(part.minute)
        whole.step.add(part.step)
        whole.slices = [(a + c, b + d) for (a, b), (c, d) in zip(whole.slices, part.slices, strict=True)]
        whole.taken_at = max(whole.taken_at, part.taken_at)
        whole.refused_at += part.refused_at
        whole.open_s = max(whole.open_s, part.open_s)
        whole.drifted += part.drifted
        whole.taps.add(part.taps)
    whole.refused_at = sorted(at for at in whole.refused_at if at > whole.taken_at)
    return whole


def _sparse(counts: list[int]) -> list[int]:
    """Place and count of those that are not 0, one after the other."""
    return [number for place, count in enumerate(counts) if count for number in (place, count)]


def _dense(raw: Sequence[Any]) -> list[int]:
    counts = [0] * CLASSES
    for place, count in zip(raw[::2], raw[1::2], strict=True):
        if _count(place) >= CLASSES:
            raise ValueError(place)
        counts[place] = _count(count)
    return counts


def number(raw: Any) -> float:
    """One that can be added up and shown. Raises ValueError or TypeError for anything else."""
    if not abs(raw) <= _MOST:
        raise ValueError(raw)
    return float(raw)


def _count(raw: Any) -> int:
    if type(raw) is not int or not 0 <= raw <= _MOST:
        raise ValueError(raw)
    return raw
