"""Simulated days of a rule under its canary, counted and judged by the code that runs in production.

    python -m tests.support.canary_days        the table of rules/canary/README.md

A step of five seconds draws how many clicks came and what became of them, instead of each click. Traffic swings by day
and night; AppsFlyer refuses a call in a thousand and is late with another, has a hiccup an hour during which clicks
pass, and answers take longer at times, in both arms alike.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from storehop.canary.counts import TIMED_S, RuleCounts
from storehop.canary.figures import SLICE_S, Sums, class_of
from storehop.canary.limits import LEAST_TRIALS, Signal, State, judge, run_needed
from storehop.canary.repeats import ALARM, Arm, Harm, log_ratio
from storehop.settings import Rule

DAY_S = 86_400
BEGUN = 1_800_000_000.0
TIMES_MS = ((1, 0.0), (5, 0.02), (20, 0.006), (60, 0.002), (150, 0.002))
"""Answers of both arms: milliseconds, and the share of clicks; the first has the rest."""
STORING_MS = 10
"""How much longer a direct answer takes."""
REPEATED_S = 60
PERCENTS, FACTORS = (1, 5, 25, 50), (3.0, 2.0, 1.3)


def poisson(rng: random.Random, mean: float) -> int:
    """A draw; by the normal distribution where that is close."""
    if mean > 20:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


@dataclass
class Taps:
    """First taps and repeats, a second at a time. `factor` is by how much the store's page multiplies repeats."""

    rng: random.Random
    share: float
    repeats: float = 0.05
    factor: float = 1.0
    trials: list[int] = field(default_factory=lambda: [0, 0])
    ratios: list[float] = field(default_factory=lambda: [0.0] * 3)
    harm: Harm = field(default_factory=Harm)
    _open: list[int] = field(default_factory=lambda: [0, 0])
    _minute: deque[tuple[int, int]] = field(default_factory=lambda: deque([(0, 0)] * REPEATED_S))

    def second(self, clicks: float) -> bool:
        """So many clicks are expected in it. Whether it is bad now."""
        rng = self.rng
        came = poisson(rng, clicks * self.share), poisson(rng, clicks * (1 - self.share))
        gone = self._minute.popleft()
        self._minute.append(came)
        for arm in Arm:
            self.trials[arm] += came[arm]
            self._open[arm] += came[arm] - gone[arm]
            more = self.factor if arm is Arm.DIRECT else 1.0
            repeated = poisson(rng, self._open[arm] * self.repeats * more / REPEATED_S)
            if repeated:
                weight = self._open[0] / (self._open[0] + self._open[1])
                for place, odds in enumerate((1.3, 2.0, 4.0)):
                    self.ratios[place] += repeated * log_ratio(arm, odds, weight)
        self.harm.hear({"all": self.ratios})
        return self.harm.level > ALARM and min(self.trials) >= LEAST_TRIALS


def seconds_until_found(percent: float, factor: float, seed: int, clicks: float = 100.0) -> int:
    """How long a broken page is not found."""
    taps = Taps(random.Random(seed), percent / 100, factor=factor)
    return next(second for second in range(1, 10 * DAY_S) if taps.second(clicks))


@dataclass
class Days:
    """A healthy rule. Its shares are of calls; `clicks` a second on average."""

    seed: int
    percent: float = 50.0
    clicks: float = 100.0
    refused: float = 0.001
    late: float = 0.001
    dead: float = 0.000_02
    hiccups_an_hour: float = 1.0

    def run(self, days: float) -> Iterator[tuple[float, Signal, str]]:
        """Each stop: after how many seconds, by what and why. The rule goes on then, as a person would have it."""
        rng, share = random.Random(self.seed), self.percent / 100
        counts, taps = RuleCounts(Rule("games"), BEGUN), Taps(rng, share)
        hiccup_until = 0.0
        for step in range(int(days * DAY_S / SLICE_S)):
            now = BEGUN + step * SLICE_S
            clicks = self.clicks * (1 + 0.6 * math.sin(2 * math.pi * step * SLICE_S / DAY_S))
            if rng.random() < self.hiccups_an_hour * SLICE_S / 3600:
                hiccup_until = now + rng.uniform(2, 15)
            run = self._slice(rng, counts, now, clicks, is_hiccup=now < hiccup_until)
            is_harm = [taps.second(clicks) for _ in range(SLICE_S)]
            counts.trials.taps.trials = list(taps.trials)
            figures = counts.figures(now)
            found = [one for one in judge(figures, taps.harm.level) if one.state is State.BAD]
            if run >= run_needed(figures):
                yield now - BEGUN, Signal.S2S_REFUSED, f"{run} in a row"
                counts._refused_at.clear()
            if found or any(is_harm):
                signal, why = (found[0].signal, found[0].why) if found else (Signal.REPEAT_TAPS, "in between")
                yield now - BEGUN, signal, why
                counts, taps = RuleCounts(Rule("games"), now), Taps(rng, share)

    def _slice(self, rng: random.Random, counts: RuleCounts, now: float, clicks: float, *, is_hiccup: bool) -> int:
        """Five seconds. The longest run of refusals that ended in it."""
        share = self.percent / 100
        sampled, control = poisson(rng, clicks * SLICE_S * share), poisson(rng, clicks * SLICE_S * (1 - share))
        failed = sampled if is_hiccup else 0
        direct = sampled - failed
        refused = min(direct, poisson(rng, direct * self.refused))
        late = min(direct, poisson(rng, direct * self.late))
        sums = Sums(direct, failed, control, direct, direct - late, direct, refused, poisson(rng, direct * self.dead))
        self._answers(rng, sums)
        counts._slice(now).add(sums)
        return self._runs(rng, counts, now, direct, refused)

    def _answers(self, rng: random.Random, sums: Sums) -> None:
        stalls = 30.0 if rng.random() < 0.002 else 1.0  # a machine that is busy with something else
        for came, classes, more_ms in (
            (sums.direct, sums.direct_times, STORING_MS),
            (sums.control, sums.control_times, 0),
        ):
            count = min(came, int(SLICE_S / TIMED_S))
            left = count
            for ms, part in TIMES_MS[1:]:
                slow = min(left, poisson(rng, count * min(1.0, part * stalls)))
                classes[class_of((ms + more_ms) / 1000)] += slow
                left -= slow
            classes[class_of((TIMES_MS[0][0] + more_ms) / 1000)] += left

    def _runs(self, rng: random.Random, counts: RuleCounts, now: float, ended: int, refused: int) -> int:
        longest, places = 0, sorted(rng.sample(range(ended), refused))
        last = -1
        for place in places:
            if place != last + 1:
                counts._refused_at.clear()
            counts._refused_at.append(now)
            longest, last = max(longest, len(counts._refused_at)), place
        if ended and last != ended - 1:
            counts._refused_at.clear()
        return longest


def table(runs: int) -> Iterator[str]:
    """How long it takes until a broken page is found, in a table for people."""
    yield f"| repeat taps | {' | '.join(f'at {percent} %' for percent in PERCENTS)} |"
    yield f"|---|{'---|' * len(PERCENTS)}"
    for factor in FACTORS:
        cells = []
        for percent in PERCENTS:
            found = sorted(seconds_until_found(percent, factor, seed) for seed in range(runs))
            cells.append(f"{_for_people(statistics.median(found))} ({_for_people(found[-1])})")
        yield f"| × {factor:g} | {' | '.join(cells)} |"


def _for_people(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print(line, flush=True)  # noqa: T201  a table for people
