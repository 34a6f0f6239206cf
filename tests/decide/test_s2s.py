"""The server-to-server click: what is kept, what is added, what is left out (design §3.2, §3.3)."""

import hashlib
import re
from dataclasses import replace
from ipaddress import ip_network
from urllib.parse import quote, unquote

import pytest

from storehop.decide.address import Proxies
from storehop.decide.decision import decide
from storehop.model import Direct, Param, Source
from storehop.settings import Delivery, Enrich, Rule, Store
from tests.support.clicks import CLICK_ID, IPAD, IPHONE, PEER, PIXEL, REDUCED, click, params, rule_set, segments

BASE = "https://app.appsflyer.com/com.example.game"
IOS = "https://app.appsflyer.com/id123456789"
GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"
ZERO_ID = "00000000-0000-0000-0000-000000000000"
SHA1_OF_ANDROID_ID = hashlib.sha1(b"9774d56d682e549c").hexdigest()
SILENT = rule_set(Rule("silent", partner="NetworkA", enrich=frozenset()))
OURS = ("af_ref", "af_ip", "af_ua", "af_lang", "af_os_version", "af_model", "redirect")


def direct(query="", headers=None, rules=None, base=BASE, **more):
    """The direct decision about a click on a link with this query."""
    decision = decide(click(f"{base}?{query}", headers, **more), rules or rule_set())
    assert isinstance(decision, Direct), decision
    return decision


def shown(decision):
    return {param.name: param for param in decision.params}


def header(decision, name):
    return [value for key, value in decision.call.headers if key == name]


# The URL


def test_the_whole_url():
    """The link's own parameters come first, then ours in their order, percent-encoded, then redirect=false."""
    decision = direct("pid=networka_int&clickid=K1", {"Accept-Language": "de-DE,de;q=0.9"})

    expected = (
        "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=K1&af_ref=NetworkA_K1&af_ip=93.184.216.34"
        "&af_ua=Mozilla%2F5.0%20%28Linux%3B%20Android%2012%3B%20Pixel%205%29%20AppleWebKit%2F537.36%20%28KHTML%2C%20"
        "like%20Gecko%29%20Chrome%2F95.0.4638.74%20Mobile%20Safari%2F537.36"
        "&af_lang=de-DE&af_os_version=12&af_model=Pixel%205&redirect=false"
    )
    assert expected == decision.call.url


@pytest.mark.parametrize(
    ("link", "start"),
    [
        pytest.param("http://app.appsflyer.com/com.example.game?a=1", f"{BASE}?a=1&", id="http becomes https"),
        pytest.param("//app.appsflyer.com/com.example.game?a=1", f"{BASE}?a=1&", id="scheme-relative"),
        pytest.param("https://APP.AppsFlyer.com:443/com.example.game?a=1", f"{BASE}?a=1&", id="host in lower case"),
        pytest.param("https://app.appsflyer.com/com.example.game/?a=1", f"{BASE}/?a=1&", id="slash at the end"),
        pytest.param("https://app.appsflyer.com/com.example.game", f"{BASE}?af_ref=", id="no query"),
        pytest.param("https://app.appsflyer.com/com.example.game?", f"{BASE}?af_ref=", id="empty query"),
        pytest.param("https://app.appsflyer.com/com.example.game?a=1#b", f"{BASE}?a=1&", id="no fragment"),
        pytest.param("https://app.aflink.com/com.example.game?a=1", "https://app.aflink.com/com", id="China"),
        pytest.param(
            "https://brand.onelink.me/AbC1?a=1", "https://brand.onelink.me/AbC1?a=1&", id="OneLink's own host and path"
        ),
    ],
)
def test_the_call_goes_to_the_links_own_host_and_path(link, start):
    """The S2S URL is https, with the link's host and path."""
    decision = decide(click(link), rule_set())

    assert start == decision.call.url[: len(start)]


def test_an_endpoint_takes_the_place_of_scheme_and_host():
    """`delivery.endpoint` replaces the link's scheme and host, and leaves path and query."""
    rules = rule_set(delivery=Delivery(endpoint="http://127.0.0.1:9000"))

    assert "http://127.0.0.1:9000/com.example.game?a=1&af_ref=" in direct("a=1", rules=rules).call.url


