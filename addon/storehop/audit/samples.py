"""Up to three clicks behind each figure, spread over the whole recording. The same input gives the same ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from storehop.audit.report import Sample

SAMPLES = 3


class _Reservoir:
    """Each of all clicks has the same chance (Vitter's skips by Li, Algorithm L): most cost one comparison."""

    __slots__ = ("_next", "_random", "_seen", "_weight", "samples")

    def __init__(self, figure: str) -> None:
        self.samples: list[Sample] = []
        self._random = random.Random(figure)  # noqa: S311  which clicks are shown is no secret
        self._seen = 0
        self._weight = 1.0
        self._next = SAMPLES
        self._skip()

    def add(self, make: Callable[[], Sample]) -> None:
        self._seen += 1
        if self._seen <= SAMPLES:
            self.samples.append(make())
        elif self._seen == self._next:
            self.samples[self._random.randrange(SAMPLES)] = make()
            self._skip()

    def _skip(self) -> None:
        self._weight *= math.exp(self._log() / SAMPLES)
        self._next += 1 + int(self._log() / math.log1p(-max(self._weight, 1e-15)))

    def _log(self) -> float:
        return math.log(1 - self._random.random())


class Samples:
    """Reservoirs by the figure's name: there are few figures."""

    def __init__(self) -> None:
        self._reservoirs: dict[str, _Reservoir] = {}

    def add(self, figure: str, make: Callable[[], Sample]) -> None:
        """One more click behind this figure; `make` is called if it is to be shown."""
        reservoir = self._reservoirs.get(figure)
        if reservoir is None:
            reservoir = self._reservoirs[figure] = _Reservoir(figure)
        reservoir.add(make)

    def by_figure(self) -> dict[str, list[Sample]]:
        """The samples so far."""
        return {figure: list(reservoir.samples) for figure, reservoir in sorted(self._reservoirs.items())}
