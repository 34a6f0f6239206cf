"""Rules that no click can reach, because rules before them take all that they match.

Only what is certain counts. App by app: a rule for two apps may stand behind one rule for each of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from storehop.decide.rules import Match, is_glob
from storehop.model import Platform
from storehop.rulefile.schema import MatchSection

MOST_TRIES = 200_000
"""Pairs of rules that are compared at the most. Of the rest nothing is said."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Exact values and globs."""

    all: frozenset[str]
    stars: tuple[re.Pattern[str], ...]
    """The globs that have nothing but `*` in them."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        found = frozenset(texts)
        stars = [text for text in sorted(found) if "*" in text and not {"?", "["}.intersection(text)]
        return cls(found, tuple([re.compile(translate(glob)) for glob in stars]))

    def take(self, text: str) -> bool:
        """Whether all that `text` stands for is in here; False also where that is hard to tell.

        What is open in a glob can only be matched by a star, so it may be matched as if it were plain text. Not so
        what stands between brackets.
        """
        return text in self.all or ("[" not in text and any(star.match(text) for star in self.stars))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a rule matches. None is no condition, as is `*` for what every link has."""

    apps: Texts | None
    platforms: frozenset[Platform] | None
    texts: dict[str, Texts]
    """Of the host, by "", and of the link's parameters by name."""

    @classmethod
    def of(cls, section: MatchSection, match: Match) -> Conditions:
        hosts = {"": section.host} if section.host and "*" not in section.host else {}
        pids = {"pid": section.pid} if section.pid else {}
        has_any_app = match.app is None or "*" in (section.app or ())
        return cls(
            None if has_any_app else Texts.of({*(section.app or ()), *(match.app.exact if match.app else ())}),
            match.platform,
            {name: Texts.of(texts) for name, texts in {**hosts, **pids, **section.param}.items()},
        )

    def takes(self, other: Conditions, app: str | None) -> bool:
        """Whether every click for this app that fulfils the other's conditions fulfils these. None: any app."""
        if self.apps is not None and (app is None or not self.apps.take(app)):
            return False
        if self.platforms is not None and not self.platforms.issuperset(other.platforms or Platform):
            return False
        return all(
            name in other.texts and all(map(texts.take, other.texts[name].all)) for name, texts in self.texts.items()
        )


def takers(rules: Sequence[Conditions]) -> list[frozenset[int]]:
    """For each rule the places of those before it that take all its clicks; empty where some click gets to it."""
    by_app: dict[str, list[int]] = defaultdict(list)
    general: list[int] = []
    tries = 0
    found = []
    for place, rule in enumerate(rules):
        apps = (None,) if rule.apps is None else rule.apps.all
        behind: set[int] = set()
        for app in apps:
            before = [*by_app.get(app or "", ()), *general] if tries < MOST_TRIES else []
            tries += len(before)
            taker = next((one for one in before if rules[one].takes(rule, app)), None)
            if taker is None:
                behind.clear()
                break
            behind.add(taker)
        found.append(frozenset(behind))
        if rule.apps is None or any(map(is_glob, rule.apps.all)):
            general.append(place)
        else:
            for app in rule.apps.all:
                by_app[app].append(place)
    return found