def test_the_call_carries_the_clicks_id():
    """The call has the click's id, so that a retry is known."""
    assert direct().call.id == CLICK_ID


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("pid=a%20b&c=a+b&af_sub1=%2f%2F&x=~!*'()", id="encodings"),
        pytest.param("a=1&&b&=c&a=2&A=3", id="empty segments, duplicates, no value"),
        pytest.param("a=%zz%&b=%ff&c=%0d%0a", id="broken percent-encoding"),
        pytest.param("c={campaign}&af_siteid=null&af_sub1=", id="placeholders of others"),
        pytest.param("z=1&pid=x&a=2", id="order"),
        pytest.param("deep_link_value=x&deep_link_sub1=y&gclid=z&expires=1", id="parameters to keep"),
        pytest.param("af_os=12&Af_Ip=1&AF_UA=x", id="names that resemble ours"),
    ],
)
def test_the_links_own_parameters_stay_byte_for_byte(query):
    """Parameters of the link stay as they are, in order, and are never decoded and encoded again."""
    assert query.split("&") == segments(direct(query))[: len(query.split("&"))]


@pytest.mark.parametrize("value", ["true", "", "{redirect}", "1"])
def test_a_redirect_parameter_is_replaced(value):
    """A `redirect` of the link's own gives way to `redirect=false`, once and at the end."""
    found = segments(direct(f"redirect={value}&a=1&re%64irect=x"))

    expected = ["redirect=false"]
    assert expected == found[-1:] == [segment for segment in found if "redirect=" in unquote(segment)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("af_ref", "Other_9"),
        ("af_ip", "8.8.8.8"),
        ("af_ua", "Mozilla%2F5.0%20(Linux%3B%20Android%2011%3B%20A1)"),
        ("af_lang", "fr"),
        ("af_os_version", "11"),
        ("af_model", "SM-A115M"),
    ],
)
def test_a_real_value_of_the_link_wins(name, value):
    """A parameter that the link has with a real value stays where it is, byte for byte, and ours is not added."""
    found = segments(direct(f"a=1&{name}={value}&b=2", {"Accept-Language": "de"}))

    assert ["a=1", f"{name}={value}", "b=2"] == found[:3]
    assert [f"{name}={value}"] == [segment for segment in found if segment.startswith(f"{name}=")]


@pytest.mark.parametrize("name", ["af_ref", "af_ip", "af_ua", "af_lang", "af_os_version", "af_model"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("{x}", id="braces"),
        pytest.param("[x]", id="brackets"),
        pytest.param("%7Bx%7D", id="encoded braces"),
        pytest.param("%23x%23", id="hashes"),
        pytest.param("a%0Ab", id="line break"),
        pytest.param("%ff", id="no UTF-8"),
    ],
)
def test_an_absent_value_of_the_link_is_replaced(name, value):
    """A placeholder of the link's, or a value that no header could hold, gives way to ours."""
    ours = params(direct("clickid=K1", {"Accept-Language": "de"}))[name]

    assert ours == params(direct(f"{name}={value}&clickid=K1", {"Accept-Language": "de"}))[name]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        pytest.param("af_ip=8.8.8.8&af_ip=9.9.9.9", "8.8.8.8", id="two real values"),
        pytest.param("af_ip=&af_ip=8.8.8.8", "8.8.8.8", id="empty, then real"),
        pytest.param("af_ip={ip}&af_ip=8.8.8.8&af_ip=8.8.8.8", "8.8.8.8", id="macro, then real twice"),
        pytest.param("af_ip=8.8.8.8&%61f_ip=8.8.8.8", "8.8.8.8", id="the same name, encoded"),
        pytest.param("af_ip={ip}&af_ip=", PEER, id="no real value"),
    ],
)
def test_a_name_of_ours_never_stands_twice(query, kept):
    """Of several values of one name the first real one is kept, else ours is added: once."""
    found = [segment for segment in segments(direct(query)) if unquote(segment).startswith("af_ip=")]

    assert [f"af_ip={kept}"] == found


def test_the_parameters_of_ours_stand_in_their_order():
    """What we add comes after the link's own in a fixed order."""
    names = [segment.partition("=")[0] for segment in segments(direct("a=1", {"Accept-Language": "de"}))]

    assert ["a", *OURS] == names


@pytest.mark.parametrize("value", ["A B+C&D=E/F?é\u2028", "100%", "a%20b"])
def test_a_value_that_we_add_is_encoded_once(value):
    """What we add is percent-encoded once, as UTF-8, with `%20` for a space."""
    encoded = params(direct(user_agent=f"{PIXEL} {value}"))["af_ua"]

    assert f"{PIXEL} {value}" == unquote(encoded)
    assert re.fullmatch(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})*", encoded)


# Headers


def test_the_headers():
    """The call carries User-Agent, Accept, Content-Type, X-Forwarded-For and Accept-Language, and nothing else."""
    given = {"Accept-Language": "de-DE,de;q=0.9", "Cookie": "a=b", "Referer": "https://x.example/", "X-Other": "1"}
    expected = {
        "User-Agent": PIXEL,
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-Forwarded-For": PEER,
        "Accept-Language": "de-DE,de;q=0.9",
    }

    assert expected == dict(direct("", given).call.headers)


