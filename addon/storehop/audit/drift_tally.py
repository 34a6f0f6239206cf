"""Counts what comparing AppsFlyer's redirects with ours came to, for an audit's report (design §11).

How a recording's loop calls it, beside its own counting:

    hops = Hops(rollout.whole, name)
    for exchange in recording:
        if drift.follows(hops, exchange):
            continue                                        # AppsFlyer's answer to a click that was counted before
        ...                                                 # no click? on to the next one
        drift.click(hops, exchange, click, decision)        # `decision` by `rollout.whole`
    drift.end(hops)
    ...
    drift.fill(report)                                      # once, at the end of all recordings

AppsFlyer's own noise is no drift: where the recordings hold the same link more than once and AppsFlyer's answers
differ, none of its clicks can be compared. Memory is bounded: MAX_LINKS links, MAX_NAMES apps and rules, MAX_TIMES
times.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import median

from storehop.audit.exchange import Exchange
from storehop.audit.hops import Hops, Pair
from storehop.audit.report import OTHERS, Counts, Report, Sample
from storehop.decide.drift import Compared, Kind
from storehop.decide.target import difference, read
from storehop.model import Click, Decision

MAX_LINKS = 20_000
"""That are remembered, to see whether AppsFlyer answers the same link alike."""
MAX_NAMES = 10_000
"""Of apps, and of rules, that are counted one by one."""
MAX_TIMES = 10_000
"""A sample of AppsFlyer's times, for the median: each click has the same chance to be in it."""
MAX_SECONDS = 3600.0
"""What claims to have taken longer is no time: a clock was set."""
MAX_EXAMPLES = 3
"""For each app and kind."""
MAX_EXAMPLES_IN_ALL = 300
NOISE = "AppsFlyer's own answers to this link differ"


@dataclass(slots=True)
class _Seen:
    """What AppsFlyer answered to a link before."""

    target: bytes
    clicks: Counter[tuple[str, str, Compared]] = field(default_factory=Counter)
    """By rule, app and what came of it."""
    is_stable: bool = True


