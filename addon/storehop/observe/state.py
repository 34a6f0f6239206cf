"""What is at the moment of a scrape: outbox, breakers, rules, readiness; and what runs here at all."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from storehop.model import OutboxCounts

_ALIKE = "All who share an outbox say the same: take the max, not the sum."


class State(NamedTuple):
    """How a process is now."""

    counts: OutboxCounts
    open_breakers: int
    digest: str
    """Of the rules in use."""
    engine: str
    """Which one keeps the outbox: `sqlite` or `redis`."""
    is_outbox_down: bool
    is_ready: bool
    stopped: tuple[tuple[str, str], ...] = ()
    """Rules that are stopped, each with the signal that did it."""


class StateCollector(Collector):
    """Asks `state` at each scrape."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def collect(self) -> Iterable[GaugeMetricFamily]:
        counts, open_breakers, digest, engine, is_outbox_down, is_ready, stopped = self._state()
        pending, oldest_s = counts.pending, counts.oldest_s or 0.0
        yield GaugeMetricFamily(
            "storehop_outbox_pending", f"Stored clicks that are not delivered yet. {_ALIKE}", pending
        )
        yield GaugeMetricFamily("storehop_outbox_dead", f"Dead letters in the outbox. {_ALIKE}", counts.dead)
        yield GaugeMetricFamily("storehop_outbox_oldest_seconds", f"Age of the oldest stored click. {_ALIKE}", oldest_s)
        yield GaugeMetricFamily("storehop_outbox_down", "Whether clicks can't be stored, and so pass.", is_outbox_down)
        yield GaugeMetricFamily("storehop_breaker_open", "Hosts whose breaker is open.", open_breakers)
        yield ready(is_ready)
        stops = GaugeMetricFamily(
            "storehop_canary_stopped",
            "1 for a rule that is stopped, and so lets all its clicks pass; the rule * stands for all.",
            labels=("rule", "signal"),
        )
        for labels in stopped:
            stops.add_metric(labels, 1.0)
        yield stops
        yield _info("storehop_outbox_info", "The engine that keeps the outbox.", engine=engine)
        yield _info("storehop_rules_info", "The rules in use.", hash=digest)


class BuildInfo(Collector):
    """The versions that matter. They are looked up once: that reads files."""

    def __init__(self) -> None:
        self._versions = {
            "version": _version("storehop"),
            "python": platform.python_version(),
            "mitmproxy": _version("mitmproxy"),
        }

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield _info("storehop_build_info", "What runs here.", **self._versions)


def ready(processes: int) -> GaugeMetricFamily:
    """Of one process 0 or 1; of several their sum."""
    return GaugeMetricFamily("storehop_ready", "Processes that are ready to answer users.", processes)


def _info(name: str, what: str, **labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), 1.0)
    return family


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