@pytest.mark.parametrize("rules", [rule_set(), SILENT], ids=["enriched", "enrich: []"])
@pytest.mark.parametrize(
    "query",
    [
        pytest.param("af_ua=Mozilla%2F5.0+(Linux%3B%20Android%2011%3B%20A1)", id="the link's own"),
        pytest.param("af_ua=&af_ua=Other%2F1.0%20%C3%A9", id="the link's own, second and not ASCII"),
        pytest.param("af_ua={ua}", id="a macro"),
        pytest.param("", id="none"),
    ],
)
def test_the_user_agent_equals_af_ua(query, rules):
    """The call's User-Agent is the decoded `af_ua`, whoever wrote it; without one it is the browser's."""
    decision = direct(query, rules=rules)
    sent = [
        unquote(segment.partition("=")[2].replace("+", " ")) for segment in segments(decision) if "af_ua" in segment
    ]
    real = [value for value in sent if value not in {"", "{ua}"}] or [PIXEL]

    assert real == header(decision, "User-Agent")


@pytest.mark.parametrize(
    ("query", "rules", "address"),
    [
        pytest.param("", rule_set(), [PEER], id="the client's"),
        pytest.param("af_ip=8.8.8.8", rule_set(), ["8.8.8.8"], id="the link's"),
        pytest.param("af_ip=2606%3A4700%3A%3A1", rule_set(), ["2606:4700::1"], id="the link's IPv6"),
        pytest.param("af_ip={ip}", rule_set(), [PEER], id="a macro"),
        pytest.param("af_ip=nowhere", rule_set(), [PEER], id="the link's, no address"),
        pytest.param("af_ip=nowhere", SILENT, [], id="the link's, no address, enrich: []"),
        pytest.param("", SILENT, [], id="enrich: []"),
        pytest.param("af_ip=8.8.8.8", SILENT, ["8.8.8.8"], id="the link's, enrich: []"),
    ],
)
def test_x_forwarded_for_equals_af_ip(query, rules, address):
    """The call's X-Forwarded-For is the `af_ip` of its URL, and missing where that is missing or no address."""
    assert address == header(direct(query, rules=rules), "X-Forwarded-For")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("de\r\nX-Evil: 1", id="line break"),
        pytest.param("de\udcff", id="no UTF-8"),
        pytest.param("d" * 257, id="too long"),
    ],
)
def test_an_unfit_accept_language_is_not_sent(value):
    """An Accept-Language that is missing, too long or no text stays behind."""
    assert not header(direct("", {"Accept-Language": value}), "Accept-Language")


# What we say about the device


