"""What comes twice: the same click within ten seconds, and the same click id at any time."""

from __future__ import annotations

import hashlib
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import NamedTuple

from storehop.decide.duplicate import are_apart, key_with_hints
from storehop.duplicates import MAX_REMEMBERED, WINDOW_S
from storehop.model import Likeness

SLACK_S = 60.0
"""Logs are written when an answer ends: so far out of order times may be."""


class _Met(NamedTuple):
    at: float
    hints: str


class Window:
    """Tells which clicks repeat another one, by recorded times and the law that `storehop.duplicates` has live."""

    def __init__(self) -> None:
        self._met: dict[bytes, _Met] = {}

    def repeats(self, same: Likeness, at: float) -> bool:
        """Whether this click repeats one of the ten seconds around it; else it is remembered."""
        if same.key is None:
            return False
        own = key_with_hints(same) if same.hints else None
        if own and self._near(own, at):
            return True
        first = self._near(same.key, at)
        if first and not are_apart(first.hints, same.hints):
            return True
        self._remember((own if first else None) or same.key, _Met(at, same.hints))
        return False

    def _near(self, key: bytes, at: float) -> _Met | None:
        met = self._met.get(key)
        return met if met and abs(at - met.at) < WINDOW_S else None

    def _remember(self, key: bytes, met: _Met) -> None:
        self._met.pop(key, None)  # at the end again
        self._met[key] = met
        while True:
            oldest = next(iter(self._met))
            if len(self._met) <= MAX_REMEMBERED and abs(met.at - self._met[oldest].at) <= SLACK_S:
                return
            del self._met[oldest]


class SeenIds:
    """A Bloom filter of ids: four bits an id, and of its 32 MB only those pages are in memory that hold one.

    It may say that a new id was seen: of 10 million ids for about 700, of 20 million for about 20,000. Then it is full.
    """

    MAX_IDS = 20_000_000
    _BITS = 1 << 28

    def __init__(self) -> None:
        self._bits = mmap(-1, self._BITS // 8, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        self._ids = 0

    @property
    def is_full(self) -> bool:
        """It takes no more ids, and knows of later ones only whether it has them."""
        return self._ids >= self.MAX_IDS

    def repeats(self, text: str) -> bool:
        """Whether this id was seen before. Now it was."""
        digest = int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest())
        bits, mask, is_new = self._bits, self._BITS - 1, False
        for shift in (0, 32, 64, 96):
            place = digest >> shift & mask
            bit = 1 << (place & 7)
            if not bits[place >> 3] & bit:
                is_new = True
                if not self.is_full:
                    bits[place >> 3] |= bit
        self._ids += is_new
        return not is_new
