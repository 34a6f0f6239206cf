"""Counting: each figure of a report, as if every rule were direct at 100 %, and as configured."""

from dataclasses import replace

import pytest

from storehop.audit.exchange import Exchange
from storehop.audit.names import MAX_NAMES
from storehop.audit.redact import Redactor
from storehop.audit.report import OTHERS
from storehop.audit.tally import Tally
from storehop.settings import Mode, Rule
from tests.support.clicks import DESKTOP, IPHONE, PEER, PIXEL, rule_set

APP = "https://app.appsflyer.com/com.example.game"
LINK = f"{APP}?pid=networka_int&c=summer&clickid=K1"
NOON = 1_795_780_800.0


def click(link=LINK, *, at=NOON, user_agent=PIXEL, ip=PEER, **more):
    """An ad stack's redirect to this link."""
    headers = {"user-agent": user_agent} if user_agent else {}
    return Exchange(1, at, headers=headers, client_ip=ip, status=302, location=link, **more)


def report(*exchanges, rules=None):
    """What an audit of these says."""
    tally = Tally(rules or rule_set(), Redactor(key=b"test"))
    for exchange in exchanges:
        tally.add(exchange, "a.log")
    return tally.report()


def with_id(number, *, at=NOON, more=""):
    return click(f"{APP}?pid=networka_int&c=summer&clickid=K{number}{more}", at=at)


def test_direct_and_passes_are_counted():
    """Clicks, direct ones, and the reasons of the others, the most frequent one first."""
    found = report(click(), click(user_agent=IPHONE), click(user_agent=DESKTOP), click(user_agent=None))

    assert (4, 1) == (found.clicks, found.direct)
    assert [("wrong_platform", 2), ("no_user_agent", 1)] == list(found.reasons.items())


def test_what_leads_elsewhere_is_no_click():
    """A redirect that is no attribution link is an exchange and no click."""
    found = report(click(), click("https://shop.example/"), Exchange(3))

    assert (3, 2, 1) == (found.exchanges, found.not_clicks, found.clicks)


def test_clicks_are_counted_by_rule_app_campaign_and_source():
    """Each group has its clicks and what is direct of them; a click without a value is of `(none)`."""
    found = report(click(), click(user_agent=DESKTOP), click(f"{APP}?clickid=K2"))

    for groups, name in (
        (found.rules, "games"),
        (found.apps, "com.example.game"),
    ):
        assert (3, 2) == (groups[name].clicks, groups[name].direct)
    for groups, name in ((found.campaigns, "summer"), (found.sources, "networka_int")):
        assert {name: (2, 1), "(none)": (1, 1)} == {name: (one.clicks, one.direct) for name, one in groups.items()}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"percent": 0}, "not_sampled"),
        ({"mode": Mode.OBSERVE}, "observed"),
        ({"mode": Mode.OFF}, "rule_off"),
    ],
)
def test_the_rollout_counts_as_configured_only(settings, reason):
    """At the top level every rule is direct at 100 %; `configured` has what the rules say."""
    found = report(click(), rules=rule_set(Rule("games", partner="NetworkA", **settings)))

    assert (1, 0, {reason: 1}) == (found.direct, found.configured.direct, found.configured.reasons)


def test_a_stopped_rule_counts_as_configured_only():
    """A stop is part of the rollout, too."""
    found = report(click(), rules=rule_set().with_stopped(frozenset({"games"})))

    assert (1, {"stopped": 1}) == (found.direct, found.configured.reasons)


@pytest.mark.parametrize(
    ("seconds", "duplicates"),
    [([0, 9.9], 1), ([0, 10], 0), ([0, 8, 16], 1), ([9, 0], 1), ([0, 3, 6, 9], 3), ([None, None], 0)],
)
def test_a_click_again_within_ten_seconds_is_a_duplicate(seconds, duplicates):
    """As live: by recorded times, from the first one's on, in whatever order the log has them."""
    found = report(*(click(at=None if second is None else NOON + second) for second in seconds))

    assert duplicates == found.configured.duplicate
    assert len(seconds) == found.configured.clicks == found.configured.direct + found.configured.duplicate


def test_a_duplicate_makes_no_call():
    """The peak is of S2S calls: a click that repeats another one makes none."""
    assert report(click(), click(), with_id(2)).peak_calls_per_second == 2


def test_macros_that_nobody_filled_in_are_counted_by_parameter():
    """A click id under `click_id`, any other parameter under its name; a click once, however many it has."""
    found = report(
        click(f"{APP}?clickid={{clickid}}&af_siteid=%%SITE%%"), click(f"{APP}?clickid=K2&sub=[sub]"), click()
    )

    assert {"af_siteid": 1, "click_id": 1, "sub": 1} == found.never_filled_in
    assert found.never_filled_in_clicks == 2


def test_click_ids_that_are_missing_or_come_twice():
    """A click without an id is missing one; an id that another click had before is repeated."""
    found = report(with_id(1), with_id(2), with_id(1, at=NOON + 3600), click(f"{APP}?pid=a"))

    assert (1, 1) == (found.missing_click_ids, found.repeated_click_ids)