@pytest.mark.parametrize(
    ("name", "headers", "more", "value", "source"),
    [
        pytest.param("af_ua", {}, {}, PIXEL, "header: User-Agent", id="af_ua, User-Agent"),
        pytest.param("af_ip", {}, {}, PEER, "address: client address", id="af_ip, client address"),
        pytest.param(
            "af_ip", {}, {"peer": "2606:4700::ab"}, "2606:4700::ab", "address: client address", id="af_ip, IPv6"
        ),
        pytest.param("af_ip", {}, {"peer": "10.0.0.1"}, None, "omitted: not a public address", id="af_ip, private"),
        pytest.param("af_ip", {}, {"peer": "127.0.0.1"}, None, "omitted: not a public address", id="af_ip, loopback"),
        pytest.param(
            "af_ip", {}, {"peer": "169.254.9.9"}, None, "omitted: not a public address", id="af_ip, link-local"
        ),
        pytest.param("af_ip", {}, {"peer": "100.64.0.1"}, None, "omitted: not a public address", id="af_ip, CGNAT"),
        pytest.param("af_ip", {}, {"peer": "240.0.0.1"}, None, "omitted: not a public address", id="af_ip, reserved"),
        pytest.param("af_ip", {}, {"peer": ""}, None, "omitted: no client address", id="af_ip, unknown"),
        pytest.param("af_lang", {"Accept-Language": "en-US,de"}, {}, "en-US", "header: Accept-Language", id="af_lang"),
        pytest.param(
            "af_lang", {"Accept-Language": "*"}, {}, None, "omitted: no language in Accept-Language", id="any"
        ),
        pytest.param(
            "af_lang", {"Accept-Language": "e;n"}, {}, None, "omitted: no language in Accept-Language", id="malformed"
        ),
        pytest.param(
            "af_os_version",
            {"Sec-CH-UA-Platform-Version": '"14.0.0"'},
            {},
            "14",
            "hint: Sec-CH-UA-Platform-Version",
            id="af_os_version, hint",
        ),
        pytest.param("af_os_version", {}, {}, "12", "user_agent: User-Agent", id="af_os_version, User-Agent"),
        pytest.param("af_model", {"Sec-CH-UA-Model": '"SM-S918B"'}, {}, "SM-S918B", "hint: Sec-CH-UA-Model", id="hint"),
        pytest.param("af_model", {}, {}, "Pixel 5", "user_agent: User-Agent", id="af_model, build model"),
        pytest.param(
            "af_model", {}, {"base": IOS, "user_agent": IPHONE}, "iphone", "user_agent: User-Agent", id="iPhone"
        ),
        pytest.param("af_model", {}, {"base": IOS, "user_agent": IPAD}, "ipad", "user_agent: User-Agent", id="iPad"),
        pytest.param(
            "af_os_version",
            {},
            {"base": IOS, "user_agent": IPHONE},
            "17.5.1",
            "user_agent: User-Agent",
            id="iOS version",
        ),
        pytest.param(
            "af_os_version",
            {},
            {
                "base": IOS,
                "user_agent": IPHONE.replace("17_5_1", "18_6").replace("Version/17.5", "Version/26.0"),
            },
            "26.0",
            "user_agent: User-Agent",
            id="Safari 26",
        ),
        pytest.param(
            "af_os_version",
            {},
            {"user_agent": REDUCED},
            None,
            "omitted: the User-Agent does not say it, and no client hint came",
            id="af_os_version, reduced User-Agent",
        ),
        pytest.param(
            "af_model",
            {},
            {"user_agent": REDUCED},
            None,
            "omitted: the User-Agent does not say it, and no client hint came",
            id="af_model, reduced User-Agent",
        ),
    ],
)
def test_a_parameter_and_where_it_came_from(name, headers, more, value, source):
    """Each parameter about the device comes from where the design says, or is left out and says why."""
    decision = direct("pid=x", headers, **more)
    kind, _, why = source.partition(": ")

    assert Param(name, value, Source(kind), why) == shown(decision)[name]
    assert (None if value is None else quote(value, safe="")) == params(decision).get(name)


@pytest.mark.parametrize("name", ["af_ua", "af_ip", "af_lang", "af_os_version", "af_model"])
def test_the_links_own_word_comes_first(name):
    """A real value of the link's says so, whatever headers and hints hold."""
    hints = {"Accept-Language": "de", "Sec-CH-UA-Model": '"A1"', "Sec-CH-UA-Platform-Version": '"15.0.0"'}

    assert Param(name, "8.8.8.8", Source.LINK) == shown(direct(f"{name}=8.8.8.8", hints))[name]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        pytest.param("a=1&af_ref=Other_%39&b=2", "a=1&af_ref=Other_%39&b=2", id="real"),
        pytest.param("af_ref=%0d%0a&b=2", "af_ref=%0d%0a&b=2", id="no text"),
        pytest.param("af_ip=8.8.8.8%0d%0a&af_ua=x%00&b=2", "b=2", id="no text, of the device"),
        pytest.param("af_ref=&b=2", "af_ref=&b=2", id="empty"),
        pytest.param("af_ref={ref}&b=2", "b=2", id="never filled in"),
        pytest.param("af_ref=&af_ref=Other_9&b=2", "af_ref=Other_9&b=2", id="twice"),
    ],
)
def test_a_referrer_that_no_store_takes_stays_unless_nobody_filled_it_in(query, kept):
    """On iOS there is no referrer of ours: the link's stays byte for byte, a macro is dropped."""
    decision = direct(query, base=IOS, user_agent=IPHONE, rules=SILENT)

    assert f"{IOS}?{kept}&redirect=false" == decision.call.url


NO_ADDRESS = {
    "private": "10.0.0.1",
    "loopback": "127.0.0.1",
    "CGNAT": "100.64.1.2",
    "a list": "81.2.69.142%2C%2010.0.0.7",
    "with a port": "177.139.0.7%3A17085",
    "IPv6 with a port": "%5B2606%3A4700%3A%3A1%5D%3A443",
    "with a zone": "2606%3A4700%3A%3A1%25eth0",
    "unknown": "unknown",
    "a name": "phone.example",
    "a number": "1361199502",
    "spaces around": "+81.2.69.142",
}


