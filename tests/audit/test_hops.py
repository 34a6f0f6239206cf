"""The two hops of one click are paired in a recording, and what AppsFlyer answered is compared (design §11)."""

import tracemalloc
from dataclasses import replace
from itertools import count

import pytest

from storehop.audit import hops as module
from storehop.audit.drift_tally import NOISE, DriftTally, without_query
from storehop.audit.exchange import Exchange
from storehop.audit.hops import Hops
from storehop.audit.report import Counts, Report
from storehop.decide import drift
from storehop.decide.decision import decide
from storehop.decide.drift import Kind
from storehop.model import Click
from storehop.settings import OneLink
from tests.support.clicks import ANDROID_LINK, IPHONE, PIXEL, rule_set

ADS = "https://ads.example/go"
APP = "com.example.game"
MARKET = f"market://details/?id={APP}&referrer=af_tranid%3Dabc"
OTHER = "market://details/?id=com.example.other&referrer=af_tranid%3Dabc"
ONELINK = "https://brand.onelink.me/AbC1?pid=networka_int&clickid=K1"
BRANDED = "https://click.brand.example/AbC1?pid=networka_int&clickid=K1"
RULES = rule_set()
places = count(1)


def exchange(url, location=None, *, user_agent=PIXEL, ip="93.184.216.34", **keys):
    """What a forward proxy saw."""
    headers = {"user-agent": user_agent} if user_agent else {}
    usual = {"at": 100.0, "status": 302, "seconds": 0.1, "is_forward": True}
    where = {"place": next(places), "url": url, "headers": headers, "client_ip": ip, "location": location}
    return Exchange(**{**usual, **where, **keys})


class Walk:
    """Goes over exchanges as an audit does."""

    def __init__(self, rules=RULES):
        self.rules = rules
        self.hops = Hops(rules, "log")
        self.pairs, self.clicks = [], 0

    def over(self, *exchanges):
        for one in exchanges:
            self.meet(one)
        return self

    def meet(self, one):
        if pair := self.hops.second(one):
            self.pairs.append(pair)
            return
        at_answer = bool(one.url) and any(host in one.url for host in ("appsflyer.com", "onelink.me", "click.brand"))
        link = one.url if at_answer else one.link or one.location or ""
        click = Click("c", one.method, link, one.headers, one.client_ip, at_answer=at_answer)
        decision = decide(click, self.rules)
        if decision.rule:
            self.clicks += 1
            if pair := self.hops.first(one, click, decision):
                self.pairs.append(pair)

    @property
    def final(self):
        return [pair for pair in (*self.pairs, *self.hops.end()) if pair.is_final]


def kinds(pairs):
    return [pair.compared and pair.compared.kind for pair in pairs]


def test_both_hops_are_one_click():
    """The exchange at AppsFlyer is what it answered to the click before."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK), exchange(ANDROID_LINK, MARKET, status=301, seconds=0.25))
    (pair,) = walk.final

    assert (1, Kind.SAME, 0.25, 301) == (walk.clicks, pair.compared.kind, pair.seconds, pair.status)
    assert ("games", APP, "android", ANDROID_LINK, MARKET) == (
        pair.rule,
        pair.app,
        pair.platform,
        pair.link,
        pair.theirs,
    )
    assert pair.ours.startswith(f"https://play.google.com/store/apps/details?id={APP}&referrer=NetworkA_K1")


def test_a_click_at_appsflyer_alone_is_a_click_and_its_answer():
    """Nobody saw the ad stack's hop: an app opened the link itself."""
    walk = Walk().over(exchange(ANDROID_LINK, OTHER))

    assert (1, [Kind.OTHER_APP]) == (walk.clicks, kinds(walk.final))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(f"{ANDROID_LINK}#x", id="a fragment is never sent"),
        pytest.param(ANDROID_LINK.replace(".com/", ".com:443/"), id="a default port"),
        pytest.param(ANDROID_LINK.replace("app.apps", "APP.Apps"), id="letter case of the host"),
        pytest.param(ANDROID_LINK.replace("https", "http"), id="a browser that knows the host goes by https"),
    ],
)
def test_the_same_request_in_other_words(asked):
    """A browser's URL and the ad stack's Location differ in what no server sees."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK), exchange(asked, MARKET))

    assert (1, [Kind.SAME]) == (walk.clicks, kinds(walk.final))


@pytest.mark.parametrize(
    ("asked", "clicks"),
    [
        pytest.param({"user_agent": IPHONE}, 2, id="another User-Agent"),
        pytest.param({"ip": "1.1.1.1"}, 2, id="another address"),
        pytest.param({"ip": ""}, 1, id="an address that is not known"),
        pytest.param({"user_agent": ""}, 1, id="a User-Agent that is not known"),
        pytest.param({"at": 161.0}, 2, id="too late"),
        pytest.param({"at": 159.0}, 1, id="late"),
        pytest.param({"at": None}, 1, id="a time that is not known"),
    ],
)
def test_another_person_s_click_is_another_click(asked, clicks):
    """The same link alone makes no pair."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK), exchange(ANDROID_LINK, MARKET, **asked))

    assert clicks == walk.clicks