@pytest.mark.parametrize(("ip", "private"), [("10.1.2.3", 1), ("127.0.0.1", 1), (PEER, 0), ("", 0)])
def test_private_addresses_are_counted(ip, private):
    """A private client address says that a proxy is not trusted; one that nobody knows says nothing."""
    assert private == report(click(ip=ip)).private_addresses


def test_names_are_bounded():
    """Strangers choose campaigns: all beyond the first ones are counted together, and long names are cut."""
    more = 5
    found = report(*(click(f"{APP}?c=c{number}{'x' * 500}", at=None) for number in range(MAX_NAMES + more)))

    assert len(found.campaigns) == MAX_NAMES + 1
    assert more == found.campaigns[OTHERS].clicks
    assert max(map(len, found.campaigns)) <= 80


STORE = "https://play.google.com/store/apps/details?id=com.example.game"


def browsed(url, location, **more):
    """What a browser or a forward proxy wrote down."""
    return Exchange(
        1, NOON, url=url, headers={"user-agent": PIXEL}, status=302, location=location, is_forward=True, **more
    )


def test_both_hops_of_a_click_are_one_click():
    """The ad stack's redirect is the click; what AppsFlyer answered is no other one, in its own recording."""
    found = report(browsed("https://ads.example/r", LINK), browsed(LINK, STORE), browsed(STORE, None))

    assert (3, 1, 1, 1) == (found.exchanges, found.clicks, found.further_hops, found.not_clicks)
    assert {"same": 1} == found.drift


@pytest.mark.parametrize("done", ["retry", "s2s"])
def test_what_a_storehop_did_besides_is_no_click(done):
    """A browser's second request with client hints, and the call to AppsFlyer that mitmweb shows."""
    found = report(click(done="direct"), click(done=done), browsed(LINK, STORE, done=done))

    assert (1, 2) == (found.clicks, found.not_clicks)


def test_a_head_request_is_a_click_that_passes():
    """As live."""
    assert {"not_get": 1} == report(click(method="HEAD")).reasons


def test_pages_that_lead_on_by_themselves_are_a_surprise():
    """Where they lead to an attribution link; a page that leads to a shop is none."""
    pages = [
        Exchange(place, status=200, page_link=link)
        for place, link in enumerate([LINK, "https://brand.onelink.me/AbC1", "https://shop.example/"])
    ]
    found = report(*pages)

    assert (2, 0, 3) == (found.page_redirects, found.clicks, found.not_clicks)
    assert len(found.samples["page_redirects"]) == 2


@pytest.mark.parametrize("app", ["com.example.game", f"com.example.{'x' * 100}", "com.example.deadbeefdeadbeef"])
def test_the_drift_of_an_app_is_with_its_clicks(app):
    """Under the name that the report has for it, however long the app's own is."""
    url = f"https://app.appsflyer.com/{app}?pid=networka_int&clickid=K1"
    store = "https://play.google.com/store/apps/details?id=com.example.other"
    found = report(
        Exchange(1, url=url, headers={"user-agent": PIXEL}, status=302, location=store, is_forward=True, seconds=0.1)
    )
    (counts,) = found.apps.values()

    assert (1, {"other_app": 1}) == (counts.clicks, counts.drift)


def test_a_report_is_json_with_the_contracts_keys():
    """The keys that others read."""
    found = report(click()).to_json()

    contract = {
        *("clicks", "direct", "share_direct", "reasons", "rules", "apps", "signals", "never_filled_in"),
        *("repeated_click_ids", "private_addresses", "other_networks", "unreadable", "peak_calls_per_second"),
        *("drift", "gates", "inputs", "rules_digest", "configured"),
    }
    assert contract <= found.keys()
    assert found["signals"] == {
        "referrer": 1, "device_id": 0, "ip": 1, "user_agent": 1, "os_version": 1, "model": 1,
    }  # fmt: skip


def test_three_samples_stand_behind_a_figure():
    """Of many clicks three are shown, with their places; the same input shows the same ones."""
    clicks = [replace(with_id(number, at=None), place=number) for number in range(1000)]
    found, again = report(*clicks), report(*clicks)

    assert len(found.samples["direct"]) == 3
    assert found.samples == again.samples


@pytest.mark.parametrize(
    "location",
    [
        "https://play.google.com/store/apps/details?id=com.example.game&referrer=NetworkA_K1",
        "market://details?id=com.example.game",
        "https://apps.apple.com/us/app/id123456789",
    ],
)
def test_redirects_that_lead_to_a_store_already_are_counted(location):
    """The log of a storehop, or of an ad stack that knows the stores: no clicks, but no empty log either."""
    found = report(click(location), click("https://shop.example/"), replace(click(location), status=200))

    assert (0, 3, 1) == (found.clicks, found.not_clicks, found.store_redirects)
    assert found.to_json()["store_redirects"] == 1
    assert [one.place for one in found.samples["store_redirects"]] == ["a.log:1"]
    assert "id-" in found.samples["store_redirects"][0].link or "referrer" not in location


def test_a_sample_is_for_people_who_read_a_report():
    """Not for those at a command line: no option of another command stands in it."""
    (sample,) = report(click(user_agent=None)).samples["no_user_agent"]

    assert sample.words.endswith("passes, since there is no usable User-Agent")
