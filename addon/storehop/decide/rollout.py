"""The rollout: which of the clicks that can go direct do so (design §3, §11). It is applied last.

A rule that is stopped lets all pass; else it takes its percent of the clicks, and one that observes takes none.
"""

from __future__ import annotations

import hashlib

from storehop.decide import address
from storehop.decide.rules import RuleSet
from storehop.model import Click, Decision, Direct, Pass, Reason
from storehop.settings import Mode, Rule


def gate(click: Click, rule: Rule, rules: RuleSet) -> Reason | None:
    """Why a click passes though it could go direct."""
    if rules.are_at_their_most:
        return None
    if rules.stopped and rules.is_stopped(rule.name):
        return Reason.STOPPED
    if rule.percent < 100 and not _is_sampled(click, rules.proxies, rule.percent):  # noqa: PLR2004  per cent
        return Reason.NOT_SAMPLED
    return Reason.OBSERVED if rule.mode is Mode.OBSERVE else None


def _is_sampled(click: Click, proxies: address.Proxies, percent: float) -> bool:
    """Whether the click is in the rule's share. The same link from the same device always gets the same answer.

    The hash must stay as it is for ever: another one would move people between the arms of a running test.
    """
    farthest = address.farthest_address(click.peer, click.headers, proxies)
    who = f"{click.link}\n{farthest}\n{click.headers.get('user-agent', '')}"
    digest = hashlib.blake2b(who.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) < percent / 100 * 2**64


class Rollout:
    """Tells what rules would do at their most, and from that what they do as they are: a click is decided on once."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._by_name = {rule.name: rule for _, rule in rules.rules}
        self.whole = rules.at_their_most()
        """The same rules, each one direct at 100 % and none stopped."""

    def as_configured(self, click: Click, decision: Decision) -> Decision:
        """What `decide(click, rules)` gives, of what `decide(click, whole)` gave."""
        rule = self._by_name.get(decision.rule or "")
        if rule is None:
            return decision
        if rule.mode is Mode.OFF:
            return Pass(Reason.RULE_OFF, rule.name, decision.app, decision.platform, decision.store)
        reason = gate(click, rule, self._rules) if isinstance(decision, Direct) else None
        return Pass(reason, rule.name, decision.app, decision.platform, decision.store) if reason else decision
