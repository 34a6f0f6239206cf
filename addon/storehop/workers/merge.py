"""One /metrics for several workers: asks each one and adds up what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from storehop.observe.state import ready

TIMEOUT_S = 2.0
"""A worker may take so long to answer."""
SUMMED = {"storehop_connections", "storehop_ready", "process_resident_memory_bytes", "process_virtual_memory_bytes"}
"""Gauges of which each process has a share."""
LOWEST = {"process_max_fds", "storehop_rules_reload_success", "storehop_tls_certificate_expiry_seconds"}
"""Gauges of which the process counts that stands worst."""
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


async def ask(path: Path, target: str) -> tuple[int, bytes]:
    """(status, body) of a worker's admin endpoint on a Unix socket. Raises OSError, EOFError or ValueError."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            lines = (f"GET {target} HTTP/1.1", "Host: worker", f"Accept: {_OPENMETRICS}", "Connection: close", "", "")
            writer.write("\r\n".join(lines).encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        raise EOFError("the worker closed the connection")
    return int(head.split(b" ", 2)[1]), body


class Workers(Collector):
    """Collects from all workers. `refresh` asks them; what `collect` gives is as old as that.

    A counter must never go back, or Prometheus takes what is left for new. So the sum keeps the last counts of a
    worker that ended.
    """

    def __init__(self, sockets: Callable[[], Iterable[Path]], *own: Collector) -> None:
        """`own` are the supervisor's, added to the workers' of the same name."""
        self._sockets = sockets
        self._own = (ProcessCollector(registry=None), *own)
        self._families: dict[Path, list[Metric]] = {}
        self._ended: list[Metric] = []
        self._refreshing = asyncio.Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    async def refresh(self) -> None:
        async with self._refreshing:  # or one that ended meanwhile might count twice
            paths = list(self._sockets())
            answers = await asyncio.gather(*(ask(path, "/metrics") for path in paths), return_exceptions=True)
            for path, answer in zip(paths, answers, strict=True):
                if not isinstance(answer, BaseException) and answer[0] == HTTPStatus.OK:
                    self._families[path] = list(_parse(answer[1].decode()))
            for path in self._families.keys() - set(paths):
                counted = [family for family in self._families.pop(path) if family.type != "gauge"]
                self._ended = merge([self._ended, counted])

    def collect(self) -> Iterable[Metric]:
        """With what the supervisor itself uses. It answers no users, and so adds 0 to those that are ready."""
        return merge([self._ended, *self._families.values(), *(one.collect() for one in self._own), [ready(0)]])


def _parse(text: str) -> Iterable[Metric]:
    families: Iterable[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


def merge(answers: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Counters and histograms of several processes added up; of gauges the highest, but for those of SUMMED and LOWEST.

    Most gauges all processes see alike. Open descriptors are those of the one that has most; its limit is the lowest,
    so that their ratio warns in time. The youngest process says when all were started, so that a restart shows.
    """
    families: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for answer in answers:
        for family in answer:
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            of_family = samples.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                of_family[key] = _combined(of_family[key], sample, family.type) if key in of_family else sample
    for name, family in families.items():
        family.samples = list(samples[name].values())
    return list(families.values())


def _combined(one: Sample, other: Sample, kind: str) -> Sample:
    exemplar = other.exemplar or one.exemplar
    if kind not in {"gauge", "info"} or one.name in SUMMED:
        value = one.value + other.value
    else:
        value = (min if one.name in LOWEST else max)(one.value, other.value)
    return one._replace(value=value, exemplar=exemplar)