def test_two_people_s_hops_go_to_their_own_clicks():
    """Both follow the same link at the same time."""
    walk = Walk().over(
        exchange(ADS, ANDROID_LINK, ip="8.8.8.8"),
        exchange(ADS, ANDROID_LINK, ip="9.9.9.9"),
        exchange(ANDROID_LINK, OTHER, ip="9.9.9.9"),
        exchange(ANDROID_LINK, MARKET, ip="8.8.8.8"),
    )
    by_place = {pair.place: pair.compared.kind for pair in walk.final}

    assert (2, [Kind.SAME, Kind.OTHER_APP]) == (walk.clicks, [by_place[place] for place in sorted(by_place)])


def test_appsflyer_s_own_hops_are_followed():
    """It redirects to itself before it leaves: one click, and the time of all its hops."""
    rules = replace(
        RULES, onelinks={("click.brand.example", "AbC1"): OneLink("click.brand.example", "AbC1", APP, None)}
    )
    walk = Walk(rules).over(
        exchange(ADS, ANDROID_LINK),
        exchange(ANDROID_LINK, ONELINK, seconds=0.1),
        exchange(ONELINK, BRANDED, seconds=0.2),
        exchange(BRANDED, MARKET, seconds=0.3),
    )
    (pair,) = walk.final

    assert (1, Kind.SAME) == (walk.clicks, pair.compared.kind)
    assert pair.seconds == pytest.approx(0.6)


def test_a_relative_location_is_appsflyer_s_own():
    """It is read as a browser reads it."""
    walk = Walk().over(
        exchange(ANDROID_LINK, "/again?pid=x"), exchange("https://app.appsflyer.com/again?pid=x", MARKET)
    )

    assert (1, [Kind.SAME]) == (walk.clicks, kinds(walk.final))


def test_a_chain_that_is_not_recorded_to_its_end_cannot_be_compared():
    """It counts once, when the recording ends."""
    walk = Walk().over(
        exchange(ADS, ANDROID_LINK), exchange(ANDROID_LINK, BRANDED.replace("click.brand.example", "x.onelink.me"))
    )
    (pair,) = walk.final

    assert (Kind.NOT_COMPARABLE, drift.OWN_HOP) == (pair.compared.kind, pair.compared.why)


def test_a_location_that_nobody_follows_is_not_kept():
    """One of a megabyte ends the chain at once, and cannot be compared."""
    walk = Walk().over(exchange(ANDROID_LINK, f"{ONELINK}&x={'y' * 2**20}"))

    assert not walk.hops._order
    assert [Kind.NOT_COMPARABLE] == kinds(walk.final)


