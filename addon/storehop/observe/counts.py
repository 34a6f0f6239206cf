"""Counters and histograms in plain numbers: an event costs an addition (design §8).

Those of prometheus_client take a lock and five calls for each event. They stay where several threads count: these here
belong to one, and any thread may collect them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

type Values = str | tuple[str, ...]
"""Of a counter's labels, in their order: of one label the text alone."""


def counter(registry: CollectorRegistry, name: str, documentation: str, *labels: str) -> Counter[Values]:
    """Numbers that the registry shows, by the values of their labels. `name` is without its `_total`."""
    counts: Counter[Values] = Counter()
    registry.register(Counted(name, documentation, labels, counts))
    return counts


class Counted(Collector):
    """Collects a counter from numbers by `Values`. `name` is without its `_total`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], counts: Mapping[Any, int]) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in list(self._counts.items()):
            family.add_metric((values,) if isinstance(values, str) else values, count)
        yield family


class CountedElsewhere(Collector):
    """Collects one counter that somebody else counts: it is there from the start. `name` is without its `_total`."""

    def __init__(self, name: str, documentation: str, count: Callable[[], int]) -> None:
        self._name = name
        self._documentation = documentation
        self._count = count

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._documentation, self._count())


class Distribution(Collector):
    """A histogram. `buckets` are the upper bounds in their order, without infinity."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        self._name, self._documentation = name, documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}
        """The last one of each bucket."""

    def observe(self, value: float, exemplar: dict[str, str] | None = None) -> None:
        """Counts a value; `exemplar` are the labels of one that is to be shown."""
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._sum += value
        if exemplar:
            self._exemplars[place] = Exemplar(exemplar, value, time.time())

    def collect(self) -> Iterable[Metric]:
        bounds = map(floatToGoString, (*self._bounds, float("inf")))
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for place, bucket in enumerate(zip(bounds, accumulate(self._counts), strict=True)):
            exemplar = self._exemplars.get(place)
            buckets.append((*bucket, exemplar) if exemplar else bucket)
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)
