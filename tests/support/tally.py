"""What became of a scene's clicks, and the row that `make reliability` prints of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, stored


@dataclass(frozen=True, slots=True)
class Tally:
    """What users got, and what AppsFlyer got. Everything is known by click id."""

    clicks: Clicks
    accepted: Counter[str]
    """How often AppsFlyer answered 200."""
    dead: frozenset[str]
    """Calls that were given up."""
    pending: int
    """Calls that the outbox still holds and has not given up."""

    @classmethod
    def of(cls, clicks: Clicks, appsflyer: FaultyAppsFlyer, folder: Path) -> Self:
        """Counts at the end of a scene whose outbox lies in `folder`."""
        dead = frozenset(click_ids(stored(folder, dead=True)))
        return cls(clicks, appsflyer.accepted, dead, len(stored(folder)))

    @property
    def lost(self) -> set[str]:
        """Sent to the store, and never counted or given up."""
        return self.clicks.direct & self.dead | self.clicks.direct - set(self.accepted)

    @property
    def ghosts(self) -> set[str]:
        """Passed, and sent all the same."""
        return self.clicks.passed & set(self.accepted)

    @property
    def doubled(self) -> Counter[str]:
        """How many times too often each click came."""
        return self.accepted - Counter(set(self.accepted))

    def report(self, what: str, slowest: str = "") -> None:
        """Prints a row of the table; pytest shows it only when asked. `slowest` says more than one figure can."""
        numbers = [self.clicks.all, *map(len, (self.clicks.direct, self.clicks.passed, self.lost))]
        cells = [f"{number:,}" for number in (*numbers, self.doubled.total())]
        print("\nfigures: |", " | ".join([what, *cells, slowest or milliseconds(self.clicks.slowest_s)]), "|")  # noqa: T201

    def assert_nothing_lost(self) -> None:
        """No click is lost or left over, none that passed was sent, and no user saw an error."""
        assert (set(), set(), frozenset(), 0) == (self.lost, self.ghosts, self.dead, self.pending)
        assert ([], set()) == (self.clicks.wrong, self.clicks.cut)


def click_ids(urls: Iterable[str]) -> list[str]:
    """The click ids of S2S calls."""
    return [dict(parse_qsl(urlsplit(url).query))["clickid"] for url in urls]


def milliseconds(seconds: float) -> str:
    """As the table says it."""
    return f"{seconds * 1000:,.0f} ms"
