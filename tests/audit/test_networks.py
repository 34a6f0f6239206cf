"""Links of other networks are called by their name."""

import time
from itertools import pairwise

import pytest

from storehop.audit.exchange import Exchange
from storehop.audit.networks import MAX_EXPECTED, Networks, network_of
from storehop.decide.rules import DEFAULT_HOSTS, ONELINK_SUFFIXES


@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("https://app.adjust.com/abc123?campaign=x", "Adjust"),
        ("https://app.eu.adjust.com/1ibn9ah2", "Adjust"),
        ("https://brand.go.link/abc1de", "Adjust"),
        ("https://sb00.adj.st/path?adjust_t=abc_def", "Adjust"),
        ("https://abr.ge/@app/channel?campaign=x", "Airbridge"),
        ("https://app.abr.ge/6grbn3", "Airbridge"),
        ("https://redirect.appmetrica.yandex.com/serve/123", "AppMetrica"),
        ("https://0000000.redirect.appmetrica.yandex.com/cars", "AppMetrica"),
        ("https://brand.app.link/3p?%243p=a_network", "Branch"),
        ("https://bnc.lt/m/abc", "Branch"),
        ("https://control.kochava.com/v1/cpi/click?campaign_id=koapp", "Kochava"),
        ("https://brand.smart.link/fiir7ec77", "Kochava"),
        ("https://trk.mail.ru/c/qtcyh9", "MyTracker"),
        ("https://brand.sng.link/A1b2c/d3e4", "Singular"),
        ("https://ad.apsalar.com/api/v1/ad?re=0", "Singular"),
        ("https://track.tenjin.com/v0/click/FromApi", "Tenjin"),
        ("https://network.go2cloud.org/aff_c?offer_id=7", "TUNE"),
        ("https://157050.measurementapi.com/serve?action=click", "TUNE"),
        ("https://zx1jg.voluumtrk.com/fcb78739", "Voluum"),
        ("HTTPS://Brand.SNG.link:443/x", "Singular"),
        ("https://shop.example/?to=app.adjust.com", None),
        ("https://notgo.link/abc", None),
        ("https://app.link.evil.example/", None),
        ("market://details?id=com.example.game", None),
        ("/relative", None),
    ],
)
def test_a_network_is_known_by_its_host(url, network):
    """By the whole name or what ends with it after a dot; what stands elsewhere in a link says nothing."""
    assert network == network_of(url)


@pytest.mark.parametrize("host", [*sorted(DEFAULT_HOSTS), *(f"brand{suffix}" for suffix in ONELINK_SUFFIXES)])
def test_appsflyer_is_no_other_network(host):
    """Its links are clicks."""
    assert network_of(f"https://{host}/com.example.game") is None


@pytest.mark.measures
def test_a_host_of_many_labels_takes_no_time():
    """A line of a megabyte is looked at once, not once a label."""
    begin = time.process_time()

    assert network_of(f"https://{'a.' * 100_000}go.link/x") == "Adjust"
    assert time.process_time() - begin < 1


ADS = "https://ads.example/r"
# the first two are Adjust's
LINKS = [
    "https://app.adjust.com/a?c=1",
    "https://brand.go.link/b",
    "https://store.example/",
]


def browsed(*urls):
    """What a browser wrote down on its way over these: each one but the last redirects to the next."""
    return [Exchange(1, url=url, status=302, location=to, is_forward=True) for url, to in pairwise(urls)]


@pytest.mark.parametrize(
    ("exchanges", "counted"),
    [
        pytest.param(browsed(ADS, *LINKS), {"Adjust": 1}, id="all hops of one click"),
        pytest.param(browsed(*LINKS), {"Adjust": 1}, id="only the network's own hops"),
        pytest.param(browsed(ADS, LINKS[0], "/c", LINKS[2]), {"Adjust": 1}, id="a relative Location"),
        pytest.param(browsed(ADS, f"{LINKS[0]}#x", LINKS[2]), {"Adjust": 1}, id="a fragment"),
        pytest.param([*browsed(ADS, *LINKS), *browsed(ADS, *LINKS)], {"Adjust": 2}, id="two clicks on one link"),
        pytest.param([*browsed(ADS, *LINKS), *browsed(*LINKS)], {"Adjust": 2}, id="one of them without the ad stack"),
        pytest.param([*browsed(ADS, LINKS[0])] * 3, {"Adjust": 3}, id="no hop of the network's"),
    ],
)
def test_all_hops_of_a_click_are_one_link(exchanges, counted):
    """Where a recording holds the network's own hops, too."""
    networks = Networks()
    for one in exchanges:
        networks.add(one)

    assert counted == networks.by_size()


def test_a_request_is_expected_in_its_own_recording_only():
    """In another one it is another click."""
    networks = Networks()
    first, second = browsed(ADS, LINKS[0], LINKS[2])
    networks.add(first)
    networks.end_recording()
    networks.add(second)

    assert {"Adjust": 2} == networks.by_size()


def test_what_is_expected_is_bounded():
    """Whoever follows nothing takes no memory for it."""
    networks = Networks()
    for number in range(MAX_EXPECTED + 10):
        networks.add(browsed(ADS, f"{LINKS[0]}{number}")[0])

    assert len(networks._expected) == MAX_EXPECTED
