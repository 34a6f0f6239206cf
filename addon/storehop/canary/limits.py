"""When a canary stops: fixed limits on what a rule's clicks did in the last minute and since its step began: pure.

A share is bad where it is above its limit beyond chance: if the true share were the limit, so many or more bad ones of
n would be seen with a probability below CHANCE. By the Chernoff bound that probability is at most
exp(-n · KL(seen || limit)), so a healthy rule whose luck is bad for a minute is not stopped. Too little data neither
stops nor promotes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from storehop.canary.figures import EDGES_MS, LASTING, SLICE_S, Figures, Sums
from storehop.canary.repeats import ALARM, Arm

CHANCE = 1e-4
"""How improbable bad luck must be."""
LATE_S = 5.0
"""A call that is not delivered so long after its click is late."""
BREAKER_S = 30.0
SLOWER_MS = 50
"""By how much the 99th percentile of direct answers may be above control's."""
LEAST_ANSWERS, LEAST_TRIALS = 200, 500
"""Of each arm."""

RUN = 3
"""Refusals in a row that stop a rule."""
RUN_BY_CHANCE = 1e-3
"""How many runs of refusals a day may be chance: where that would be more, it takes a longer run."""
USUAL_REFUSALS = 1e-3
"""The share of refused calls that is always taken for possible."""
_MINUTES_A_DAY = 1440


class State(StrEnum):
    """What a signal says."""

    OK = "ok"
    BAD = "bad"
    TOO_FEW = "too_few"


class Signal(StrEnum):
    """What is watched. A closed list: it labels a metric."""

    S2S_REFUSED = "s2s_refused"
    S2S_LATE = "s2s_late"
    S2S_DEAD = "s2s_dead"
    CLICKS_FAIL = "clicks_fail"
    BREAKER_OPEN = "breaker_open"
    SLOW_ANSWERS = "slow_answers"
    REPEAT_TAPS = "repeat_taps"
    DRIFT = "drift"


class Finding(NamedTuple):
    """One signal of one rule."""

    signal: Signal
    state: State
    figure: str
    """In words, as it is."""
    limit: str
    """In words, with the least data."""

    @property
    def why(self) -> str:
        """For people, as the reason of a stop."""
        return f"{self.figure}; the limit is {self.limit}"


@dataclass(frozen=True, slots=True)
class ShareLimit:
    """A share of clicks or calls that may be bad."""

    most: float
    least: int
    """Clicks or calls without which nobody can tell."""
    least_bad: int = 1

    def judge(self, bad: int, of: int) -> State:
        """What so many bad ones of so many say."""
        if bad >= self.least_bad and of >= self.least and is_beyond_chance(bad, of, self.most):
            return State.BAD
        return State.OK if of >= self.least and bad <= of * self.most else State.TOO_FEW

    def __str__(self) -> str:
        least_bad = f", {self.least_bad} at the least" if self.least_bad > 1 else ""
        return f"{self.most:.1%} of {self.least} or more{least_bad}"


REFUSED = ShareLimit(0.01, 100)
LATE = ShareLimit(0.005, 200)
DEAD = ShareLimit(0.001, 100, least_bad=5)
FAIL = ShareLimit(0.01, 100)


def is_beyond_chance(bad: int, of: int, limit: float) -> bool:
    """Whether a share is above the limit, and that can't be bad luck."""
    if bad <= of * limit:
        return False
    share = bad / of
    divergence = share * math.log(share / limit)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - limit))
    return of * divergence > -math.log(CHANCE)


def judge(figures: Figures, harm: float) -> tuple[Finding, ...]:
    """Every signal, in the order of Signal. `harm` is the level of `repeats.Harm`."""
    minute, step = figures.minute, figures.step
    return (
        _refused(figures),
        _share(Signal.S2S_LATE, LATE, "not delivered within 5 s", _late(minute), _late(step)),
        _share(Signal.S2S_DEAD, DEAD, "given up", (minute.dead, minute.ended), (step.dead, step.ended)),
        _failing(figures),
        _breaker(figures.open_s),
        _slow(minute, step),
        _repeat_taps(figures, harm),
        _drift(figures.drifted),
    )


def _share(signal: Signal, limit: ShareLimit, what: str, minute: tuple[int, int], step: tuple[int, int]) -> Finding:
    """Bad where either the last minute or the whole step is; else what the step says."""
    if limit.judge(*minute) is State.BAD:
        return Finding(signal, State.BAD, f"{_of(*minute)} calls {what}, in the last minute", str(limit))
    return Finding(signal, limit.judge(*step), f"{_of(*step)} calls {what}", str(limit))


def _late(sums: Sums) -> tuple[int, int]:
    return max(0, sums.calls - sums.in_time), sums.calls


def _refused(figures: Figures) -> Finding:
    run, needed = len(figures.refused_at), run_needed(figures)
    minute, step = figures.minute, figures.step
    by_share = _share(
        Signal.S2S_REFUSED, REFUSED, "refused", (minute.refused, minute.ended), (step.refused, step.ended)
    )
    limit = f"{needed} in a row, or {by_share.limit}"
    if run >= needed:
        return Finding(by_share.signal, State.BAD, f"{run} calls in a row refused by AppsFlyer", limit)
    return by_share._replace(limit=limit)


