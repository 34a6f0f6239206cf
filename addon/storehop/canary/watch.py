"""The canary of one process: counts the clicks of the rules that say `canary: auto`, adds up what all processes have
counted, and stops a rule whose clicks do harm.

It takes part in the looks at the outbox's marks (`canary.stops`). Refusals and drift are judged at once, all else with
each look; that goes on while the outbox is down. Any process may stop a rule, and one is enough.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping

from storehop.canary.counts import RuleCounts
from storehop.canary.figures import total
from storehop.canary.limits import Finding, Signal, State, judge
from storehop.canary.repeats import Arm, Harm, Tapping
from storehop.canary.stop import Resumed, Stop
from storehop.canary.sums import PREFIX, Counted, Others, to_text
from storehop.decide import address
from storehop.decide.drift import Compared, Kind
from storehop.decide.rules import EVERY_RULE, RuleSet
from storehop.model import Click, Decision, Direct, Reason, RetryIn, Settled
from storehop.observe.watchers import Watcher
from storehop.settings import Canary, Mode, Rule

logger = logging.getLogger(__name__)

MAX_WATCHED = 64
"""Rules: the first ones in the file's order."""
QUIET_S = 600.0
"""A process that has counted nothing for so long takes its mark away until it does."""
HEARTBEAT_S = 5.0
"""A mark changes so often, even where nothing is counted: one that stays as it is belongs to a process that ended."""
UNHEARD_S = 1.5
"""Without a look that worked for so long the rules are judged all the same."""
LAG_S = 2.0
"""Late calls must be seen for so long: that another process has delivered one is heard with a later look."""
MAX_WAITING = 20_000
"""Calls that are to be sent again, of which we may hear that they got too old."""

JUDGING_S = 0.01
"""Of a look's time: clicks wait meanwhile. Rules for which it was too short have their turn with the next look."""

FAILURES = frozenset({Reason.OUTBOX_DOWN, Reason.S2S_DOWN, Reason.ERROR})
"""Why clicks pass that were within the rule's share."""
HARMFUL = frozenset({Kind.OTHER_APP, Kind.OTHER_STORE})


