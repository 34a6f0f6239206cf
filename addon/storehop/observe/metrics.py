"""Metrics for Prometheus (design §5). Labels stay bounded: never an app, a campaign or an address.

What a click counts we count in plain numbers (`counts.py`).

What an alert counts is there from the start at 0, since `increase()` sees no first event in a series that begins with
1. That is each end of a call, each outcome of an attempt, each reload, and for each rule the clicks that went direct,
those that passed by a fault and those that drifted. Of more than MAX_RULES_AT_0 rules only what has no rule's name:
there would be a hundred thousand lines to scrape. `storehop_outbox_down` and `storehop_breaker_open` then tell of the
first fault.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import lru_cache

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.registry import Collector

from storehop.decide.params import Shape, shape_of
from storehop.model import (
    Click,
    Dead,
    Decision,
    Delivered,
    Direct,
    Fault,
    Outcome,
    Pass,
    Reason,
    Reply,
    Settled,
    Source,
)
from storehop.observe.counts import Counted, Distribution, Values, counter
from storehop.observe.coverage import Coverage, Signal, signals, signals_of
from storehop.observe.drift import DriftMetrics
from storehop.observe.engine import EngineMetrics
from storehop.observe.state import BuildInfo, State, StateCollector
from storehop.observe.traffic import Traffic
from storehop.observe.watchers import Watcher

ACCEPTED_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds from click to accepted: 5 ms up to the default max_age."""
DECISION_BUCKETS_S = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01)
MAX_RULES_AT_0 = 250
"""With so many rules each has its series from the start: 1,500 lines."""
FAULTS = (Reason.ERROR, Reason.OUTBOX_DOWN, Reason.S2S_DOWN)
"""Why a click passes that would have gone direct."""
DROPPED_LINES = ("storehop_log_lines_dropped", "Log lines that were never written: the log was not read.")
MAX_SUMMARY_DELIVERIES = 10_000
"""`summary` is about so many deliveries, the last ones."""


