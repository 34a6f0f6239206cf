"""One rule's counts in one process, by slices of a few seconds: what `figures` are made of.

Whether a call is late is told without following it: calls are counted in the slice in which their click came, which its
id says (UUIDv7), and so are those that ended in time. What is missing five seconds after a slice is late. So a call
that hangs is seen, another process may deliver it, and no memory grows with what is open.
"""

from __future__ import annotations

from storehop.canary.figures import LASTING, MAX_RUN, SLICE_S, Figures, Sums, class_of
from storehop.canary.limits import LATE_S
from storehop.canary.repeats import Arm, Trials
from storehop.model import Dead, DeadReason, RetryIn, S2SCall, Settled
from storehop.settings import Rule

_MINUTE = 12
"""Slices."""
_YOUNG = 2
"""Slices whose calls may be under way yet: this one, and the one before."""
_KEPT = _MINUTE + _YOUNG
_MAX_ORIGINS = 16
TIMED_S = 0.25
"""Of the answers of so long one is timed in each arm: a machine that stops for a moment keeps many clicks waiting, and
that is one fault and not many.
"""

REVIVED_S = 60.0
"""A call that is so much younger than its click is a dead letter that a person has revived. Clocks differ by less."""

REFUSALS = frozenset({DeadReason.REJECTED, DeadReason.REDIRECT_NOT_HONOURED})


class RuleCounts:
    """Since the step began. Times are Unix seconds."""

    def __init__(self, rule: Rule, begun: float) -> None:
        self.rule, self.begun = rule, int(begun * 1000) / 1000  # ids have milliseconds
        self.trials = Trials()
        self.origins: set[str] = set()
        """That the rule's calls go to."""
        self.drifted = 0
        self.last = 0.0
        """When something was last counted."""
        self._taken_at, self._refused_at = 0.0, list[float]()
        self._timed_at = [0.0, 0.0]
        self._slices: dict[int, Sums] = {}
        self._before = Sums()
        """Older than what is in slices."""

    # what happens

    def direct(self, call: S2SCall, now: float, seconds: float) -> None:
        """A click went direct; that took so many seconds."""
        came = _came(call.id, now)
        if not self._is_of_step(came, now):
            return
        sums = self._slice(now)
        sums.direct += 1
        if self._is_timed(Arm.DIRECT, now):
            sums.direct_times[class_of(seconds)] += 1
        self._slice(came, now).calls += 1
        if len(self.origins) < _MAX_ORIGINS:
            self.origins.add(call.origin)

    def control(self, now: float, seconds: float) -> None:
        """A click outside of the rule's share passed."""
        sums = self._slice(now)
        sums.control += 1
        if self._is_timed(Arm.CONTROL, now):
            sums.control_times[class_of(seconds)] += 1

    def failed(self, now: float) -> None:
        """A click within the rule's share had to pass."""
        self._slice(now).failed += 1

    def settled(self, settled: Settled, now: float) -> bool:
        """An attempt is over. Whether that was a refusal."""
        if isinstance(settled.verdict, RetryIn) or not self.concerns(settled, now):
            return False
        came = _came(settled.call.id, now)
        sums = self._slice(now)
        sums.ended += 1
        if settled.age <= LATE_S:
            self._slice(came, now).in_time += 1
        if not isinstance(settled.verdict, Dead):
            self._taken_at = now
            self._refused_at.clear()
        elif settled.verdict.reason in REFUSALS:
            sums.refused += 1
            self._refused_at = [*self._refused_at[1 - MAX_RUN :], now]
            return True
        else:
            sums.dead += 1
        return False

    def expired(self, call_id: str, now: float) -> None:
        """A call got too old to be sent."""
        if self._is_of_step(_came(call_id, now), now):
            sums = self._slice(now)
            sums.ended += 1
            sums.dead += 1

    def drift(self, now: float) -> None:
        """AppsFlyer's own redirect led to another app, or to another store."""
        self.drifted += 1
        self.last = now

    def concerns(self, settled: Settled, now: float) -> bool:
        """Whether it is of a click of this step, for the first time."""
        came = _came(settled.call.id, now)
        return self._is_of_step(came, now) and now - came <= settled.age + REVIVED_S

    def _is_of_step(self, came: float, now: float) -> bool:
        """Whether a click that came then counts. Where the clock was set back the step begins now."""
        if now < self.begun:
            self.begun, self._taken_at = int(now * 1000) / 1000, min(self._taken_at, now)
        return came >= self.begun

    # what is known

    def figures(self, now: float, open_s: float = 0.0) -> Figures:
        """As it is now; `open_s` is how long AppsFlyer has failed in this step, with a breaker open."""
        newest = int(now // SLICE_S)
        self._age(newest)
        minute, step = Sums(), Sums()
        step.add(self._before)
        for place, sums in self._slices.items():
            step.add_events(sums)
            if place > newest - _MINUTE:
                minute.add_events(sums)
            if place <= newest - _YOUNG:
                step.add_calls(sums)
                minute.add_calls(sums)
        return Figures(
            self.begun,
            minute,
            step,
            [self._sampled(newest - age) for age in range(LASTING)],
            self._taken_at,
            list(self._refused_at),
            open_s,
            self.drifted,
            self.trials.taps,
        )

    def _is_timed(self, arm: Arm, now: float) -> bool:
        """Whether this answer's time counts."""
        if 0 <= now - self._timed_at[arm] < TIMED_S:
            return False
        self._timed_at[arm] = now
        return True

    def _sampled(self, place: int) -> tuple[int, int]:
        """Clicks within the share in this slice, and those that failed."""
        sums = self._slices.get(place)
        return (sums.direct + sums.failed, sums.failed) if sums else (0, 0)

    def _slice(self, at: float, now: float | None = None) -> Sums:
        """The slice of a time: the oldest for what is long over, the newest for what is to come (a clock went back)."""
        if now is None:
            self.last = now = at
        newest = int(now // SLICE_S)
        place = min(max(int(at // SLICE_S), newest - _KEPT + 1), newest)
        if (sums := self._slices.get(place)) is None:
            self._age(newest)
            sums = self._slices[place] = Sums()
        return sums

    def _age(self, newest: int) -> None:
        """What is older than the slices that are kept is added up."""
        for place in [one for one in self._slices if one <= newest - _KEPT or one > newest]:
            self._before.add(self._slices.pop(place))


def _came(call_id: str, now: float) -> float:
    """When the click of this call came: its id says it. Now, where it is no UUIDv7."""
    try:
        return int(call_id[:8] + call_id[9:13], 16) / 1000 if call_id[14] == "7" else now
    except (ValueError, IndexError):
        return now
