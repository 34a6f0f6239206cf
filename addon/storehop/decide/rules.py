"""Compiled rules: which rule a click falls under (design §4). First match wins; exact app ids are indexed.

Only storehop.rulefile builds them. 100,000 exact ids cost as much as ten: a click looks up its app once and then
tries only the rules that name this app, and the rules that name no exact app.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from heapq import merge
from typing import NamedTuple

from storehop.decide.address import Proxies
from storehop.decide.link import Link
from storehop.decide.store import Route, route
from storehop.model import Platform
from storehop.settings import Delivery, HintSettings, OneLink, Rule

DEFAULT_HOSTS = frozenset({"app.appsflyer.com", "app.aflink.com"})
IMPRESSION_HOSTS = frozenset(
    {
        "impression.appsflyer.com",
        "impressions.appsflyer.com",
        "impressions.onelink.me",
        "engagements.appsflyer.com",
    },
)
EVERY_RULE = "*"
"""Stands among names of rules for all of them: no rule has this name."""
ONELINK_SUFFIXES = (".onelink.me", ".onelnk.com")


@dataclass(frozen=True, slots=True)
class Patterns:
    """Exact strings and globs (`*`, `?`, `[…]`), case-sensitive."""

    exact: frozenset[str]
    globs: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, texts: list[str]) -> Patterns:
        """Compiles the globs among these texts; the others are exact."""
        globs = [text for text in texts if is_glob(text)]
        return cls(
            frozenset(text for text in texts if not is_glob(text)),
            tuple(re.compile(translate(glob)) for glob in globs),
        )

    def match(self, value: str) -> bool:
        """Whether the value is one of the exact strings or matches a glob."""
        return value in self.exact or any(glob.match(value) for glob in self.globs)


def is_glob(text: str) -> bool:
    """Whether the text has a wildcard: `*`, `?` or `[`."""
    return any(mark in text for mark in "*?[")


class Facts(NamedTuple):
    """The facts of a click that rules look at."""

    app: str
    platform: Platform
    link: Link


@dataclass(frozen=True, slots=True)
class Match:
    """A rule's conditions. All of them must hold; None is no condition."""

    app: Patterns | None = None
    host: Patterns | None = None
    platform: frozenset[Platform] | None = None
    params: tuple[tuple[str, Patterns], ...] = ()

    def failed_condition(self, facts: Facts) -> str | None:
        """The key of the first condition that does not hold; None for a match."""
        if self.app and not self.app.match(facts.app):
            return "app"
        if self.platform and facts.platform not in self.platform:
            return "platform"
        if self.host and not self.host.match(facts.link.host):
            return "host"
        for name, patterns in self.params:
            value = facts.link.values.get(name)
            if value is None or not patterns.match(value):
                return name
        return None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that a decision needs from the rule files, ready to use. Immutable: a reload is a swap."""

    rules: tuple[tuple[Match, Rule], ...] = ()
    hosts: frozenset[str] = DEFAULT_HOSTS
    onelinks: Mapping[tuple[str, str], OneLink] = field(default_factory=dict)
    proxies: Proxies = Proxies()
    delivery: Delivery = Delivery()
    hints: HintSettings = HintSettings()
    digest: str = ""
    """Short hash of the rule files."""
    stopped: frozenset[str] = frozenset()
    """Names of the rules that a canary or a person has stopped (design §11); EVERY_RULE stops all."""
    are_at_their_most: bool = False
    """Each rule is direct at 100 %, and none is off or stopped."""
    by_app: Mapping[str, tuple[int, ...]] = field(init=False)
    """For each exact app id, the places of the rules that name it."""
    general: tuple[int, ...] = field(init=False)
    """Places of the rules to try for every app."""
    onelink_hosts: frozenset[str] = field(init=False)
    route: Callable[[Rule, str], Route | None] = field(init=False, compare=False, repr=False)
    """The route of an app by a rule of these; None where the rule can't tell its store."""

    def __post_init__(self) -> None:
        by_app: dict[str, list[int]] = {}
        general: list[int] = []
        for place, (match, _) in enumerate(self.rules):
            if match.app is None or match.app.globs:
                general.append(place)
                continue
            for app in match.app.exact:
                by_app.setdefault(app, []).append(place)
        object.__setattr__(self, "by_app", {app: tuple(places) for app, places in by_app.items()})
        object.__setattr__(self, "general", tuple(general))
        object.__setattr__(self, "onelink_hosts", frozenset(host for host, _ in self.onelinks))
        object.__setattr__(self, "route", lru_cache(maxsize=8192)(route))

    def with_stopped(self, names: frozenset[str]) -> RuleSet:
        """The same rules, of which these are stopped. Costs nothing per rule or app id."""
        rules = copy(self)
        object.__setattr__(rules, "stopped", names)
        return rules

    def at_their_most(self) -> RuleSet:
        """The same rules, each one direct at 100 % and none stopped. Costs nothing per rule or app id."""
        rules = self.with_stopped(frozenset())
        object.__setattr__(rules, "are_at_their_most", True)
        return rules

    def is_stopped(self, name: str) -> bool:
        """Whether all clicks of this rule pass."""
        return name in self.stopped or EVERY_RULE in self.stopped

    def find(self, facts: Facts) -> Rule | None:
        """The first rule that matches."""
        for place in self._places(facts.app):
            match, rule = self.rules[place]
            if match.failed_condition(facts) is None:
                return rule
        return None

    def _places(self, app: str) -> Iterable[int]:
        """Places of the rules to try for this app, in order."""
        exact = self.by_app.get(app)
        if not exact:
            return self.general
        return merge(exact, self.general) if self.general else exact

    def trials(self, facts: Facts) -> Iterator[tuple[Rule, str | None]]:
        """Each rule in order up to the match, with the condition that failed: for `explain`."""
        for match, rule in self.rules:
            failed = match.failed_condition(facts)
            yield rule, failed
            if failed is None:
                return

    def is_click_host(self, host: str) -> bool:
        """Whether links to this host (lower case, without port) are clicks: single-platform links or OneLinks."""
        return host in self.hosts or self.is_onelink_host(host)

    def is_onelink_host(self, host: str) -> bool:
        """Whether this is a OneLink host, or a branded domain of the rules' onelinks."""
        return host in self.onelink_hosts or host.endswith(ONELINK_SUFFIXES)

    def is_attribution_host(self, host: str) -> bool:
        """Whether a click to this host is ours to decide on, impressions included."""
        return host in IMPRESSION_HOSTS or self.is_click_host(host)
