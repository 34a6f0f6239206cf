"""Metrics of a shared outbox's engine, for `storehop.deliver.engine.EngineWatcher`.

They are counted on the outbox's thread. Metrics of prometheus_client may be, and nothing else is touched.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

WAIT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3)
"""Seconds up to the patience of a shared engine."""


class EngineMetrics:
    """With an engine that nobody shares they stay at 0: dashboards and alerts are the same for all."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waits = Histogram(
            "storehop_outbox_wait_seconds",
            "How long the replicas of a shared outbox took to acknowledge a batch.",
            buckets=WAIT_BUCKETS_S,
            registry=registry,
        )
        self._failovers = Counter(
            "storehop_outbox_failovers",
            "How often a process of this instance found another primary of the shared outbox.",
            registry=registry,
        )

    def waited(self, seconds: float) -> None:
        self._waits.observe(seconds)

    def failed_over(self) -> None:
        self._failovers.inc()