@pytest.mark.parametrize("value", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_an_address_of_the_link_that_is_no_single_public_one_is_ours(value):
    """What is no address of a person's is no real value: ours goes out."""
    found = shown(direct(f"af_ip={value}"))["af_ip"]

    why = "client address; the link's own is no single public address"
    assert Param("af_ip", PEER, Source.ADDRESS, why) == found


@pytest.mark.parametrize("value", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_such_an_address_is_dropped_where_we_say_none(value):
    """Where the rule adds none it is not sent either, neither in the URL nor as a header."""
    decision = direct(f"af_ip={value}", rules=SILENT)

    assert ("af_ip" in params(decision), header(decision, "X-Forwarded-For")) == (False, [])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Mozilla%252F5.0%2B%2528iPhone%253B%2BCPU%2529", id="twice, spaces as +"),
        pytest.param("Mozilla%252F5.0%2520%2528iPhone%253B%2520CPU%2529", id="twice, spaces as %20"),
        pytest.param("Mozilla/5.0%2520(iPhone;%2520CPU)", id="twice, by encodeURI"),
        pytest.param("Mozilla%25252F5.0%252520%252528iPhone", id="three times"),
        pytest.param("okhttp%252F4.9.3", id="twice, a single product"),
        pytest.param("Mozilla%252F5.0+%2528Linux%253B+Android+13%2529", id="as a form, then by encodeURI"),
        pytest.param("Dalvik%252F2.1.0%20(Linux%3B%20U)", id="in a part"),
        pytest.param("Mozilla/5.0%2B(iPhone;%2BCPU)", id="twice, by a form that leaves marks"),
        pytest.param("Mozilla%2F5.0%20%2528iPhone%253B", id="in another part"),
    ],
)
def test_a_user_agent_that_is_encoded_twice_is_ours(value):
    """What reads like a User-Agent only once it is decoded again is none: ours goes out, as parameter and header."""
    decision = direct(f"af_ua={value}")

    assert (quote(PIXEL, safe=""), [PIXEL]) == (params(decision)["af_ua"], header(decision, "User-Agent"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Mozilla%2F5.0%20(Linux%3B%20Android%2011%3B%20A1)", id="encoded once"),
        pytest.param("My%2520App/7%20CFNetwork/1410%20Darwin/22", id="an app's name with a space"),
        pytest.param("Mozilla/5.0(Linux;Android11;A1)", id="lost spaces"),
        pytest.param("okhttp/4.9.3", id="a single product"),
        pytest.param("100%25+Pure/1.0", id="a per cent sign"),
        pytest.param("Browser", id="a name"),
        pytest.param("Foo%2F1.0%2Bbar", id="a plus"),
    ],
)
def test_a_user_agent_that_is_encoded_once_is_the_links(value):
    """A User-Agent is not taken for one that is encoded twice, whatever it holds."""
    assert value == params(direct(f"af_ua={value}"))["af_ua"]


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        pytest.param('c="spring"&d=<x>', "c=%22spring%22&d=%3Cx%3E", id="quotes and angle brackets"),
        pytest.param('a"b=1', "a%22b=1", id="in a name"),
        pytest.param("c='{}|\\^`", "c='{}|\\^`", id="what browsers leave"),
        pytest.param("c=%3c%22", "c=%3c%22", id="encoded already"),
        pytest.param("c=%zz%", "c=%zz%", id="broken percent-codes"),
    ],
)
def test_what_a_browser_would_encode_is_encoded(query, sent):
    """A raw `"`, `<` or `>` is encoded in the call, and nothing else is changed."""
    assert f"{BASE}?{sent}&af_ref=" in direct(query).call.url


STRANGERS = {"is_believed": False, "at_answer": True}


def strangers(query, headers=None, rules=None):
    """The direct decision about a click on a link that anybody may have written."""
    decision = decide(replace(click(f"{BASE}?{query}", headers), **STRANGERS), rules or rule_set())
    assert isinstance(decision, Direct), decision
    return decision


@pytest.mark.parametrize("rules", [rule_set(), SILENT], ids=["enriched", "enrich: []"])
def test_a_strangers_link_chooses_neither_address_nor_user_agent(rules):
    """What leaves from our servers as a header is what we know, or the browser's own."""
    decision = strangers("af_ip=8.8.8.8&af_ua=Other%2F1.0", rules=rules)

    assert [PIXEL] == header(decision, "User-Agent")
    assert "8.8.8.8" not in decision.call.url + str(decision.call.headers)
    assert "Other" not in decision.call.url


@pytest.mark.parametrize(("name", "ours"), [("af_lang", "de"), ("af_os_version", "12"), ("af_model", "Pixel%205")])
def test_a_strangers_link_does_not_win_over_what_we_know(name, ours):
    """Language, version and model are ours where we know them."""
    assert ours == params(strangers(f"{name}=other", {"Accept-Language": "de"}))[name]


@pytest.mark.parametrize("name", ["clickid", "advertising_id", "c", "af_lang"])
def test_the_rest_of_a_strangers_link_stays(name):
    """Ids, what is not ours to say, and what we do not know stay as they are."""
    assert "x1" == params(strangers(f"{name}=x1"))[name]


