"""Metrics of all traffic: clicks, pages and everything else that goes through (design §13).

Every label value is there from the start at 0: `increase()` sees no first error in a series that begins with 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from storehop.observe.counts import Distribution

REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: from what we answer ourselves to the default limit for the upstream's first byte."""
CODE_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")
"""`none`: the client left before an answer began. A FIN alone is no leave: its client may still read."""
_NONE = len(CODE_CLASSES) - 1
_LAST = CODE_CLASSES.index("5xx")


class UpstreamError(StrEnum):
    """How the upstream failed. A closed list: it labels metrics."""

    CONNECT = "connect"
    """No connection: refused, no route, no such name."""
    TLS = "tls"
    """Its certificate or its TLS was refused."""
    TIMEOUT = "timeout"
    """No connection or no answer in time."""
    INCOMPLETE = "incomplete"
    """It closed or reset the connection before the end of its answer."""
    PROTOCOL = "protocol"
    """What it answered is no HTTP."""


class Traffic(Collector):
    """Of one process, on its event loop."""

    def __init__(self) -> None:
        self.connections = 0
        """Clients that are connected now."""
        self._requests = [0] * len(CODE_CLASSES)
        self._seconds = Distribution(
            "storehop_request_seconds",
            "From a request's head to the last byte of its answer, WebSockets and event streams apart.",
            REQUEST_BUCKETS_S,
        )
        self._errors = dict.fromkeys(UpstreamError, 0)

    def answered(self, status: int, seconds: float | None) -> None:
        """An answer is out, to its last byte. `seconds`: since the request's head; None where an answer has no end."""
        place = status // 100 - 1
        self._requests[place if 0 <= place <= _LAST else min(max(place, 0), _LAST)] += 1
        if seconds is not None:
            self._seconds.observe(seconds if seconds > 0 else 0.0)  # the clock may have been set

    def abandoned(self) -> None:
        """A client left before an answer began."""
        self._requests[_NONE] += 1

    def upstream_failed(self, kind: UpstreamError) -> None:
        """The upstream failed once."""
        self._errors[kind] += 1

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "storehop_requests",
            "Requests by the class of their answer's status; none: the client left before an answer began.",
            labels=("code_class",),
        )
        for code_class, count in zip(CODE_CLASSES, self._requests, strict=True):
            requests.add_metric((code_class,), count)
        yield requests
        yield from self._seconds.collect()
        yield GaugeMetricFamily("storehop_connections", "Clients that are connected.", self.connections)
        errors = CounterMetricFamily("storehop_upstream_errors", "Failures of the upstream.", labels=("kind",))
        for kind, count in self._errors.items():
            errors.add_metric((kind,), count)
        yield errors
