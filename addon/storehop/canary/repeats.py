"""Repeat taps: people tap again where the store's page did not open. Nothing else sees that from here (design §11).

A first tap of (client, User-Agent, app) opens a trial in its arm: direct, or control, whichever this click was in. A
further tap of the same within a minute is the trial's repeat, whatever arm it is in itself: the arm is drawn for each
click, so repeats are grouped by the first tap.

If direct answers do no harm, a repeat comes from any of the open trials alike: from a direct one with the probability
w, the direct share of the trials that are open now. Under harm of the odds θ it does so with θ·w / (θ·w + 1 - w).
The logarithm of the ratio of the two is added for each repeat. That compares people of the same minute, so neither
the time of day nor a change of traffic moves it; and these numbers of several processes add up.

`Harm` is a CUSUM over them: it forgets what speaks against harm, so a page that breaks on the third day is found as
fast as on the first. A healthy rule gets above ALARM once in e^ALARM repeats or less often, whatever its traffic is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping
from enum import IntEnum

from storehop.canary.figures import ODDS, Taps

REPEAT_S = 60.0
"""How long a tap is the repeat of a first one."""
TOO_SOON_S = 1.0
"""What comes sooner says nothing of the store's page: a double tap, or a browser that asks again by itself."""
MAX_TRIALS = 100_000
"""Of one process, at any time; about 200 bytes each. The oldest makes room."""
ALARM = math.log(1e9)
"""Of a level of `Harm`: above it the rule stops."""


class Arm(IntEnum):
    """Of a click."""

    DIRECT = 0
    CONTROL = 1


class Trials:
    """One rule's: what is counted, and how many trials of each arm wait for a repeat."""

    def __init__(self) -> None:
        self.taps = Taps()
        self.open = [0, 0]

    def begin(self, arm: Arm) -> None:
        """A first tap."""
        self.taps.trials[arm] += 1
        self.open[arm] += 1

    def repeat(self, arm: Arm) -> None:
        """The first repeat of a trial of this arm."""
        self.taps.repeats[arm] += 1
        direct, control = self.open
        share = direct / (direct + control)
        for place, odds in enumerate(ODDS):
            self.taps.log_ratios[place] += log_ratio(arm, odds, share)
        self.open[arm] -= 1

    def lapse(self, arm: Arm) -> None:
        """A trial had no repeat in its time."""
        self.open[arm] -= 1


def log_ratio(arm: Arm, odds: float, share: float) -> float:
    """What one repeat says for harm of these odds, where `share` of the open trials are direct."""
    return math.log((odds if arm is Arm.DIRECT else 1.0) / (odds * share + 1 - share))


class Trial:
    """A first tap, of which a repeat has come or not."""

    __slots__ = ("arm", "begun", "is_open", "trials")

    def __init__(self, trials: Trials, arm: Arm, begun: float) -> None:
        self.trials, self.arm, self.begun = trials, arm, begun
        self.is_open = True


class Tapping:
    """One process's first taps of the last minute. Keys say who tapped on what; they never leave the process.

    Times are seconds by any clock that never jumps.
    """

    def __init__(self) -> None:
        self._trials: dict[Hashable, Trial] = {}
        self._by_age: deque[tuple[Hashable, Trial]] = deque()

    def tap(self, key: Hashable, trials: Trials, arm: Arm, now: float) -> None:
        """A tap: a first one, or the repeat of one."""
        self.expire(now)
        first = self._trials.get(key)
        if first is None:
            self._begin(key, Trial(trials, arm, now))
        elif first.is_open and now - first.begun >= TOO_SOON_S:
            first.is_open = False
            first.trials.repeat(first.arm)

    def expire(self, now: float) -> None:
        """Ends the trials whose time is over."""
        while self._by_age and now - self._by_age[0][1].begun >= REPEAT_S:
            self._end_oldest()

    def _begin(self, key: Hashable, trial: Trial) -> None:
        if len(self._by_age) >= MAX_TRIALS:
            self._end_oldest()
        self._trials[key] = trial
        self._by_age.append((key, trial))
        trial.trials.begin(trial.arm)

    def _end_oldest(self) -> None:
        key, trial = self._by_age.popleft()
        del self._trials[key]
        if trial.is_open:
            trial.trials.lapse(trial.arm)


class Harm:
    """The levels of one rule's evidence: a CUSUM for each of ODDS over what all processes have added since."""

    def __init__(self) -> None:
        self.levels = [0.0] * len(ODDS)
        self._before: dict[Hashable, list[float]] = {}

    @property
    def level(self) -> float:
        """The highest."""
        return max(self.levels)

    def hear(self, log_ratios: Mapping[Hashable, list[float]]) -> None:
        """Each process's log ratios now, by who it is and which step it counts in.

        What a process had when it is first heard counts for nothing, and what one had that is gone stays as it is: a
        process's end is no evidence.
        """
        for place in range(len(ODDS)):
            more = sum(new[place] - self._before[who][place] for who, new in log_ratios.items() if who in self._before)
            self.levels[place] = max(0.0, self.levels[place] + more)
        self._before = {who: list(ratios) for who, ratios in log_ratios.items()}
