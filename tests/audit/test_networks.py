"""Links of other networks are called by their name."""

import pytest

from storehop.audit.networks import network_of
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
