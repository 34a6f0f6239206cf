"""What AppsFlyer would get: the parameters of direct clicks, and what is wrong with them."""

from __future__ import annotations

from typing import NamedTuple

from storehop.audit.names import Numbers, by_size
from storehop.audit.redact import Redactor
from storehop.audit.repeats import SeenIds
from storehop.audit.report import Report
from storehop.decide import address
from storehop.decide.rules import RuleSet
from storehop.decide.unfilled import is_absent, is_unfilled
from storehop.model import Click, Direct, Source
from storehop.observe.coverage import Signal, signals

NEVER_FILLED_IN = "never_filled_in"
PRIVATE_ADDRESSES = "private_addresses"
MISSING_CLICK_IDS = "missing_click_ids"
REPEATED_CLICK_IDS = "repeated_click_ids"
_MACRO_STARTS = frozenset("{<$%[#@_-(nuNU")
"""Each value that nobody filled in begins with one of these, or holds one of the next."""
_MACRO_PARTS = ("{", "<", "$(", "%%")


class Sent(NamedTuple):
    """What a direct click tells the tally."""

    signals: frozenset[Signal]
    source: str
    """`pid`."""
    campaign: str
    surprises: tuple[str, ...]
    """Names of figures that this click is behind."""


class Directs:
    """Counts direct clicks."""

    def __init__(self, rules: RuleSet, redactor: Redactor) -> None:
        self._proxies = rules.proxies
        self._click_ids = {rule.name: rule.click_id for _, rule in rules.rules}
        self._parameters = _Parameters(redactor)
        self._unfilled = Numbers(redactor.name)
        self._seen = SeenIds()
        self._longest_url = 0
        self._counts = dict.fromkeys((NEVER_FILLED_IN, PRIVATE_ADDRESSES, MISSING_CLICK_IDS, REPEATED_CLICK_IDS), 0)

    @property
    def forgets_ids(self) -> bool:
        """There were too many click ids: repeated ones are counted among the first ones only."""
        return self._seen.is_full

    def add(self, click: Click, direct: Direct) -> Sent:
        """Counts a direct click."""
        self._longest_url = max(self._longest_url, len(direct.call.origin) + len(direct.call.target))
        links: dict[str, str] = {}
        token = ""
        for name, value, source, _ in direct.params:
            self._parameters.add(name, source)
            if value is None:
                continue
            if source is Source.LINK:
                links.setdefault(name, value)
            if name == "af_ref":
                token = value
        surprises = tuple(self._surprises(click, direct, links, token))
        for surprise in surprises:
            self._counts[surprise] += 1
        return Sent(signals(direct), links.get("pid", ""), links.get("c", ""), surprises)

    def _surprises(self, click: Click, direct: Direct, links: dict[str, str], token: str) -> list[str]:
        found = []
        if self._count_unfilled(direct, links):
            found.append(NEVER_FILLED_IN)
        client = address.client_address(click.peer, click.headers, self._proxies)
        if client is not None and not address.is_public(client):
            found.append(PRIVATE_ADDRESSES)
        transaction = token or self._click_id(direct.rule, links)
        if not transaction or transaction.endswith(click.id):
            found.append(MISSING_CLICK_IDS)
        elif self._seen.repeats(transaction):
            found.append(REPEATED_CLICK_IDS)
        return found

    def _click_id(self, rule: str, links: dict[str, str]) -> str:
        """Of a click that has no referrer token: the App Store takes none."""
        return next((value for name in self._click_ids[rule] if not is_absent(value := links.get(name, ""))), "")

    def _count_unfilled(self, direct: Direct, links: dict[str, str]) -> bool:
        names = set(direct.unfilled)
        for name, value in links.items():
            if (
                value
                and (value[0] in _MACRO_STARTS or any(map(value.__contains__, _MACRO_PARTS)))
                and is_unfilled(value)
            ):
                names.add(name)
        if not names:
            return False
        if "click_id" in names:
            names.difference_update(self._click_ids[direct.rule])
        for name in names:
            self._unfilled.add(name)
        return True

    def fill(self, report: Report) -> None:
        """Writes the figures so far into the report."""
        report.parameters = self._parameters.by_size()
        report.never_filled_in = self._unfilled.by_size()
        report.never_filled_in_clicks = self._counts[NEVER_FILLED_IN]
        report.private_addresses = self._counts[PRIVATE_ADDRESSES]
        report.missing_click_ids = self._counts[MISSING_CLICK_IDS]
        report.repeated_click_ids = self._counts[REPEATED_CLICK_IDS]
        report.longest_url = self._longest_url


class _Parameters:
    """Clicks by parameter and source of its value."""

    def __init__(self, redactor: Redactor) -> None:
        self._by_source = {source: Numbers(redactor.name) for source in Source}
        self._adders = {source: numbers.add for source, numbers in self._by_source.items()}

    def add(self, name: str, source: Source) -> None:
        self._adders[source](name)

    def by_size(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for source, numbers in self._by_source.items():
            for name, number in numbers.by_size().items():
                found.setdefault(name, {})[str(source)] = number
        order = by_size({name: sum(sources.values()) for name, sources in found.items()})
        return {name: found[name] for name in order}