def test_a_trusted_proxy_says_who_clicked():
    """Behind a trusted proxy `af_ip` is the address that the configured header gives."""
    rules = rule_set(proxies=Proxies((ip_network("10.0.0.0/8"),)))
    decision = direct("", {"X-Forwarded-For": "8.8.8.8, 93.184.216.34, 10.0.0.2"}, rules, peer="10.0.0.1")

    assert params(decision)["af_ip"] == "93.184.216.34"


@pytest.mark.parametrize("rules", [rule_set(), SILENT], ids=["enriched", "enrich: []"])
def test_hints_say_nothing_about_another_browser(rules):
    """Where the link's `af_ua` is another browser's, version and model come from it, not from this one's hints."""
    only = frozenset({Enrich.AF_OS_VERSION, Enrich.AF_MODEL})
    rules = rule_set(Rule("games", partner="NetworkA", enrich=rules.rules[0][1].enrich | only))
    own = quote("Mozilla/5.0 (Linux; Android 11; A1) AppleWebKit/537.36", safe="")
    hints = {"Sec-CH-UA-Model": '"SM-S918B"', "Sec-CH-UA-Platform-Version": '"14.0.0"'}
    found = params(direct(f"af_ua={own}", hints, rules))

    expected = ("11", "A1")
    assert expected == (found["af_os_version"], found["af_model"])


@pytest.mark.parametrize("name", list(Enrich))
def test_each_parameter_is_switchable(name):
    """`enrich` names the parameters that may be said about the device; the others are neither sent nor shown."""
    rules = rule_set(Rule("games", partner="NetworkA", enrich=frozenset({name})))
    decision = direct("", {"Accept-Language": "de"}, rules)

    expected = {"af_ref", name, "redirect"}
    assert expected == set(params(decision)) == set(shown(decision))


def test_saying_nothing_is_supported():
    """With `enrich: []` only the referrer and redirect=false are added."""
    expected = ["pid=x", "clickid=K1", "af_ref=NetworkA_K1", "redirect=false"]

    assert expected == segments(direct("pid=x&clickid=K1", {"Accept-Language": "de"}, SILENT))


def test_saying_nothing_leaves_what_the_link_says():
    """With `enrich: []` the link's own parameters about the device stay, but for macros."""
    assert segments(direct("af_ua=x&af_ip={ip}&af_lang=", rules=SILENT))[:2] == ["af_ua=x", "af_lang="]


# Device ids


def sha1(text):
    return hashlib.sha1(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        pytest.param(f"advertising_id={GAID}", f"advertising_id={GAID}", id="advertising id"),
        pytest.param(
            f"advertising_id={GAID}&android_id=9774d56d682e549c", f"advertising_id={GAID}", id="plain dropped"
        ),
        pytest.param(
            f"sha1_android_id={SHA1_OF_ANDROID_ID}&md5_android_id={'a' * 32}&advertising_id={GAID.upper()}",
            f"advertising_id={GAID.upper()}",
            id="hashed dropped",
        ),
        pytest.param(
            f"sha1_advertising_id={sha1(GAID)}&android_id=9774d56d682e549c",
            f"sha1_advertising_id={sha1(GAID)}",
            id="SHA-1 of an advertising id",
        ),
        pytest.param("android_id=9774d56d682e549c", f"sha1_android_id={SHA1_OF_ANDROID_ID}", id="Android id hashed"),
        pytest.param("android_id=9774D56D682E549C", f"sha1_android_id={sha1('9774D56D682E549C')}", id="as written"),
        pytest.param("android_id=a%2Fb", f"sha1_android_id={sha1('a/b')}", id="decoded first"),
        pytest.param(
            f"android_id={SHA1_OF_ANDROID_ID}", f"sha1_android_id={SHA1_OF_ANDROID_ID}", id="never hashed twice"
        ),
        pytest.param(
            f"android_id=9774d56d682e549c&sha1_android_id={SHA1_OF_ANDROID_ID}",
            f"sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="hashed by the link",
        ),
        pytest.param(
            "sha1_android_id={x}&android_id=9774d56d682e549c",
            f"sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="macro for the hash",
        ),
        pytest.param(
            "android_id=9774d56d682e549c&android_id=9774d56d682e549c",
            f"sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="Android id twice",
        ),
        pytest.param("android_id=9774d56d682e549c&android_id=b", f"sha1_android_id={SHA1_OF_ANDROID_ID}", id="two ids"),
        pytest.param(
            f"advertising_id={ZERO_ID}&android_id=9774d56d682e549c",
            f"sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="zeroed advertising id",
        ),
        pytest.param(
            "advertising_id={gaid}&android_id=9774d56d682e549c",
            f"sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="macro for the advertising id",
        ),
        pytest.param(
            f"sha1_advertising_id={sha1(ZERO_ID)}&android_id=9774d56d682e549c",
            f"sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="hash of the zeroed id",
        ),
        pytest.param(
            "advertising_id=12345&android_id=9774d56d682e549c",
            f"advertising_id=12345&sha1_android_id={SHA1_OF_ANDROID_ID}",
            id="malformed advertising id",
        ),
        pytest.param(f"idfa={GAID.upper()}&idfv=", f"idfa={GAID.upper()}", id="idfa"),
        pytest.param(f"sha1_idfa={sha1('x')}", f"sha1_idfa={sha1('x')}", id="sha1_idfa"),
        pytest.param(f"idfa={ZERO_ID}&sha1_idfa={sha1(ZERO_ID)}&oaid=null&imei=[imei]", "", id="zeroed and macros"),
        pytest.param("oaid=o1&imei=i1&fire_advertising_id=f1", "oaid=o1&imei=i1&fire_advertising_id=f1", id="others"),
        pytest.param("a=1", "", id="none"),
    ],
)
def test_the_device_ids(query, kept):
    """A valid advertising id ousts Android ids, a lone Android id goes as its SHA-1, placeholders are dropped."""
    ids = [
        segment
        for segment in segments(direct(query, rules=SILENT))
        if re.match(r"\w*(?:_id|idfa|idfv|oaid|imei)=", segment)
    ]

    assert (kept.split("&") if kept else []) == ids


