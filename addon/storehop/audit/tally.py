"""Counts what the rules would do with recorded clicks, in one pass and flat memory (design §11).

A click is decided on once, by the rules at their most; the rollout then says what happens as they are configured.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from storehop.audit.clicks import click_of
from storehop.audit.configured import AsConfigured
from storehop.audit.directs import Directs
from storehop.audit.drift_tally import DriftTally
from storehop.audit.exchange import Exchange
from storehop.audit.hops import Hops
from storehop.audit.names import Group, Groups, fit
from storehop.audit.networks import Networks
from storehop.audit.pace import Slots, is_time
from storehop.audit.redact import Redactor
from storehop.audit.report import Report, Sample
from storehop.audit.samples import Samples
from storehop.decide import link, points, target
from storehop.decide.decision import decide
from storehop.decide.explanation import STORE_NAMES, because
from storehop.decide.rollout import Rollout
from storehop.decide.rules import RuleSet
from storehop.model import Click, Decision, Direct, Pass, Reason
from storehop.observe.coverage import NAMES, Signal, signals

DIRECT = "direct"
OTHER_NETWORKS = "other_networks"
PAGE_REDIRECTS = "page_redirects"
STORE_REDIRECTS = "store_redirects"


class _Met(NamedTuple):
    """A click, where it stands, and what the rules at their most do with it."""

    place: str
    click: Click
    decision: Decision


class Tally:
    """`add` every exchange, say where a recording ends, then ask for the `report`."""

    def __init__(self, rules: RuleSet, redactor: Redactor | None = None) -> None:
        self._rules = rules
        self._redactor = redactor or Redactor(click_ids=click_ids(rules))
        rollout = Rollout(rules)
        self._whole = rollout.whole
        self._configured = AsConfigured(rollout)
        self._directs = Directs(rules, self._redactor)
        self._total = Group()
        self._by_rule = Groups(str)
        self._by_app, self._by_campaign, self._by_source = (Groups(self._redactor.name) for _ in range(3))
        self._networks = Networks()
        self._drift = DriftTally(self._redactor.link, partial(fit, self._redactor.name))
        self._hops: Hops | None = None
        self._samples = Samples()
        self._slots = Slots()
        self._numbers = Report()
        """What is counted straight away."""

    def add_unreadable(self) -> None:
        """Counts a line, an entry or a flow that nobody can read."""
        self._numbers.unreadable += 1

    def add(self, exchange: Exchange, name: str) -> None:
        """Counts an exchange of the recording of this name."""
        if self._hops is None:
            self._hops = Hops(self._whole, name)
        numbers = self._numbers
        numbers.exchanges += 1
        if exchange.is_on_the_way and self._drift.follows(self._hops, exchange):
            numbers.further_hops += 1
            return
        click = click_of(exchange, self._rules, f"00000000-0000-7000-8000-{numbers.exchanges:012x}")
        decision = decide(click, self._whole) if click else None
        place = f"{name}:{exchange.place}"
        if click is None or decision is None or (isinstance(decision, Pass) and decision.reason is Reason.NOT_A_CLICK):
            self._add_no_click(exchange, place)
            return
        self._add_click(_Met(place, click, decision), exchange.at)
        if exchange.is_on_the_way:
            self._drift.click(self._hops, exchange, click, decision)

    @property
    def so_far(self) -> tuple[int, int]:
        """(clicks, direct)."""
        return self._total.clicks, self._total.direct

    @property
    def forgets_ids(self) -> bool:
        """There were too many click ids: repeated ones are known among the first ones only."""
        return self._directs.forgets_ids

    def end_recording(self) -> None:
        """Another recording follows, or none: no click goes on in it."""
        if self._hops:
            self._drift.end(self._hops)
        self._hops = None
        self._networks.end_recording()

    def _add_click(self, met: _Met, at: float | None) -> None:
        decision = met.decision
        self._configured.add(met.click, decision, at)
        if is_time(at):
            self._slots.add(at, is_direct=isinstance(decision, Direct))
        if isinstance(decision, Direct):
            sent = self._directs.add(met.click, decision)
            for group in self._groups(decision, sent.source, sent.campaign):
                group.add_direct(sent.signals)
            for figure in (DIRECT, *sent.surprises):
                self._samples.add(figure, lambda: self._sample(met))
        else:
            url = link.split(met.click.link)
            values = url.values if url and len(met.click.link) <= link.MAX_LINK_CHARACTERS else {}
            for group in self._groups(decision, values.get("pid", ""), values.get("c", "")):
                group.add_pass(decision.reason)
            self._samples.add(decision.reason, lambda: self._sample(met))

    def _groups(self, decision: Decision, source: str, campaign: str) -> list[Group]:
        groups = [self._total, self._by_source.of(source), self._by_campaign.of(campaign)]
        if decision.rule is not None:
            groups.append(self._by_rule.of(decision.rule))
        if decision.app is not None:
            groups.append(self._by_app.of(decision.app))
        return groups

    def _add_no_click(self, exchange: Exchange, place: str) -> None:
        self._numbers.not_clicks += 1
        if found := self._networks.add(exchange):
            network, url = found
            self._add_odd(OTHER_NETWORKS, place, url, f"a link of {network}: storehop does AppsFlyer's only")
        location = exchange.location if exchange.status in points.REDIRECTS else None
        if location and target.read(location):
            self._numbers.store_redirects += 1
            self._add_odd(STORE_REDIRECTS, place, location, "the answer leads to a store: there is nothing left to do")
        if exchange.page_link and self._is_click(exchange.page_link):
            self._numbers.page_redirects += 1
            words = "a page leads to this link by itself: no redirect is there that a rule could change"
            self._add_odd(PAGE_REDIRECTS, place, exchange.page_link, words)

    def _is_click(self, url: str) -> bool:
        parts = link.split(url)
        return parts is not None and self._rules.is_click_host(parts.host)

    def _add_odd(self, figure: str, place: str, url: str, words: str) -> None:
        self._samples.add(figure, lambda: Sample(place, self._redactor.link(url), words))

    def _sample(self, met: _Met) -> Sample:
        shown, decision = self._redactor, met.decision
        url, who = shown.link(met.click.link), shown.device(met.click.headers.get("user-agent", ""))
        if isinstance(decision, Pass):
            return Sample(met.place, url, f"{who}: passes, since {shown.name(because(decision))}", decision.app or "")
        found = signals(decision)
        names = ", ".join(NAMES[signal] for signal in Signal if signal in found) or "nothing"
        words = f"{who}: goes to {STORE_NAMES[decision.store]}; AppsFlyer can match on {names}"
        location, call = shown.link(decision.location), shown.link(decision.call.url)
        return Sample(met.place, url, words, decision.app, location, call)

    def report(self) -> Report:
        """All figures so far. Inputs, gates and the baseline are others' to add."""
        report, total = Report(), self._total.counts()
        self.end_recording()
        for name in ("exchanges", "further_hops", "not_clicks", "unreadable", PAGE_REDIRECTS, STORE_REDIRECTS):
            setattr(report, name, getattr(self._numbers, name))
        report.rules_digest = self._rules.digest
        report.concurrency = self._rules.delivery.concurrency
        report.clicks, report.direct, report.reasons = total.clicks, total.direct, total.reasons
        report.signals, report.ip_and_user_agent_only = total.signals, total.ip_and_user_agent_only
        report.rules, report.apps = self._by_rule.counts(), self._by_app.counts()
        report.campaigns, report.sources = self._by_campaign.counts(), self._by_source.counts()
        report.other_networks = self._networks.by_size()
        report.slot_seconds, report.per_minute = self._slots.width_s, self._slots.rows()
        report.samples = self._samples.by_figure()
        self._directs.fill(report)
        self._configured.fill(report)
        self._drift.fill(report)
        return report


def click_ids(rules: RuleSet) -> frozenset[str]:
    """All parameters in which the rules look for click ids."""
    return frozenset(name for _, rule in rules.rules for name in rule.click_id)