def run_needed(figures: Figures) -> int:
    """Refusals in a row that stop the rule: RUN, or more where a rule's traffic has such runs by chance.

    That is so above some ten calls a second (a call in a thousand is refused), or where it was refused more before.
    """
    run, step = len(figures.refused_at), figures.step
    before = max(0, step.refused - run) / max(1, step.ended - run)
    share = min(max(before, USUAL_REFUSALS), REFUSED.most)
    calls_a_day = max(1, figures.minute.ended * _MINUTES_A_DAY)
    return max(RUN, math.ceil(math.log(RUN_BY_CHANCE / calls_a_day) / math.log(share)))


def _failing(figures: Figures) -> Finding:
    """Bad where clicks fail all the time, in each slice that has any: a hiccup passes by itself."""
    minute = figures.minute
    failed, sampled = minute.failed, minute.failed + minute.direct
    state = FAIL.judge(failed, sampled)
    shares = [bad > of * FAIL.most for of, bad in figures.slices if of]
    if state is State.BAD and not (all(shares) and figures.slices[-1][0]):
        state = State.TOO_FEW
    figure = f"{_of(failed, sampled)} clicks passed since AppsFlyer, the outbox or storehop failed, in the last minute"
    return Finding(Signal.CLICKS_FAIL, state, figure, f"{FAIL}, for {LASTING * SLICE_S} s")


def _breaker(open_s: float) -> Finding:
    state = State.BAD if open_s > BREAKER_S else State.OK
    figure = f"AppsFlyer has failed for {open_s:.0f} s" if open_s else "AppsFlyer answers"
    return Finding(Signal.BREAKER_OPEN, state, figure, f"{BREAKER_S:.0f} s")


def _slow(minute: Sums, step: Sums) -> Finding:
    limit = f"{SLOWER_MS} ms slower than control, of {LEAST_ANSWERS} or more each"
    for sums, when in ((minute, ", in the last minute"), (step, "")):
        if is_slower(sums.direct_times, sums.control_times):
            return Finding(Signal.SLOW_ANSWERS, State.BAD, _times(sums) + when, limit)
    enough = min(sum(step.direct_times), sum(step.control_times)) >= LEAST_ANSWERS
    return Finding(Signal.SLOW_ANSWERS, State.OK if enough else State.TOO_FEW, _times(step), limit)


def is_slower(direct: Sequence[int], control: Sequence[int]) -> bool:
    """Whether the 99th percentile of direct answers is SLOWER_MS above control's, beyond chance. Counts by class."""
    n, m = sum(direct), sum(control)
    if min(n, m) < LEAST_ANSWERS:
        return False
    usual = _edge_above(control, max(0.0, 0.01 * m - 2 * math.sqrt(0.01 * m)))  # as high as control's may be
    if usual is None:
        return False
    slower = sum(
        count for edge, count in zip((0, *EDGES_MS), direct, strict=True) if edge >= EDGES_MS[usual] + SLOWER_MS
    )
    return is_beyond_chance(slower, n, 0.01)


def _edge_above(counts: Sequence[int], most: float) -> int | None:
    """The lowest edge above which at most so many lie; None where even the highest has more above it."""
    above = sum(counts)
    for place in range(len(EDGES_MS)):
        above -= counts[place]
        if above <= most:
            return place
    return None


def _times(sums: Sums) -> str:
    direct, control = (_p99(counts) for counts in (sums.direct_times, sums.control_times))
    n, m = sum(sums.direct_times), sum(sums.control_times)
    return f"99 % of {n:,} direct answers that were timed within {direct}, of {m:,} of control's within {control}"


def _p99(counts: Sequence[int]) -> str:
    n = sum(counts)
    place = _edge_above(counts, 0.01 * n)
    return "-" if not n else f"{EDGES_MS[place]} ms" if place is not None else f"more than {EDGES_MS[-1]} ms"


def _repeat_taps(figures: Figures, harm: float) -> Finding:
    trials, repeats = figures.taps.trials, figures.taps.repeats
    state = State.BAD if harm > ALARM else State.OK
    if min(trials) < LEAST_TRIALS:
        state = State.TOO_FEW
    direct, control = (_of(repeats[arm], trials[arm]) for arm in Arm)
    figure = f"{direct} people tapped again after a direct answer, {control} of control; evidence {harm:.1f}"
    limit = f"evidence of {ALARM:.1f}, of {LEAST_TRIALS} or more each"
    return Finding(Signal.REPEAT_TAPS, state, figure, limit)


def _drift(drifted: int) -> Finding:
    state = State.BAD if drifted else State.OK
    return Finding(Signal.DRIFT, state, f"{drifted} with another app or store than AppsFlyer's redirect", "0")


def _of(bad: int, of: int) -> str:
    return f"{bad:,} of {of:,} ({bad / of:.2%})" if of else "0 of 0"