class CanaryWatch(Watcher):
    """Made on the loop. `failed_s` says how long of the last seconds an origin has failed with its breaker open, `stop`
    stops a rule, `stopped` names those that are.
    """

    def __init__(
        self,
        holder: str,
        failed_s: Callable[[str, float], float],
        stop: Callable[[Stop], None],
        stopped: Callable[[], Collection[str]],
        *,
        wall: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mark = PREFIX + holder
        self._failed_s, self._stop, self._stopped = failed_s, stop, stopped
        self._wall, self._uptime = wall, uptime
        self._proxies = address.Proxies()
        self._counts: dict[str | None, RuleCounts] = {}
        self._harm: dict[str, Harm] = {}
        self._begun_at: dict[str, float] = {}
        """Of each rule's step, an uptime."""
        self._late_since: dict[str, float] = {}
        self._resumed: dict[str, float] = {}
        self._resumes: Mapping[str, Resumed] = {}
        self._tapping, self._others = Tapping(), Others(self._mark)
        self._waiting: OrderedDict[str, RuleCounts] = OrderedDict()
        self._said, self._said_at, self._is_said = "", 0.0, False
        self._judged_at, self._turn = 0.0, hash(holder)  # elsewhere other rules come first

    def use(self, rules: RuleSet) -> None:
        """Watches these rules from now on. A rule that has changed begins a new step."""
        self._proxies = rules.proxies
        watched = [rule for _, rule in rules.rules if rule.canary is Canary.AUTO and rule.mode is Mode.DIRECT]
        if len(watched) > MAX_WATCHED:
            logger.warning("canary: %d rules say auto; the first %d are watched", len(watched), MAX_WATCHED)
        before, self._counts = self._counts, {}
        for rule in watched[:MAX_WATCHED]:
            counts = before.get(rule.name)
            if counts and counts.rule == rule:
                self._counts[rule.name] = counts
            else:
                self._begin(rule)

    def _begin(self, rule: Rule) -> None:
        """A new step."""
        self._counts[rule.name] = RuleCounts(rule, self._wall())
        self._harm[rule.name] = Harm()
        self._begun_at[rule.name] = self._uptime()
        self._resumed[rule.name] = self._resumes_of(rule.name)

    # clicks

    def answered(self, click: Click, decision: Decision, _seconds: float = 0.0, whole_s: float = 0.0) -> None:
        counts = self._counts.get(decision.rule)
        if counts is None:
            return
        if isinstance(decision, Direct):
            if not decision.repeats:
                counts.direct(decision.call, self._wall(), whole_s)
            self._tap(click, decision, counts, Arm.DIRECT)
        elif decision.reason is Reason.NOT_SAMPLED:
            counts.control(self._wall(), whole_s)
            self._tap(click, decision, counts, Arm.CONTROL)
        elif decision.reason in FAILURES:
            counts.failed(self._wall())

    def settled(self, settled: Settled) -> None:
        counts = self._counts.get(settled.call.rule)
        if counts is None:
            return
        if isinstance(settled.verdict, RetryIn):
            if counts.concerns(settled, self._wall()):
                self._waiting[settled.call.id] = counts
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            return
        if self._waiting:
            self._waiting.pop(settled.call.id, None)
        if counts.settled(settled, self._wall()):
            self._judge(counts)

    def expired(self, call_ids: tuple[str, ...]) -> None:
        for call_id in call_ids:
            if counts := self._waiting.pop(call_id, None):
                counts.expired(call_id, self._wall())

    def drifted(self, rule: str, _app: str, compared: Compared) -> None:
        counts = self._counts.get(rule)
        if counts and compared.kind in HARMFUL:
            counts.drift(self._wall())
            self._judge(counts)

    def _tap(self, click: Click, decision: Decision, counts: RuleCounts, arm: Arm) -> None:
        """The key is a number that says nothing outside of this process."""
        client = address.farthest_address(click.peer, click.headers, self._proxies)
        key = hash((counts.rule.name, client, click.headers.get("user-agent"), decision.app))
        self._tapping.tap(key, counts.trials, arm, self._uptime())

    # looks

    def marks(self) -> Mapping[str, str | None]:
        """What goes out with the next look."""
        now = self._uptime()
        if now - self._judged_at > UNHEARD_S:
            self._judge_all()
        texts: dict[str, str | None] = dict.fromkeys(self._others.gone(now, self._wall()))
        rules = self._active()
        if not rules:
            return {**texts, self._mark: None} if self._is_said else texts
        said = to_text(0.0, rules)
        if not self._is_said or said != self._said or now - self._said_at >= HEARTBEAT_S:
            texts[self._mark] = to_text(self._wall(), rules)
            self._said, self._said_at = said, now
        return texts

    def heard(self, marks: Mapping[str, str]) -> None:
        """What all processes say now."""
        self._is_said = self._mark in marks
        self._others.hear(marks, self._uptime())
        self._resumes = Resumed.of_marks(marks)
        for counts in list(self._counts.values()):
            if self._resumes_of(counts.rule.name) != self._resumed[counts.rule.name]:
                self._begin(counts.rule)
        self._judge_all()

    def _resumes_of(self, rule: str) -> float:
        """See `Counted.resumed`. The latest one's time alone would not do: hosts' clocks differ."""
        return round(sum(self._resumes[name].at for name in (rule, EVERY_RULE) if name in self._resumes), 3)

    def _active(self) -> dict[str, Counted]:
        """What this process says of the rules, where it has counted anything of late."""
        now, stopped = self._wall(), self._stopped()
        if not any(now - counts.last < QUIET_S for counts in self._counts.values()):
            return {}
        found = {}
        for name, counts in self._watched(stopped):
            figures = counts.figures(now, self._breaker_s(counts))
            if not figures.is_empty:
                step = _step(counts.rule)
                found[name] = Counted(step, self._resumed[name], self._harm[name].level, figures)
        return found

    def _watched(self, stopped: Collection[str]) -> Iterable[tuple[str, RuleCounts]]:
        if EVERY_RULE not in stopped:
            for counts in list(self._counts.values()):
                if counts.rule.name not in stopped:
                    yield counts.rule.name, counts

    def _breaker_s(self, counts: RuleCounts) -> float:
        step_s = self._uptime() - self._begun_at[counts.rule.name]
        return max((self._failed_s(origin, step_s) for origin in counts.origins), default=0.0)

    # judgement

    def _judge_all(self) -> None:
        self._judged_at = self._uptime()
        self._tapping.expire(self._judged_at)
        watched = [counts for _, counts in self._watched(self._stopped())]
        end = time.perf_counter() + JUDGING_S
        for _ in watched:
            self._turn = (self._turn + 1) % len(watched)
            self._judge(watched[self._turn])
            if time.perf_counter() >= end:
                return

    def _judge(self, counts: RuleCounts) -> None:
        """Stops the rule if anything is bad."""
        name = counts.rule.name
        if {name, EVERY_RULE} & set(self._stopped()):
            return
        bad = next((one for one in self._findings(counts) if one.state is State.BAD), None)
        if bad is None or bad.signal is not Signal.S2S_LATE:
            self._late_since.pop(name, None)
        elif self._uptime() - self._late_since.setdefault(name, self._uptime()) < LAG_S:
            return
        if bad:
            self._stop(Stop(name, self._wall(), bad.signal, bad.why))

    def _findings(self, counts: RuleCounts) -> tuple[Finding, ...]:
        """What all processes have counted says."""
        name = counts.rule.name
        own = counts.figures(self._wall(), self._breaker_s(counts))
        others = self._others.of(name, _step(counts.rule), self._resumed[name], self._uptime())
        parts = {self._mark: own, **{mark: one.figures for mark, one in others.items()}}
        harm = self._harm[name]
        harm.hear({(mark, part.begun): part.taps.log_ratios for mark, part in parts.items()})
        return judge(total(parts.values()), harm.level)


def _step(rule: Rule) -> str:
    """What must be the same where counts are to add up."""
    return f"{rule.percent:g}"
