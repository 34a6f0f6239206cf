"""What a report may show: no id, no address, no e-mail of any input."""

import json
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.audit.exchange import Exchange
from storehop.audit.redact import Redactor
from storehop.audit.tally import Tally
from storehop.decide.s2s import DEVICE_IDS
from tests.support.clicks import IPHONE, PIXEL, rule_set

APP = "https://app.appsflyer.com/com.example.game"
SHOWN = Redactor(key=b"test")

HEX = "0123456789abcdef"
emails = st.from_regex(r"[a-z]{6,12}\.[a-z]{4,8}[0-9]{2}@[a-z]{5,10}\.(com|de)", fullmatch=True)
uuids = st.uuids().map(str)
tokens = st.one_of(
    st.text(HEX, min_size=16, max_size=40).filter(lambda text: any(map(str.isdigit, text))),
    st.text("0123456789", min_size=9, max_size=20),
    st.from_regex(r"[A-Z][0-9][a-z]{2}[0-9]{2}[A-Za-z0-9]{12,20}", fullmatch=True),
)
ips = st.one_of(
    st.integers(2**24, 2**32 - 1).map(lambda number: str(IPv4Address(number | 0x80))),
    st.integers(2**125, 2**126 - 1).map(lambda number: str(IPv6Address(number | 0x8001))),
)
personal_names = st.sampled_from(sorted([*DEVICE_IDS, "clickid", "af_ref"]))
free_names = st.sampled_from(["af_sub1", "sub", "user", "email", "uid", "gclid", "x"])
named = st.one_of(
    st.tuples(personal_names, st.one_of(tokens, uuids, emails)),
    st.tuples(free_names, st.one_of(tokens, uuids, emails, ips)),
    st.tuples(st.sampled_from(["pid", "c", "af_siteid", "af_adset"]), st.one_of(uuids, emails, ips)),
    st.tuples(st.just("af_ip"), ips),
    st.tuples(st.sampled_from(["af_dp", "af_r", "af_web_dp"]), emails.map("https://shop.example/u/{}".format)),
)
hosts = st.sampled_from([APP, "https://brand.go.link/x", "https://app.appsflyer.com/id123456789"])


def written(value, times):
    for _ in range(times):
        value = quote(value, safe="")
    return value


@given(
    hosts,
    st.lists(st.tuples(named, st.integers(0, 2)), min_size=1, max_size=6),
    ips,
    st.sampled_from([PIXEL, IPHONE]),
)
def test_no_id_of_the_input_is_in_the_report(host, parameters, ip, user_agent):
    """Whatever a link holds, however it is encoded: the JSON has neither it nor the client's address."""
    query = "&".join(f"{name}={written(value, times)}" for (name, value), times in parameters)
    exchange = Exchange(
        1,
        1_795_780_800.0,
        headers={"user-agent": user_agent, "x-forwarded-for": ip},
        client_ip=ip,
        status=302,
        location=f"{host}?{query}",
        page_link=f"{APP}?{query}",
    )
    tally = Tally(rule_set(), Redactor(key=b"test"))
    tally.add(exchange, "a.log")
    text = json.dumps(tally.report().to_json()).lower()

    for (_, value), _ in parameters:
        secret = value.rpartition("/u/")[2].lower()
        assert secret not in text
        assert quote(secret, safe="").lower() not in text
    assert ip not in text


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (f"{APP}?pid=networka_int&c=Summer%202026", f"{APP}?pid=networka_int&c=Summer%202026"),
        (f"{APP}?clickid={{clickid}}&af_siteid=918273645", f"{APP}?clickid={{clickid}}&af_siteid=918273645"),
        (f"{APP}?af_ip=93.184.216.34", f"{APP}?af_ip=93.184.216.0/24"),
        (f"{APP}?af_ip=2a00%3A1450%3A4001%3A%3A1", f"{APP}?af_ip=2a00:1450:4001::/48"),
        (f"{APP}?af_dp=mygame%3A%2F%2Fuser%2F123", f"{APP}?af_dp=mygame:///…"),
        (f"{APP}?af_r=https%3A%2F%2Fshop.example%2Fu%2F77", f"{APP}?af_r=https://shop.example/…"),
        (f"{APP}?is_retargeting=true&af_sub1=banner_320", f"{APP}?is_retargeting=true&af_sub1=banner_320"),
        ("https://user:secret@app.appsflyer.com/com.example.game", APP),
        (f"{APP}#fragment-of-hers", APP),
    ],
)
def test_what_is_harmless_stays(link, shown):
    """Campaigns, settings and macros are what people look for; an address keeps its network, a target its host."""
    assert shown == SHOWN.link(link)


def test_equal_ids_look_equal():
    """So that a repeated id can be seen; in another run it looks otherwise."""
    link = f"{APP}?clickid=K1&sub=x1y2z3k4&gaid=x1y2z3k4"

    assert SHOWN.link(link).count("id-") == 3
    assert SHOWN.link(link) == SHOWN.link(link) != Redactor().link(link)


def test_a_device_is_shown_in_words():
    """Platform, version and model: no User-Agent is shown as it came."""
    assert SHOWN.device(PIXEL) == "android 12 Pixel 5"


def test_show_ids_leaves_all():
    """For local use: only cut."""
    open_ = Redactor(shows_ids=True)
    link = f"{APP}?clickid=K1&email=a.b@c.de"

    assert link == open_.link(link)
    assert len(open_.link(link + "x" * 9000)) == 2000


@given(st.text(max_size=300))
def test_any_text_can_be_shown(text):
    """Nothing raises, and what is shown can be printed."""
    for show in (SHOWN.link, SHOWN.name, SHOWN.device):
        assert show(text).isprintable()


@pytest.mark.parametrize("name", ["93.184.216.34", "93.184.216.34_x", "6d92078a-8246-4ba4-ae5b-76104861e7dc"])
def test_a_parameter_s_name_may_be_personal(name):
    """Whoever builds links by mistake writes the value where the name belongs."""
    assert name not in Redactor(key=b"k").link(f"https://app.appsflyer.com/com.example.game?{name}=1")
