"""What makes two clicks one (design §3, Duplicate)."""

from ipaddress import ip_network

import pytest

from storehop.decide.address import Proxies
from storehop.decide.decision import decide
from storehop.decide.duplicate import are_apart, key_with_hints
from storehop.model import Likeness
from storehop.settings import Rule
from tests.support.clicks import ANDROID_LINK, IOS_LINK, IPHONE, PEER, PIXEL, click, rule_set

NO_ID = "https://app.appsflyer.com/com.example.game?pid=x"
HINTED = {"Sec-CH-UA-Model": '"A1"', "Sec-CH-UA-Platform-Version": '"15.0.0"'}
OTHER = {"Sec-CH-UA-Model": '"B2"', "Sec-CH-UA-Platform-Version": '"15.0.0"'}


def likeness(link=NO_ID, headers=None, rules=None, **more):
    return decide(click(link, headers, **more), rules or rule_set()).likeness


def test_the_same_click_is_the_same():
    """The same link, address and User-Agent are one click, in whatever process."""
    assert likeness() == likeness()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"link": f"{NO_ID}&c=2"}, id="link"),
        pytest.param({"peer": "8.8.8.8"}, id="address"),
        pytest.param({"user_agent": f"{PIXEL} Other/1"}, id="User-Agent"),
        pytest.param({"link": IOS_LINK, "user_agent": IPHONE}, id="app"),
    ],
)
def test_another_link_address_or_user_agent_is_another_click(other):
    """Each of the three tells clicks apart."""
    assert likeness().key != likeness(**other).key


def test_fields_do_not_run_into_each_other():
    """An address that ends like a User-Agent begins does not make two clicks one."""
    one, other = (likeness(peer=peer, user_agent=f"{end}{PIXEL}") for peer, end in (("8.8.8.81", ""), ("8.8.8.8", "1")))

    assert one.key != other.key


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.168.1.1", "100.64.1.2", "169.254.1.1", "fd00::1", ""])
def test_without_a_known_address_nothing_says_that_two_clicks_are_one(peer):
    """An address that `af_ip` would omit is nobody's."""
    assert likeness(peer=peer) == Likeness(None, "")


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::1", ""])
def test_without_a_known_address_a_real_click_id_does(peer):
    """The link's own click id is one person's, wherever the person is."""
    assert likeness(ANDROID_LINK, peer=peer).key is not None


@pytest.mark.parametrize("value", ["{clickid}", "__CALLBACK_PARAM__", "null", "", "0000000000"])
def test_a_click_id_that_says_nothing_makes_no_two_clicks_one(value):
    """A macro is everybody's."""
    assert likeness(f"{NO_ID}&clickid={value}", peer="10.1.2.3").key is None


def test_the_rules_click_id_counts():
    """Which parameter holds the click id is the rule's to say."""
    rules = rule_set(Rule("games", partner="NetworkA", click_id=("tid",)))

    assert likeness(f"{NO_ID}&tid=7", rules=rules, peer="10.1.2.3").key is not None
    assert likeness(ANDROID_LINK, rules=rules, peer="10.1.2.3").key is None


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", PEER])
def test_loopback_is_a_known_address(peer):
    """Whoever tries storehop on his own machine sees what the public will see."""
    assert likeness(peer=peer).key is not None


@pytest.mark.parametrize("header", [None, "81.2.69.142, unix:", "130.176.0.5"])
def test_a_proxys_address_is_nobodys(header):
    """Where a trusted proxy does not say who clicked, all its clients would be one."""
    rules = rule_set(proxies=Proxies((ip_network("130.176.0.0/17"),)))

    assert likeness(headers={"X-Forwarded-For": header}, rules=rules, peer="130.176.1.1").key is None


@pytest.mark.parametrize(
    ("headers", "has_hints"),
    [
        pytest.param({}, False, id="none"),
        pytest.param(HINTED, True, id="both"),
        pytest.param({"Sec-CH-UA-Model": '"A1"'}, True, id="the model alone"),
        pytest.param({"Sec-CH-UA-Platform": '"Android"', "Sec-CH-UA-Mobile": "?1"}, False, id="what all browsers send"),
    ],
)
def test_what_browsers_send_when_they_are_asked_is_a_hint(headers, has_hints):
    """Model and OS version can tell two devices apart, what every browser sends can not."""
    assert has_hints == bool(likeness(headers=headers).hints)


def test_hints_do_not_change_the_key():
    """A click that brings hints is found by the key of one without."""
    assert 1 == len({likeness(headers=headers).key for headers in ({}, HINTED, OTHER)})


def test_a_real_click_id_needs_no_hints():
    """Links with a click id are one person's, whatever the hints say."""
    assert [""] * 2 == [likeness(ANDROID_LINK, headers).hints for headers in (HINTED, OTHER)]


MODEL = {"Sec-CH-UA-Model": '"A1"'}
VERSION = {"Sec-CH-UA-Platform-Version": '"15.0.0"'}


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        pytest.param({}, {}, False, id="none"),
        pytest.param({}, HINTED, False, id="the first has none"),
        pytest.param(HINTED, {}, False, id="the second has none"),
        pytest.param(HINTED, HINTED, False, id="equal"),
        pytest.param(HINTED, OTHER, True, id="another model"),
        pytest.param(MODEL, HINTED, False, id="the second tells more"),
        pytest.param(MODEL, VERSION, False, id="nothing that both tell"),
        pytest.param({"Sec-CH-UA-Model": '""'}, MODEL, False, id="an empty one is none"),
    ],
)
def test_hints_tell_apart_where_both_carried_them(first, second, apart):
    """Only two different statements of the same hint tell two clicks apart."""
    assert apart == are_apart(likeness(headers=first).hints, likeness(headers=second).hints)


def test_clicks_that_hints_tell_apart_have_keys_of_their_own():
    """Among clicks of one key each statement of hints has its own."""
    keys = {key_with_hints(likeness(headers=headers)) for headers in (HINTED, OTHER)}

    assert 2 == len(keys - {likeness().key})


def test_a_key_holds_no_personal_data():
    """It is a short hash."""
    assert 16 == len(likeness().key)