def test_a_loop_of_appsflyer_s_ends():
    """After ten hops."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK), *(exchange(ANDROID_LINK, ANDROID_LINK) for _ in range(10)))

    assert (1, [Kind.NOT_COMPARABLE]) == (walk.clicks, kinds(walk.final))


def test_a_time_that_one_hop_lacks_is_not_known():
    """No sum of what is known of a part."""
    walk = Walk().over(exchange(ANDROID_LINK, ONELINK, seconds=None), exchange(ONELINK, MARKET))

    assert [None] == [pair.seconds for pair in walk.final]


def test_a_click_that_passes_has_nothing_to_compare():
    """It goes to AppsFlyer in any case; AppsFlyer's time is known all the same."""
    signed = f"{ANDROID_LINK}&signature=x"
    walk = Walk().over(exchange(ADS, signed), exchange(signed, OTHER))

    assert [(None, None, 0.1)] == [(pair.ours, pair.compared, pair.seconds) for pair in walk.final]


def test_a_page_of_appsflyer_s_cannot_be_compared():
    """It may open the app."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK), exchange(ANDROID_LINK, None, status=200))

    assert [Kind.NOT_COMPARABLE] == kinds(walk.final)


@pytest.mark.parametrize(
    "keys", [{"is_forward": False}, {"done": "direct"}], ids=["a server's log", "storehop's answer"]
)
def test_what_is_not_appsflyer_s_answer_makes_no_pair(keys):
    """In a server's log the browser goes on alone; and a storehop that answered is not AppsFlyer."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK, **keys), exchange(ANDROID_LINK, MARKET, **keys))

    assert [] == walk.final


def test_memory_is_bounded(monkeypatch):
    """Whatever the recording's length: of a million first hops within a minute the last ones wait."""
    hops, decision = Hops(RULES), decide(Click("c", "GET", ANDROID_LINK, {"user-agent": PIXEL}, "8.8.8.8"), RULES)
    monkeypatch.setattr(module, "MAX_OPEN", 2000)
    tracemalloc.start()
    for number in range(3 * module.MAX_OPEN):
        link = f"{ANDROID_LINK}{number}"
        hops.first(exchange(ADS, link), Click("c", "GET", link, {}, "8.8.8.8"), decision)
        if number == module.MAX_OPEN:
            full, _ = tracemalloc.get_traced_memory()
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert now < 1.2 * full
    assert hops.second(exchange(f"{ANDROID_LINK}0", MARKET)) is None
    assert hops.second(exchange(f"{ANDROID_LINK}{number}", MARKET)) is not None


def test_a_link_without_click_ids_costs_no_more_and_more():
    """Of all who follow the very same link the last hundred wait."""
    walk = Walk().over(*(exchange(ADS, ANDROID_LINK, ip=f"8.8.{number}.8") for number in range(150)))
    walk.over(*(exchange(ANDROID_LINK, MARKET, ip=f"8.8.{number}.8") for number in (49, 50)))

    assert (151, 2) == (walk.clicks, len(walk.final))


# counting


def tally_of(*exchanges, show=None):
    tally, walk = DriftTally(show), Walk().over(*exchanges)
    for pair in walk.final:
        tally.add(pair)
    return tally


def report_of(tally):
    report = Report(rules={"games": Counts()}, apps={APP: Counts()})
    tally.fill(report)
    return report


def link_of(number):
    return f"{ANDROID_LINK}{number}"


def test_a_report_says_what_drifts_and_where():
    """By kind, by rule and by app; with what is harmless and what cannot be compared."""
    report = report_of(
        tally_of(
            exchange(link_of(1), MARKET),
            exchange(link_of(2), MARKET),
            exchange(link_of(3), OTHER),
            exchange(link_of(4), None, status=200),
        )
    )

    assert {"same": 2, "other_app": 1, "not_comparable": 1} == report.drift
    assert report.rules["games"].drift == report.apps[APP].drift == report.drift
    assert {drift.AF_TRANID: 3, drift.SCHEME: 3, drift.SLASH: 3} == report.harmless
    assert [1] == list(report.not_comparable.values())