class DriftTally:
    """The drift of all recordings of one audit."""

    def __init__(self, show: Callable[[str], str] | None = None, name: Callable[[str], str] = str) -> None:
        """`show` makes of a link what a report may hold of it, and `name` of an app.

        Without `show` it is the link's host and path.
        """
        self._show = show or without_query
        self._name = name
        self._counts: Counter[tuple[str, str, Compared]] = Counter()
        self._links: OrderedDict[bytes, _Seen] = OrderedDict()
        self._rules: set[str] = set()
        self._apps: set[str] = set()
        self._examples: dict[tuple[str, Kind], list[tuple[bytes, Sample]]] = {}
        self._hops = 0
        self._times: list[float] = []
        self._random = random.Random(0)  # noqa: S311  the same recording gives the same report

    def follows(self, hops: Hops, exchange: Exchange) -> bool:
        """Whether this exchange is AppsFlyer's answer to a click that was counted before: no click of its own."""
        pair = hops.second(exchange)
        for one in hops.given_up():
            self.add(one)
        if pair is None:
            return False
        self.add(pair)
        return True

    def click(self, hops: Hops, exchange: Exchange, click: Click, decision: Decision) -> None:
        """A click was met; `decision` is what the rules at their most do with it."""
        if pair := hops.first(exchange, click, decision):
            self.add(pair)

    def end(self, hops: Hops) -> None:
        """A recording is over."""
        for pair in hops.end():
            self.add(pair)

    def add(self, pair: Pair) -> None:
        """Counts a pair. One that is not final comes again: it does not count."""
        if not pair.is_final:
            return
        if pair.seconds is not None and 0 <= pair.seconds < MAX_SECONDS:  # not so for NaN
            self._time(pair.seconds)
        if pair.compared is None or pair.ours is None:
            return
        rule, app = _bounded(self._rules, pair.rule or ""), _bounded(self._apps, self._name(pair.app or ""))
        key = blake2b(f"{pair.platform}{pair.link}".encode(errors="surrogatepass"), digest_size=12).digest()
        seen = self._seen(key, pair)
        compared = pair.compared if seen.is_stable else Compared(Kind.NOT_COMPARABLE, why=NOISE)
        self._counts[rule, app, compared] += 1
        seen.clicks[rule, app, compared] += 1
        if compared.kind.is_drift:
            self._example(key, app, pair, compared)

    def _time(self, seconds: float) -> None:
        """Reservoir sampling (Vitter's algorithm R)."""
        self._hops += 1
        if len(self._times) < MAX_TIMES:
            self._times.append(seconds)
        elif (place := self._random.randrange(self._hops)) < MAX_TIMES:
            self._times[place] = seconds

    # AppsFlyer against AppsFlyer

    def _seen(self, key: bytes, pair: Pair) -> _Seen:
        """What was seen of this link; where AppsFlyer's answer is another one now, its clicks count no more."""
        target = _answer(pair)
        seen = self._links.get(key)
        if seen is None:
            seen = self._links[key] = _Seen(target)
            if len(self._links) > MAX_LINKS:
                self._links.popitem(last=False)
        self._links.move_to_end(key)
        if seen.is_stable and seen.target != target:
            self._take_back(key, seen)
        return seen

    def _take_back(self, key: bytes, seen: _Seen) -> None:
        seen.is_stable = False
        noise = Compared(Kind.NOT_COMPARABLE, why=NOISE)
        for (rule, app, compared), clicks in seen.clicks.items():
            self._counts[rule, app, compared] -= clicks
            self._counts[rule, app, noise] += clicks
        for examples in self._examples.values():
            examples[:] = [example for example in examples if example[0] != key]

    def _example(self, key: bytes, app: str, pair: Pair, compared: Compared) -> None:
        if (app, compared.kind) not in self._examples and len(self._examples) >= MAX_EXAMPLES_IN_ALL // MAX_EXAMPLES:
            return
        examples = self._examples.setdefault((app, compared.kind), [])
        if len(examples) < MAX_EXAMPLES:
            examples.append((key, Sample(pair.place, self._show(pair.link), difference(pair.ours or "", pair.theirs))))

    # the report

    def fill(self, report: Report) -> None:
        """Writes all of it into a report whose rules and apps are counted."""
        for (rule, app, compared), clicks in sorted(self._counts.items()):
            if not clicks:
                continue
            for counts in (report.drift, *_drift_of(report.rules, rule), *_drift_of(report.apps, app)):
                counts[compared.kind.value] = counts.get(compared.kind.value, 0) + clicks
            for reason in compared.harmless:
                report.harmless[reason] = report.harmless.get(reason, 0) + clicks
            if compared.why:
                report.not_comparable[compared.why] = report.not_comparable.get(compared.why, 0) + clicks
        report.drift_examples.extend(sample for _, found in sorted(self._examples.items()) for _, sample in found)
        report.hops += self._hops
        report.hop_ms_median = round(median(self._times) * 1000, 1) if self._times else report.hop_ms_median


def without_query(link: str) -> str:
    """Host and path of a link: its parameters hold ids of people."""
    return link.partition("#")[0].partition("?")[0]


def _bounded(names: set[str], name: str) -> str:
    if name in names or len(names) < MAX_NAMES:
        names.add(name)
        return name
    return OTHERS


def _drift_of(counted: dict[str, Counts], name: str) -> Iterable[dict[str, int]]:
    """The drift of a name that the report counts; the audit may have put it among the others."""
    counts = counted.get(name) or counted.get(OTHERS)
    return (counts.drift,) if counts else ()


def _answer(pair: Pair) -> bytes:
    """What makes two answers of AppsFlyer the same: their target, else where and how they lead."""
    target = read(pair.theirs) if pair.theirs else None
    text = repr(target) if target else f"{pair.status} {without_query(pair.theirs or '')}"
    return blake2b(text.encode(errors="surrogatepass"), digest_size=12).digest()
