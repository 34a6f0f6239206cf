"""How fast clicks come, by recorded time, which may be out of order. Memory is bounded whatever the times are."""

from __future__ import annotations

from typing import TypeGuard

MAX_SLOTS = 240
FIRST_SLOT_S = 60
MAX_OPEN_SECONDS = 8_192
"""Seconds that are still counted. One that comes back after so many others counts as another second."""
MINUTE_S = 60
_LAST = 32_503_680_000.0
"""The year 3000: what claims to be later is no time."""


def is_time(at: float | None) -> TypeGuard[float]:
    """Whether these Unix seconds can be a recording's."""
    return at is not None and 0 < at < _LAST


class Peaks:
    """How many came in each stretch of time: the highest number, and the one that 99 % of the stretches do not exceed.

    Stretches in which none came do not count.
    """

    def __init__(self, width_s: int = 1) -> None:
        self._width_s = width_s
        self._open: dict[int, int] = {}
        self._closed: dict[int, int] = {}
        self.highest = 0

    def add(self, at: float) -> None:
        """One more at these Unix seconds."""
        stretch = int(at) // self._width_s
        number = self._open.get(stretch, 0) + 1
        self._open[stretch] = number
        self.highest = max(self.highest, number)
        if len(self._open) > MAX_OPEN_SECONDS:
            oldest = self._open.pop(next(iter(self._open)))
            self._closed[oldest] = self._closed.get(oldest, 0) + 1

    def p99(self) -> int:
        """The number that is not exceeded in 99 of 100 stretches; 0 where nothing came."""
        numbers = dict(self._closed)
        for number in self._open.values():
            numbers[number] = numbers.get(number, 0) + 1
        rest = sum(numbers.values()) * 99
        for number in sorted(numbers):
            rest -= numbers[number] * 100
            if rest <= 0:
                return number
        return 0


class Slots:
    """(clicks, direct) by equal slots of time. When there are too many, two become one."""

    def __init__(self) -> None:
        self.width_s = FIRST_SLOT_S
        self._slots: dict[int, list[int]] = {}

    def add(self, at: float, *, is_direct: bool) -> None:
        """One more click at these Unix seconds."""
        slot = int(at) // self.width_s
        numbers = self._slots.get(slot)
        if numbers is None:
            numbers = self._slots[slot] = [0, 0]
            if len(self._slots) > MAX_SLOTS:
                self._merge()
                numbers = self._slots[int(at) // self.width_s]
        numbers[0] += 1
        numbers[1] += is_direct

    def _merge(self) -> None:
        while len(self._slots) > MAX_SLOTS:
            self.width_s *= 2
            merged: dict[int, list[int]] = {}
            for slot, (clicks, direct) in self._slots.items():
                numbers = merged.setdefault(slot // 2, [0, 0])
                numbers[0] += clicks
                numbers[1] += direct
            self._slots = merged

    def rows(self) -> list[tuple[int, int, int]]:
        """(Unix seconds of its beginning, clicks, direct) of each slot in which something came, in order."""
        return [(slot * self.width_s, clicks, direct) for slot, (clicks, direct) in sorted(self._slots.items())]