def test_an_example_is_of_the_app_that_drifts():
    """Three of each kind, where they stand, and without any value of a parameter."""
    report = report_of(tally_of(*(exchange(link_of(number), OTHER) for number in range(5))))
    words = f"AppsFlyer leads to com.example.other in google_play, storehop would lead to {APP} in google_play"

    assert [("https://app.appsflyer.com/com.example.game", words)] * 3 == [
        (sample.link, sample.words) for sample in report.drift_examples
    ]
    assert all(sample.place.startswith("log:") for sample in report.drift_examples)


def test_the_audit_says_what_a_link_may_show():
    """With `--show-ids` all of it."""
    report = report_of(tally_of(exchange(link_of(1), OTHER), show=str.upper))

    assert [link_of(1).upper()] == [sample.link for sample in report.drift_examples]


def test_appsflyer_s_own_noise_is_no_drift():
    """It answers the same link in two ways: none of its clicks can be compared, those of before included."""
    report = report_of(
        tally_of(
            exchange(link_of(1), OTHER),
            exchange(link_of(1), OTHER),
            exchange(link_of(1), MARKET),
            exchange(link_of(1), OTHER),
            exchange(link_of(2), MARKET),
        )
    )

    assert ({"not_comparable": 4, "same": 1}, {NOISE: 4}, []) == (
        report.drift,
        report.not_comparable,
        report.drift_examples,
    )


def test_another_token_is_no_noise():
    """af_tranid is new with each answer."""
    report = report_of(tally_of(exchange(link_of(1), OTHER), exchange(link_of(1), OTHER.replace("abc", "xyz"))))

    assert {"other_app": 2} == report.drift


def test_clicks_without_an_end_are_counted_as_they_are_given_up():
    """Not all at the end of a recording: they would take the more memory the longer it is."""
    tally, hops = DriftTally(), Hops(RULES, "log")
    for number in range(10):
        one = exchange(link_of(number), ONELINK.replace("K1", str(number)), at=100.0 * (number + 1))
        click = Click("c", "GET", one.url, one.headers, "", at_answer=True)
        assert not tally.follows(hops, one)
        tally.click(hops, one, click, decide(click, RULES))

    assert {"not_comparable": 9} == report_of(tally).drift


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1.0, 1e18])
def test_a_broken_clock_forgets_no_click(at):
    """What is no time says nothing of how long others wait."""
    walk = Walk().over(exchange(ADS, ANDROID_LINK), exchange(ADS, at=at), exchange(ANDROID_LINK, MARKET))

    assert (1, [Kind.SAME]) == (walk.clicks, kinds(walk.final))


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.5, 1e300])
def test_what_is_no_duration_is_not_counted(seconds):
    """A clock that was set, or a recording that somebody made up."""
    report = report_of(tally_of(exchange(link_of(1), MARKET), exchange(link_of(2), MARKET, seconds=seconds)))

    assert (1, 100.0) == (report.hops, report.hop_ms_median)


def test_the_median_of_appsflyer_s_time():
    """Of all clicks whose redirect is recorded with times."""
    report = report_of(
        tally_of(
            *(exchange(link_of(number), MARKET, seconds=number / 10) for number in (1, 2, 9)),
            exchange(link_of(4), MARKET, seconds=None),
        )
    )

    assert (3, 200.0) == (report.hops, report.hop_ms_median)


def test_an_audit_s_loop_is_three_calls():
    """As the module's head shows it."""
    tally, hops = DriftTally(), Hops(RULES, "log")
    first, second = exchange(ADS, ANDROID_LINK), exchange(ANDROID_LINK, MARKET)
    click = Click("c", "GET", ANDROID_LINK, first.headers, "")
    followed = tally.follows(hops, first)
    tally.click(hops, first, click, decide(click, RULES))
    followed_then = tally.follows(hops, second)
    tally.end(hops)

    assert (False, True, {"same": 1}) == (followed, followed_then, report_of(tally).drift)


def test_a_link_without_its_query():
    """Nor its fragment."""
    assert "https://a.example/x" == without_query("https://a.example/x?clickid=K1#y?z")
