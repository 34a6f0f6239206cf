"""What AppsFlyer can match a click on, and the shares."""

import pytest

from storehop.decide import s2s
from storehop.decide.decision import decide
from storehop.observe.coverage import NAMES, SIGNALS, Coverage, Signal, signals
from storehop.settings import Enrich, Rule
from tests.support.clicks import ANDROID_LINK, IOS_LINK, IPHONE, REDUCED, click, rule_set

IDFA = "6A1B4D0C-93F1-4A07-8F6E-0C2A4E7D9B55"
OURS = {Signal.IP, Signal.USER_AGENT, Signal.OS_VERSION, Signal.MODEL}
REFERRER = {Signal.REFERRER}
SILENT = Rule("games", partner="NetworkA", enrich=frozenset())
ONLY_IP = Rule("games", partner="NetworkA", enrich=frozenset({Enrich.AF_IP}))


def found(link=ANDROID_LINK, rule=None, **given):
    """The signals of a click on this link."""
    return signals(decide(click(link, **given), rule_set(rule)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, REFERRER | OURS, id="Android that says everything"),
        pytest.param({"user_agent": REDUCED}, REFERRER | {Signal.IP, Signal.USER_AGENT}, id="frozen User-Agent"),
        pytest.param({"peer": "10.0.0.1"}, REFERRER | OURS - {Signal.IP}, id="no public address"),
        pytest.param({"link": IOS_LINK, "user_agent": IPHONE}, OURS, id="a store without a referrer"),
        pytest.param(
            {"link": f"{IOS_LINK}&af_ref=N_1", "user_agent": IPHONE}, OURS, id="a referrer that no store hands over"
        ),
        pytest.param(
            {"link": f"{IOS_LINK}&idfa={IDFA}", "user_agent": IPHONE}, OURS | {Signal.DEVICE_ID}, id="device id"
        ),
        pytest.param(
            {"link": f"{ANDROID_LINK}&android_id=9774d56d682e549c"},
            REFERRER | OURS | {Signal.DEVICE_ID},
            id="device id that goes out as its hash",
        ),
        pytest.param({"link": f"{ANDROID_LINK}&advertising_id={{gaid}}"}, REFERRER | OURS, id="macro for a device id"),
        pytest.param({"rule": SILENT}, REFERRER, id="a rule that adds nothing"),
        pytest.param({"rule": ONLY_IP}, REFERRER | {Signal.IP}, id="a rule that adds the address only"),
        pytest.param(
            {"rule": SILENT, "link": f"{ANDROID_LINK}&af_ip=93.184.216.34&af_model=Pixel%205"},
            REFERRER | {Signal.IP, Signal.MODEL},
            id="the link's own values",
        ),
        pytest.param(
            {"rule": SILENT, "link": f"{ANDROID_LINK}&af_ip={{ip}}&af_model=&af_ua=$%7bua%7d"},
            REFERRER,
            id="the link's own macros and empty values",
        ),
    ],
)
def test_the_signals_of_a_click(asked, expected):
    """A signal is what stands in the S2S call with a value, whoever said it."""
    assert expected == found(**asked)


def test_every_device_id_of_the_call_is_a_signal():
    """The S2S call's device ids and those that count here are the same."""
    assert s2s.DEVICE_IDS == {name for name, signal in SIGNALS.items() if signal is Signal.DEVICE_ID}


def test_every_signal_has_a_name_for_people():
    """Whatever is counted can be said."""
    assert set(Signal) == set(NAMES)


@pytest.mark.parametrize(
    ("ips", "clicks", "share"),
    [(812, 1000, "81.2 %"), (9999, 10_000, "99.9 %"), (10_000, 10_000, "100 %"), (1, 10_000, "0 %"), (1, 2, "50 %")],
)
def test_shares_are_rounded_down(ips, clicks, share):
    """100 % is said of all and of nothing less."""
    coverage = Coverage()
    for number in range(clicks):
        coverage.count_direct({Signal.IP} if number < ips else set())

    assert f"IP {share}," in str(coverage)


def test_shares_are_of_direct_clicks():
    """A click that passes is in the number of clicks, and in no share of a signal."""
    coverage = Coverage()
    coverage.count_direct({Signal.IP})
    for _ in range(1233):
        coverage.count_pass()
    expected = (
        "direct 1 of 1,234 clicks (0 %); AppsFlyer can match on: "
        "referrer 0 %, device id 0 %, IP 100 %, User-Agent 0 %, OS version 0 %, model 0 %"
    )

    assert expected == str(coverage)


def test_without_direct_clicks_there_are_no_signals():
    """Where every click passes, that is all there is to say."""
    coverage = Coverage()
    coverage.count_pass()

    assert "direct 0 of 1 clicks (0 %)" == str(coverage)
