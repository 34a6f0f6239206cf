"""Rules that no click can reach, because the rules before them match every such click.

We say so only where it is certain. We look app by app: two rules for one app each may cover a later rule for both.
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

MAX_COMPARISONS = 200_000
"""Pairs of rules that we compare at the most. About the rest we say nothing."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Exact values and globs."""

    all: frozenset[str]
    stars: tuple[re.Pattern[str], ...]
    """The globs whose only wildcard is `*`."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        exact = frozenset(texts)
        stars = [text for text in sorted(exact) if "*" in text and not {"?", "["}.intersection(text)]
        return cls(exact, tuple([re.compile(translate(glob)) for glob in stars]))

    def covers(self, text: str) -> bool:
        """Whether these match everything that `text` (exact or a glob) matches; False where that is hard to tell.

        Only a star can match the wildcards of another glob, so a star may match `*` and `?` as if they were plain
        text. Brackets are not compared.
        """
        return text in self.all or ("[" not in text and any(star.match(text) for star in self.stars))


@dataclass(frozen=True, slots=True)
class Conditions:
    """A rule's conditions. None is no condition; so is `*` for an app or host, since every link has both."""

    apps: Texts | None
    platforms: frozenset[Platform] | None
    texts: dict[str, Texts]
    """The texts for each parameter of the link, by its name, and for the host, by ""."""

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

    def covers(self, other: Conditions, app: str | None) -> bool:
        """Whether every click for this app (None: any app) that fulfils `other` also fulfils these conditions."""
        if self.apps is not None and (app is None or not self.apps.covers(app)):
            return False
        if self.platforms is not None and not self.platforms.issuperset(other.platforms or Platform):
            return False
        return all(
            name in other.texts and all(map(texts.covers, other.texts[name].all)) for name, texts in self.texts.items()
        )


def covering_rules(rules: Sequence[Conditions]) -> list[frozenset[int]]:
    """For each rule, the places of the rules before it that match all its clicks; empty if a click can reach it."""
    by_app: dict[str, list[int]] = defaultdict(list)
    general: list[int] = []
    comparisons = 0
    result = []
    for place, rule in enumerate(rules):
        apps = (None,) if rule.apps is None else rule.apps.all
        covering: set[int] = set()
        for app in apps:
            candidates = [*by_app.get(app or "", ()), *general] if comparisons < MAX_COMPARISONS else []
            comparisons += len(candidates)
            cover = next((one for one in candidates if rules[one].covers(rule, app)), None)
            if cover is None:
                covering.clear()
                break
            covering.add(cover)
        result.append(frozenset(covering))
        if rule.apps is None or any(map(is_glob, rule.apps.all)):
            general.append(place)
        else:
            for app in rule.apps.all:
                by_app[app].append(place)
    return result
