"""Drift, live: which clicks are watched, and what is made of AppsFlyer's answers (design §11)."""

import gc
import logging

import pytest
from mitmproxy import http

from storehop.decide.decision import decide
from storehop.decide.drift import IN_WORDS, OWN_HOP, Kind
from storehop.decide.rules import EVERY_RULE
from storehop.host import drift as module
from storehop.host import flows
from storehop.host.drift import Drift
from storehop.settings import Mode, Rule
from tests.support.clicks import rule_set
from tests.support.scenes import link_of

APP = "com.example.game"
OBSERVING = rule_set(Rule("games", partner="NetworkA", mode=Mode.OBSERVE))
OTHER = "market://details?id=com.example.other"


class Journal:
    """Stands for the handler and for the inspector: writes down what it hears."""

    def __init__(self):
        self.heard, self.shown = [], []

    def drifted(self, rule, app, compared):
        self.heard.append((rule, app, compared.kind, compared.why))

    def compared(self, flow, words):
        self.shown.append((flow, words))


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def drift(journal):
    return Drift(journal, journal)


@pytest.fixture
def meet(browse, drift):
    """Has a click at AppsFlyer watched and answered; the flow."""

    def meet(location, status=302, rules=OBSERVING, mode="regular", link=None, is_replay=None):
        flow = browse("/", "app.appsflyer.com", mode)
        flow.is_replay = is_replay
        click = flows.read(flow, flows.headers_of(flow.request), link or link_of("d1"), "c1", at_answer=True)
        drift.watch(flow, click, decide(click, rules), rules)
        fields = [(b"Location", one.encode()) for one in ([location] if isinstance(location, str) else location)]
        flow.response = http.Response.make(status, b"", http.Headers(fields))
        drift.compare(flow)
        return flow

    return meet


@pytest.mark.parametrize("mode", ["regular", "upstream:http://proxy.test:8080", "socks5", "transparent", "wireguard"])
def test_every_mode_that_sees_appsflyer_compares(meet, journal, mode):
    """A phone's taps come by any of them."""
    meet(OTHER, mode=mode)

    assert [("games", APP, Kind.OTHER_APP, "")] == journal.heard


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(rule_set(Rule("games", partner="NetworkA", percent=0.0)), id="outside the percent"),
        pytest.param(rule_set(Rule("games", partner="NetworkA")).with_stopped(frozenset({"games"})), id="stopped"),
        pytest.param(rule_set().with_stopped(frozenset({EVERY_RULE})), id="all stopped"),
    ],
)
def test_a_click_that_could_go_direct_is_compared(meet, journal, rules):
    """Whatever keeps it from doing so for now."""
    meet(OTHER, rules=rules)

    assert [Kind.OTHER_APP] == [kind for _, _, kind, _ in journal.heard]


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"mode": "reverse:http://ads.example:8000"}, id="a reverse proxy: it is not AppsFlyer's answer"),
        pytest.param({"is_replay": "request"}, id="a replay"),
        pytest.param({"link": link_of("d2", "&signature=x")}, id="a click that passes anyway"),
        pytest.param({"rules": rule_set(Rule("games", mode=Mode.OFF))}, id="a rule that is off"),
    ],
)
def test_another_click_is_not_compared(meet, journal, keys):
    """Nobody would have answered it in AppsFlyer's place."""
    meet(OTHER, **keys)

    assert [] == journal.heard


@pytest.mark.parametrize(
    ("location", "status", "kind"),
    [
        pytest.param("/again", 302, Kind.NOT_COMPARABLE, id="relative: AppsFlyer's own hop"),
        pytest.param("//www.example.com/", 302, Kind.WEB_PAGE, id="without a scheme"),
        pytest.param("http://[", 302, Kind.WEB_PAGE, id="nonsense"),
        pytest.param([], 302, Kind.NOT_COMPARABLE, id="a redirect without Location"),
        pytest.param([OTHER, OTHER], 302, Kind.NOT_COMPARABLE, id="two of them"),
        pytest.param(OTHER, 200, Kind.NOT_COMPARABLE, id="no redirect"),
    ],
)
def test_an_odd_answer_is_compared_as_well(meet, journal, location, status, kind):
    """And nothing fails."""
    meet(location, status)

    assert [kind] == [kind for _, _, kind, _ in journal.heard]


def test_a_branded_domain_is_appsflyer_s_own_hop(meet, journal):
    """The rules know it; its next request is compared by itself."""
    meet("https://brand.onelink.me/AbC1")

    assert [("games", APP, Kind.NOT_COMPARABLE, OWN_HOP)] == journal.heard


def test_a_reverse_proxy_decides_nothing_anew(meet, monkeypatch):
    """It pays for nothing of this."""
    monkeypatch.setattr(module, "decide", None)
    meet(OTHER, mode="reverse:http://ads.example:8000")


def test_a_click_that_is_never_answered_is_forgotten(browse, drift):
    """With its flow."""
    flow = browse("/", "app.appsflyer.com", "regular")
    click = flows.read(flow, flows.headers_of(flow.request), link_of("d3"), "c1", at_answer=True)
    drift.watch(flow, click, decide(click, OBSERVING), OBSERVING)
    del flow
    gc.collect()

    assert 0 == len(drift._watched)


def test_the_list_of_flows_says_it(meet, journal):
    """In people's words, behind the click's own."""
    flow = meet(OTHER)

    assert [(flow, IN_WORDS[Kind.OTHER_APP])] == journal.shown


def test_three_lines_of_an_app_and_a_kind_are_logged(meet, caplog):
    """Drift is a warning; what can't be compared is not."""
    with caplog.at_level(logging.INFO, module.__name__):
        for location, status in (
            [(OTHER, 302)] * 5 + [(OTHER, 404)] * 5 + [("market://details?id=com.example.game", 302)]
        ):
            meet(location, status)

    assert [logging.WARNING] * 3 + [logging.INFO] * 3 == [record.levelno for record in caplog.records]


def test_what_is_logged_is_counted_in_bounded_memory(meet, drift, monkeypatch, caplog):
    """Strangers choose app ids: of a thousand no more is logged."""
    monkeypatch.setattr(module, "MAX_LOGGED", 2)
    with caplog.at_level(logging.INFO, module.__name__):
        for number in range(5):
            meet(OTHER, link=link_of("d4", app=f"com.example.n{number}"))

    assert (2, 2) == (len(caplog.records), len(drift._logged))