class Metrics(Watcher):
    """All counters of one process."""

    def __init__(self, *more: Collector) -> None:
        """`more` are metrics of others, to show beside these."""
        # The times of `_created` series are read by nobody, and they make a scrape half as long again.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.traffic = Traffic()
        for collector in (self.traffic, BuildInfo(), ProcessCollector(registry=None), *more):
            self.registry.register(collector)
        self.engine = EngineMetrics(self.registry)
        self.drift = DriftMetrics(self.registry)
        self._clicks = self._counter("clicks", "Clicks by decision.", "decision", "reason", "rule")
        self._attempts = self._counter("s2s_attempts", "Attempts at S2S calls.", "outcome")
        self._results = self._counter("s2s", "S2S calls by their end.", "result")
        self._reloads = self._counter("rules_reload", "Reloads of the rules.", "result")
        self._enriched = self._counter(
            "enriched", "Parameters of S2S calls by the source of their value.", "parameter", "source"
        )
        self._enriched.update({(name, source): 0 for name in sorted(ENRICHED) for source in Source})
        self._unfilled = self._counter(
            "never_filled_in",
            "Direct clicks whose link had this parameter as a macro that nobody had filled in.",
            "parameter",
        )
        self._coverage = Coverage()
        self.registry.register(
            Counted(
                "storehop_matchable",
                "Direct clicks that AppsFlyer can match on this.",
                ("signal",),
                self._coverage.signal_counts,
            )
        )
        self._reload_success = Gauge(
            "storehop_rules_reload_success",
            "Whether the rule files could be used when last read.",
            registry=self.registry,
        )
        self._accepted = Distribution(
            "storehop_click_to_accepted_seconds", "From the click to AppsFlyer's acceptance.", ACCEPTED_BUCKETS_S
        )
        self.registry.register(self._accepted)
        self._next_exemplar = 0.0
        self._delivered: deque[float] = deque(maxlen=MAX_SUMMARY_DELIVERIES)
        self._decision = Distribution("storehop_decision_seconds", "Time to decide.", DECISION_BUCKETS_S)
        self.registry.register(self._decision)
        self._begin()

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter[Values]:
        return counter(self.registry, f"storehop_{name}", documentation, *labels)

    def _begin(self) -> None:
        """Shows series before their first event, so that the first one is an increase."""
        self._reload_success.set(1)
        self._attempts.update(dict.fromkeys(_OUTCOMES, 0))
        self._results.update(delivered=0, dead=0)
        self._reloads.update(ok=0, failed=0)
        self.expect(())

    def observe(self, state: Callable[[], State]) -> None:
        """Adds metrics that ask `state` at each scrape."""
        self.registry.register(StateCollector(state))

    def expect(self, rules: Iterable[str]) -> None:
        """These rules are in use: their series begin at 0."""
        names = ["", *rules]
        for rule in names if len(names) <= MAX_RULES_AT_0 else names[:1]:
            for reason in FAULTS:
                self._clicks["pass", reason, rule] += 0
            if rule:
                self._clicks["direct", "", rule] += 0
                self.drift.expect(rule)

    def answered(self, _click: Click, decision: Decision, seconds: float = 0.0, _whole_s: float = 0.0) -> None:
        """Counts the decision. A direct click also counts its signals and parameters, a duplicate does not."""
        if seconds:
            self._decision.observe(seconds)
        if isinstance(decision, Pass):
            self._coverage.count_pass()
            self._clicks["pass", decision.reason, decision.rule or ""] += 1
        elif decision.repeats:
            self._clicks["duplicate", "", decision.rule] += 1
        else:
            self._clicks["direct", "", decision.rule] += 1
            enriched, click_signals = _counts_of(shape_of(decision.params), decision.referrer is not None)
            for labels in enriched:
                self._enriched[labels] += 1
            self._coverage.count_direct(click_signals)
            if decision.unfilled:
                self._unfilled.update(decision.unfilled)

    def amended(self, before: Direct, after: Direct) -> None:
        """Counts the signals and parameters that client hints added to a held call."""
        self._coverage.add_signals(signals(after) - signals(before))
        for name, _, source, _ in set(after.params) - set(before.params):
            if name in ENRICHED:
                self._enriched[name, source] += 1

    def settled(self, settled: Settled) -> None:
        """Counts an attempt by its outcome, and a call by its end."""
        if settled.outcome:
            self._attempts[outcome_label(settled.outcome)] += 1
        match settled.verdict:
            case Delivered():
                self._results["delivered"] += 1
                self._accepted.observe(settled.age, self._exemplar(settled.call.id))
                self._delivered.append(settled.age)
            case Dead():
                self._results["dead"] += 1

    def _exemplar(self, call_id: str) -> dict[str, str] | None:
        """The labels of an exemplar, once a second; else None: one shows what it took."""
        now = time.monotonic()
        if now < self._next_exemplar:
            return None
        self._next_exemplar = now + 1
        return {"click": call_id}

    def expired(self, call_ids: tuple[str, ...]) -> None:
        """Counts the calls that got too old as dead."""
        self._results["dead"] += len(call_ids)

    def reloaded(self, *, worked: bool) -> None:
        """Counts a reload of the rules."""
        self._reloads["ok" if worked else "failed"] += 1
        self._reload_success.set(worked)

    def summary(self) -> str:
        """One line for people: how soon AppsFlyer had the last clicks, and by which signals it can match."""
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


@lru_cache(maxsize=1024)
def _counts_of(shape: Shape, has_referrer: bool) -> tuple[tuple[tuple[str, str], ...], frozenset[Signal]]:
    """What a direct click counts: parameters with their sources, and signals. Most clicks have one of few shapes."""
    enriched = tuple((name, source) for name, source, _ in shape if name in ENRICHED)
    return enriched, signals_of(shape, has_referrer=has_referrer)


_OUTCOMES = (*Fault, "1xx", "2xx", "3xx", "4xx", "5xx", "408", "429")


def outcome_label(outcome: Outcome) -> str:
    """The outcome of an attempt in one of a bounded set of words: `2xx`, `429`, `connect`."""
    if not isinstance(outcome, Reply):
        return outcome.fault
    return str(outcome.status) if outcome.status in {408, 429} else f"{outcome.status // 100}xx"
