"""Drift, live: what AppsFlyer answers to clicks that pass through a forward proxy, against what we would do (§11).

A reverse proxy never sees AppsFlyer's answer: there nothing is kept and nothing compared.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple
from weakref import WeakKeyDictionary

from mitmproxy import http
from mitmproxy.proxy import mode_specs

from storehop.decide import link
from storehop.decide.decision import decide
from storehop.decide.drift import IN_WORDS, OWN_HOP, Compared, Kind, compare
from storehop.decide.rules import RuleSet
from storehop.decide.target import absolute, difference
from storehop.handler import ClickHandler
from storehop.host.tuning import OptionalInspector
from storehop.model import Click, Direct, Pass, Reason

logger = logging.getLogger(__name__)

LINES_OF_A_KIND = 3
"""That are logged of an app and a kind."""
MAX_LOGGED = 1000
"""Apps and kinds that lines are counted for: of more nothing is logged."""
_WOULD_GO_DIRECT = frozenset({Reason.OBSERVED, Reason.NOT_SAMPLED, Reason.STOPPED})


class _Watched(NamedTuple):
    """A click that passed and could have gone direct."""

    click: Click
    rules: RuleSet


class Drift:
    """Watches passing clicks until AppsFlyer has answered."""

    def __init__(self, handler: ClickHandler, inspector: OptionalInspector) -> None:
        self._handler = handler
        self._inspector = inspector
        self._watched: WeakKeyDictionary[http.HTTPFlow, _Watched] = WeakKeyDictionary()
        self._logged: Counter[tuple[str, Kind]] = Counter()
        self.is_watching = False
        """Whether a click was watched ever: never in reverse mode."""

    def watch(self, flow: http.HTTPFlow, click: Click, decision: Pass, rules: RuleSet) -> None:
        """A click at answer passes: AppsFlyer will answer it itself."""
        is_reverse = isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode)
        if not is_reverse and not flow.is_replay and decision.reason in _WOULD_GO_DIRECT:
            self._watched[flow] = _Watched(click, rules)
            self.is_watching = True

    def compare(self, flow: http.HTTPFlow) -> None:
        """The answer's head is there: tells of it, where this flow's click is watched."""
        if flow not in self._watched or flow.response is None:
            return
        click, rules = self._watched.pop(flow)
        ours = decide(click, rules.at_their_most())
        if not isinstance(ours, Direct):
            return
        locations = flow.response.headers.get_all("location")
        theirs = absolute(click.link, locations[0]) if len(locations) == 1 else None
        compared = _compared(ours.location, theirs, flow.response.status_code, rules)
        self._handler.drifted(ours.rule, ours.app, compared)
        if self._inspector:
            self._inspector.compared(flow, IN_WORDS[compared.kind])
        self._log(ours, theirs, compared)

    def _log(self, ours: Direct, theirs: str | None, compared: Compared) -> None:
        key = (ours.app, compared.kind)
        if compared.kind is Kind.SAME or (key not in self._logged and len(self._logged) >= MAX_LOGGED):
            return
        self._logged[key] += 1
        if self._logged[key] <= LINES_OF_A_KIND:
            level = logging.WARNING if compared.kind.is_drift else logging.INFO
            words = compared.why or difference(ours.location, theirs)
            logger.log(level, "drift: app %s, rule %s: %s: %s", ours.app, ours.rule, compared.kind, words)


def _compared(ours: str, theirs: str | None, status: int, rules: RuleSet) -> Compared:
    url = link.split(theirs) if theirs else None
    if url and rules.is_attribution_host(url.host):
        return Compared(Kind.NOT_COMPARABLE, why=OWN_HOP)
    return compare(ours, theirs, status)
