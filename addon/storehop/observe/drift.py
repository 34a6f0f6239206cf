"""Metrics of drift: AppsFlyer's own redirects against ours, seen in the forward modes (design §5, §11)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from storehop.decide.drift import Compared, Kind
from storehop.observe.counts import counter
from storehop.observe.watchers import Watcher

HARMS = (Kind.OTHER_APP, Kind.OTHER_STORE)
"""The kinds that an alert counts: somebody would get another app."""


class DriftMetrics(Watcher):
    """`storehop_drift_total`. A rule's series that an alert counts are there at 0 from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._drift = counter(
            registry,
            "storehop_drift",
            "Passed clicks by how AppsFlyer's redirect differs from ours. Only a forward proxy sees it.",
            "rule",
            "kind",
        )

    def expect(self, rule: str) -> None:
        """Has the series of a rule that is in use."""
        for kind in HARMS:
            self._drift[rule, kind.value] += 0

    def drifted(self, rule: str, _app: str, compared: Compared) -> None:
        """Counts a click whose redirect by AppsFlyer was compared."""
        self._drift[rule, compared.kind.value] += 1
