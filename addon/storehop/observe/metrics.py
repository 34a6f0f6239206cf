"""Metrics for Prometheus (design §5). Labels stay bounded: never an app, a campaign or an address.

Children of labelled metrics are looked up once and kept: a click costs increments, no look-ups by name.
"""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from storehop.model import Dead, Decision, Delivered, Direct, OutboxCounts, Outcome, Param, Reply, Settled
from storehop.observe.coverage import Coverage, signals

ACCEPTED_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds from click to accepted: 5 ms up to the default max_age."""
DECISION_BUCKETS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01)
REMEMBERED = 10_000
"""Deliveries that `summary` looks back on."""


class Metrics:
    """Everything that is counted in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        clicks = Counter(
            "storehop_clicks", "Clicks by decision.", ("decision", "reason", "rule"), registry=self.registry
        )
        attempts = Counter("storehop_s2s_attempts", "Attempts at S2S calls.", ("outcome",), registry=self.registry)
        results = Counter("storehop_s2s", "S2S calls by their end.", ("result",), registry=self.registry)
        reloads = Counter("storehop_rules_reload", "Reloads of the rules.", ("result",), registry=self.registry)
        self._coverage = Coverage()
        self._enriched: Counts[tuple[str, str]] = Counts()
        self._unfilled: Counts[str] = Counts()
        self.registry.register(_Counted(self._coverage, self._enriched, self._unfilled))
        self._clicks = cache(clicks.labels)
        self._attempts = cache(attempts.labels)
        self._results = {result: results.labels(result) for result in ("delivered", "dead")}
        self._reloads = {result: reloads.labels(result) for result in ("ok", "failed")}
        self._accepted = Histogram(
            "storehop_click_to_accepted_seconds",
            "From the click to AppsFlyer's acceptance.",
            buckets=ACCEPTED_BUCKETS,
            registry=self.registry,
        )
        self._next_exemplar = 0.0
        self._delivered: deque[float] = deque(maxlen=REMEMBERED)
        self._decision = Histogram(
            "storehop_decision_seconds", "Time to decide.", buckets=DECISION_BUCKETS, registry=self.registry
        )

    def observe(
        self,
        counts: Callable[[], OutboxCounts],
        open_breakers: Callable[[], int],
        digest: Callable[[], str],
    ) -> None:
        """Reads these when somebody asks."""
        self.registry.register(_Live(counts, open_breakers, digest))

    def decided(self, seconds: float) -> None:
        self._decision.observe(seconds)

    def answered(self, decision: Decision) -> None:
        """What the user got in the end. Each click that was accepted counts once for all that its call says."""
        if isinstance(decision, Direct) and decision.repeats:
            self._clicks("duplicate", "", decision.rule).inc()
        elif isinstance(decision, Direct):
            self._clicks("direct", "", decision.rule).inc()
            self._coverage.direct(signals(decision))
            self._enrich(decision.params)
            self._unfilled.update(decision.unfilled)
        else:
            self._coverage.passed()
            self._clicks("pass", decision.reason, decision.rule or "").inc()

    def amended(self, before: Direct, after: Direct) -> None:
        """A held call was completed: what it says now counts as well."""
        self._coverage.gained(signals(after) - signals(before))
        self._enrich(set(after.params) - set(before.params))

    def _enrich(self, params: Iterable[Param]) -> None:
        for name, _, source, _ in params:
            if name in ENRICHED:
                self._enriched[name, source] += 1

    def settled(self, settled: Settled) -> None:
        if settled.outcome:
            self._attempts(outcome_label(settled.outcome)).inc()
        match settled.verdict:
            case Delivered():
                self._results["delivered"].inc()
                self._accepted.observe(settled.age, self._exemplar(settled.call.id))
                self._delivered.append(settled.age)
            case Dead():
                self._results["dead"].inc()

    def _exemplar(self, call_id: str) -> dict[str, str] | None:
        """One click a second stands for the others: checking an exemplar costs as much as all counting."""
        now = time.monotonic()
        if now < self._next_exemplar:
            return None
        self._next_exemplar = now + 1
        return {"click": call_id}

    def expired(self, calls: int) -> None:
        self._results["dead"].inc(calls)

    def reloaded(self, *, worked: bool) -> None:
        self._reloads["ok" if worked else "failed"].inc()

    def summary(self) -> str:
        """How soon AppsFlyer had the last clicks, and what it can match on, in one line for people."""
        if not self._coverage.clicks:
            return self._promptness()
        return f"{self._promptness()}; since the start {self._coverage}"

    def _promptness(self) -> str:
        ages = list(self._delivered)
        if not ages:
            return "no click was delivered yet"
        within = {limit: sum(age <= limit for age in ages) / len(ages) for limit in (1, 5)}
        shares = ", ".join(f"{share:.2%} within {limit} s" for limit, share in within.items())
        return f"of the last {len(ages)} delivered clicks {shares}"


ENRICHED = frozenset({"af_ref", "af_ip", "af_ua", "af_lang", "af_os_version", "af_model"})


def outcome_label(outcome: Outcome) -> str:
    """`2xx`, `429`, `connect`: what came of an attempt, in a bounded set of words."""
    if not isinstance(outcome, Reply):
        return outcome.fault
    return str(outcome.status) if outcome.status in {408, 429} else f"{outcome.status // 100}xx"


class _Counted(Collector):
    """What is counted several times a click, in plain numbers that are read when somebody asks."""

    def __init__(self, coverage: Coverage, enriched: Counts[tuple[str, str]], unfilled: Counts[str]) -> None:
        self._coverage = coverage
        self._enriched = enriched
        self._unfilled = unfilled

    def collect(self) -> Iterable[CounterMetricFamily]:
        sources = CounterMetricFamily(
            "storehop_enriched", "Parameters of S2S calls by the source of their value.", labels=("parameter", "source")
        )
        for labels, count in list(self._enriched.items()):
            sources.add_metric(labels, count)
        yield sources
        unfilled = CounterMetricFamily(
            "storehop_never_filled_in",
            "Direct clicks whose link had this parameter as a macro that nobody had filled in.",
            labels=("parameter",),
        )
        for name, count in list(self._unfilled.items()):
            unfilled.add_metric((name,), count)
        yield unfilled
        family = CounterMetricFamily(
            "storehop_matchable", "Direct clicks that AppsFlyer can match on this.", labels=("signal",)
        )
        for signal, count in self._coverage.found.items():
            family.add_metric((signal,), count)
        yield family


class _Live(Collector):
    """What is read off the running parts."""

    def __init__(
        self,
        counts: Callable[[], OutboxCounts],
        open_breakers: Callable[[], int],
        digest: Callable[[], str],
    ) -> None:
        self._counts = counts
        self._open_breakers = open_breakers
        self._digest = digest

    def collect(self) -> Iterable[GaugeMetricFamily]:
        counts = self._counts()
        yield GaugeMetricFamily("storehop_outbox_pending", "Stored clicks that are not delivered yet.", counts.pending)
        yield GaugeMetricFamily("storehop_outbox_dead", "Dead letters in the outbox.", counts.dead)
        yield GaugeMetricFamily("storehop_outbox_oldest_seconds", "Age of the oldest of them.", counts.oldest or 0.0)
        yield GaugeMetricFamily("storehop_breaker_open", "Hosts whose breaker is open.", self._open_breakers())
        info = GaugeMetricFamily("storehop_rules_info", "The rules in use.", labels=("hash",))
        info.add_metric((self._digest(),), 1.0)
        yield info
