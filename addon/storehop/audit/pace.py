"""How fast clicks come, by recorded time, which may be out of order. Memory is bounded whatever the times are."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TypeGuard

MAX_SLOTS = 240
FIRST_SLOT_S = 60
BLOCK = 3_600
"""Stretches of time that are counted together, in one array."""
MAX_OPEN_BLOCKS = 31 * 24
"""Blocks that are still counted, 11 MB of them: a month's seconds, in the logs of however many servers. One that comes
back after so many others counts as another one."""
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
        self._open: dict[int, array[int]] = {}
        self._closed: Counter[int] = Counter()
        self.highest = 0

    def add(self, at: float) -> None:
        """One more at these Unix seconds."""
        block, place = divmod(int(at) // self._width_s, BLOCK)
        numbers = self._open.get(block)
        if numbers is None:
            numbers = self._opened(block)
        number = numbers[place] + 1
        numbers[place] = number
        self.highest = max(self.highest, number)

    def _opened(self, block: int) -> array[int]:
        if len(self._open) >= MAX_OPEN_BLOCKS:
            self._closed.update(filter(None, self._open.pop(next(iter(self._open)))))
        numbers = self._open[block] = array("I", bytes(BLOCK * array("I").itemsize))
        return numbers

    def p99(self) -> int:
        """The number that is not exceeded in 99 of 100 stretches; 0 where nothing came."""
        numbers = Counter(self._closed)
        for block in self._open.values():
            numbers.update(filter(None, block))
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