def test_an_id_takes_the_place_of_the_one_it_replaces():
    """The hash stands where the Android id stood, so that everything else keeps its order."""
    expected = ["a=1", f"sha1_android_id={SHA1_OF_ANDROID_ID}", "b=2"]

    assert expected == segments(direct("a=1&android_id=9774d56d682e549c&b=2"))[:3]


@pytest.mark.parametrize(
    ("query", "name", "why"),
    [
        (f"advertising_id={ZERO_ID}", "advertising_id", "empty or zeroed"),
        (f"android_id=x&advertising_id={GAID}", "android_id", "the link has an advertising id"),
        (f"android_id=x&sha1_android_id={SHA1_OF_ANDROID_ID}", "android_id", "the link has its SHA-1"),
    ],
)
def test_a_dropped_id_says_why(query, name, why):
    """A device id that is left out is shown without its value, and with the reason."""
    assert Param(name, None, Source.OMITTED, why) in direct(query).params


# The referrer


@pytest.mark.parametrize(
    ("query", "keys", "token"),
    [
        pytest.param("clickid=K1", {}, "NetworkA_K1", id="click id"),
        pytest.param("clickid=K1&af_ref=Other_9", {}, "Other_9", id="own af_ref"),
        pytest.param("clickid=K1&af_ref={ref}", {}, "NetworkA_K1", id="macro for af_ref"),
        pytest.param("a=1", {}, f"NetworkA_{CLICK_ID}", id="no click id"),
        pytest.param("clickid=", {}, f"NetworkA_{CLICK_ID}", id="empty click id"),
        pytest.param("clickid={clickid}", {}, f"NetworkA_{CLICK_ID}", id="macro for the click id"),
        pytest.param("clickid=a%20b", {}, f"NetworkA_{CLICK_ID}", id="a click id that needs encoding"),
        pytest.param(f"clickid={'x' * 119}", {}, f"NetworkA_{'x' * 119}", id="128 characters"),
        pytest.param(f"clickid={'x' * 120}", {}, f"NetworkA_{CLICK_ID}", id="129 characters"),
        pytest.param("clickid=%4B1", {}, "NetworkA_K1", id="encoded click id"),
        pytest.param("clickid=&clickid=K2", {}, "NetworkA_K2", id="the first real click id"),
        pytest.param("tid=T1&clickid=K1", {"click_id": ("tid", "clickid")}, "NetworkA_T1", id="first of two names"),
        pytest.param("clickid=K1", {"click_id": ("tid", "clickid")}, "NetworkA_K1", id="second of two names"),
        pytest.param("clickid=K1", {"partner": "Other"}, "Other_K1", id="the rule's partner"),
    ],
)
def test_the_referrer_token(query, keys, token):
    """The token is PARTNER_<click id>, PARTNER_<new id> where there is none that fits, or the link's own."""
    decision = direct(query, rules=rule_set(Rule("games", **{"partner": "NetworkA", **keys})))

    assert token == decision.referrer


