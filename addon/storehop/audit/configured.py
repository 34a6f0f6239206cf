"""What happens by the rules as they are, and how many S2S calls a second they can come to."""

from __future__ import annotations

from storehop.audit.names import by_size
from storehop.audit.pace import MINUTE_S, Peaks, is_time
from storehop.audit.repeats import Window
from storehop.audit.report import Configured, Report
from storehop.decide.rollout import Rollout
from storehop.model import Click, Decision, Direct, Reason

OUTAGE_S = 120
"""For which an outbox must have room: calls that are older are worth nothing."""


class AsConfigured:
    """Counts clicks as the rules are, and calls as if each rule were direct at 100 %: no more can come."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._direct = 0
        self._duplicate = 0
        self._reasons: dict[Reason, int] = {}
        self._window = Window()
        self._whole_window = Window()
        self._seconds = Peaks()
        self._minutes = Peaks(MINUTE_S)

    def add(self, click: Click, whole: Decision, at: float | None) -> None:
        """Counts a click of which the rules at their most do `whole`, at these Unix seconds if they are known."""
        decision = self._rollout.as_configured(click, whole)
        time = at if is_time(at) else None
        if time is not None and isinstance(whole, Direct) and not self._whole_window.repeats(whole.likeness, time):
            self._seconds.add(time)
            self._minutes.add(time)
        if not isinstance(decision, Direct):
            self._reasons[decision.reason] = self._reasons.get(decision.reason, 0) + 1
        elif time is not None and self._window.repeats(decision.likeness, time):
            self._duplicate += 1
        else:
            self._direct += 1

    def fill(self, report: Report) -> None:
        """Writes the figures so far into the report."""
        reasons = by_size({str(reason): number for reason, number in self._reasons.items()})
        clicks = self._direct + self._duplicate + sum(reasons.values())
        report.configured = Configured(clicks, self._direct, self._duplicate, reasons)
        report.peak_calls_per_second = self._seconds.highest
        report.p99_calls_per_second = self._seconds.p99()
        report.calls_in_an_outage = self._minutes.highest * (OUTAGE_S // MINUTE_S)