@pytest.mark.parametrize("query", ["clickid=K1", "a=1", "af_ref=My%20own%26ref", "af_ref=a_1&af_ref=b_2"])
def test_the_store_and_appsflyer_get_the_same_token(query):
    """The store's `referrer` and the call's `af_ref` are the same token."""
    decision = direct(query)
    _, _, at_store = decision.location.partition("&referrer=")

    assert [decision.referrer, decision.referrer] == [unquote(at_store), unquote(params(decision)["af_ref"])]


@pytest.mark.parametrize(
    ("shop", "base", "user_agent"),
    [
        (Store.APP_STORE, IOS, IPHONE),
        (Store.SAMSUNG_GALAXY_STORE, BASE, PIXEL),
        (Store.XIAOMI_GETAPPS, BASE, PIXEL),
        (Store.AMAZON_APPSTORE, BASE, PIXEL),
    ],
)
def test_a_store_without_referrer_gets_no_token(shop, base, user_agent):
    """Where the store hands no referrer to the app, none is made and no `af_ref` is sent."""
    decision = direct(
        "clickid=K1", rules=rule_set(Rule("games", partner="N", store=shop)), base=base, user_agent=user_agent
    )

    assert decision.referrer is None
    assert "af_ref" not in params(decision)


def test_af_tranid_is_never_forged():
    """`af_tranid` is AppsFlyer's own: it is in no URL of ours."""
    decision = direct("clickid=K1")

    assert "af_tranid" not in decision.location + decision.call.url


# Length


def decide_filled(length):
    """The decision about a link whose S2S URL would have exactly `length` characters."""
    bare = len(direct("x=", {"Accept-Language": "de"}).call.url)
    return decide(click(f"{BASE}?x={'y' * (length - bare)}", {"Accept-Language": "de"}), rule_set())


COST = {
    "af_lang": len("&af_lang=de"),
    "af_model": len("&af_model=Pixel%205"),
    "af_os_version": len("&af_os_version=12"),
}


@pytest.mark.parametrize(
    ("length", "shed"),
    [
        pytest.param(2000, [], id="2,000 characters"),
        pytest.param(2001, ["af_lang"], id="one too many"),
        pytest.param(2000 + COST["af_lang"], ["af_lang"], id="the language's worth"),
        pytest.param(2001 + COST["af_lang"], ["af_lang", "af_model"], id="more than the language's worth"),
        pytest.param(2000 + COST["af_lang"] + COST["af_model"], ["af_lang", "af_model"], id="language and model"),
        pytest.param(2000 + sum(COST.values()), ["af_lang", "af_model", "af_os_version"], id="all that may be shed"),
    ],
)
def test_a_long_url_sheds_in_order(length, shed):
    """Above 2,000 characters `af_lang` goes first, then `af_model`, then `af_os_version`, and each says why."""
    decision = decide_filled(length)
    kept = params(decision)

    assert length - sum(COST[name] for name in shed) == len(decision.call.url)
    assert shed == [name for name in COST if name not in kept]
    assert shed == [name for name in COST if shown(decision)[name].why == "no room in 2,000 characters"]


def test_what_must_not_be_shed_makes_it_too_long():
    """Once nothing optional is left, one character more makes the click pass: ids are never shed."""
    decision = decide_filled(2001 + sum(COST.values()))

    assert decision.reason == "too_long"


def test_the_links_own_optional_parameters_are_never_shed():
    """What the link says itself stays, however long the URL is."""
    bare = len(direct("af_lang=fr&x=", {"Accept-Language": "de"}).call.url)
    decision = direct(f"af_lang=fr&x={'y' * (2001 - bare)}", {"Accept-Language": "de"})

    assert params(decision)["af_lang"] == "fr"
    assert "af_model" not in params(decision)


# Everything is shown


def test_every_parameter_of_the_call_is_shown():
    """Each parameter of the S2S URL is listed with its source, in the URL's order, decoded."""
    decision = direct("pid=a%20b&&c=&af_lang=fr&clickid=K1")
    expected = [
        Param("pid", "a b", Source.LINK),
        Param("c", "", Source.LINK),
        Param("clickid", "K1", Source.LINK),
        Param("af_ref", "NetworkA_K1", Source.GENERATED, "partner and clickid"),
        Param("af_ip", PEER, Source.ADDRESS, "client address"),
        Param("af_ua", PIXEL, Source.HEADER, "User-Agent"),
        Param("af_lang", "fr", Source.LINK),
        Param("af_os_version", "12", Source.USER_AGENT, "User-Agent"),
        Param("af_model", "Pixel 5", Source.USER_AGENT, "User-Agent"),
        Param("redirect", "false", Source.GENERATED, "marks a server-to-server click"),
    ]

    assert expected == list(decision.params)
