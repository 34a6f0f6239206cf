"""Attribution links: what is one, what its parts are, which values count as absent (design §3)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide import link

ZERO_ID = "00000000-0000-0000-0000-000000000000"


def query(text):
    return link.split(f"https://app.appsflyer.com/com.example.game?{text}")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        pytest.param("https://app.appsflyer.com/a", "app.appsflyer.com", id="https"),
        pytest.param("http://app.appsflyer.com/a", "app.appsflyer.com", id="http"),
        pytest.param("//app.appsflyer.com/a", "app.appsflyer.com", id="scheme-relative"),
        pytest.param("HTTPS://App.AppsFlyer.COM/a", "app.appsflyer.com", id="upper case"),
        pytest.param("https://app.appsflyer.com./a", "app.appsflyer.com", id="trailing dot"),
        pytest.param("https://app.appsflyer.com:443/a", "app.appsflyer.com", id="port"),
        pytest.param("https://app.appsflyer.com?a=1", "app.appsflyer.com", id="no path"),
        pytest.param("https://app.appsflyer.com@evil.example/a", "evil.example", id="host as user name"),
        pytest.param("https://app.appsflyer.com.evil.example/a", "app.appsflyer.com.evil.example", id="host as prefix"),
        pytest.param("https://evil.example/https://app.appsflyer.com/a", "evil.example", id="host in the path"),
    ],
)
def test_the_host_is_the_one_that_a_browser_would_ask(text, host):
    """The host is what a browser would connect to, in lower case, without port and trailing dot."""
    assert host == link.split(text).host


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("/com.example.game?pid=x", id="path only"),
        pytest.param("market://details?id=com.example.game", id="another scheme"),
        pytest.param("javascript://app.appsflyer.com/%0aalert(1)", id="script"),
        pytest.param("https:///com.example.game", id="no host"),
        pytest.param("https://app_appsflyer.com/a", id="no host name"),
        pytest.param("https://[::1]/a", id="address in brackets"),
        pytest.param(" https://app.appsflyer.com/a", id="leading space"),
    ],
)
def test_what_is_no_http_link_with_a_host_name_is_no_link(text):
    """Only an http(s) link with a host name is split."""
    assert link.split(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("https://app.appsflyer.com/a b", "character", id="space"),
        pytest.param("https://app.appsflyer.com/a\r\nSet-Cookie: x", "character", id="line break"),
        pytest.param("https://app.appsflyer.com/a?c=é", "character", id="not ASCII"),
        pytest.param("https://app.appsflyer.com/a?c=\udcff", "character", id="no UTF-8"),
        pytest.param("https://app.appsflyer.com/a#\x00", "character", id="in the fragment"),
        pytest.param("https://me@app.appsflyer.com/a", "user name", id="user name"),
        pytest.param("https://@app.appsflyer.com/a", "user name", id="empty user name"),
        pytest.param("https://app.appsflyer.com:8443/a", "port 8443", id="another port"),
        pytest.param("http://app.appsflyer.com:443/a", "port 443", id="the other scheme's port"),
    ],
)
def test_a_link_that_cannot_be_repeated_says_why(text, fault):
    """A link that a header or a URL cannot hold unchanged is invalid, and says why."""
    assert fault in link.split(text).invalid


@pytest.mark.parametrize(
    "text",
    [
        "https://app.appsflyer.com:443/a",
        "http://app.appsflyer.com:80/a",
        "https://app.appsflyer.com:/a",
        "https://app.appsflyer.com/a?b=%0d%0a%ff#c",
    ],
)
def test_an_ordinary_link_is_valid(text):
    """A link of visible ASCII characters on its scheme's own port is valid."""
    assert not link.split(text).invalid


def test_parameters_are_read_without_changing_a_byte():
    """Each parameter keeps its raw segment, in order, empty ones included; name and value are decoded beside it."""
    expected = (
        ("pid", "a b", "pid=a%20b"),
        ("", "", ""),
        ("flag", "", "flag"),
        ("af_ip", "x=y", "%61f_ip=x=y"),
        ("c", " ", "c=+"),
        ("", "", ""),
    )

    assert expected == query("pid=a%20b&&flag&%61f_ip=x=y&c=+&").params


def test_no_query_has_no_parameters():
    """A link without a query has no parameters, not one empty one."""
    assert not query("").params


def test_the_fragment_is_no_part_of_the_query():
    """What follows `#` never leaves a browser, so it is no parameter."""
    expected = "pid=a"

    assert expected == query("pid=a#&c=b").query


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param("a%20b", "a b", id="percent"),
        pytest.param("a+b", "a b", id="plus"),
        pytest.param("a%2Bb", "a+b", id="encoded plus"),
        pytest.param("%252F", "%2F", id="decoded once"),
        pytest.param("%C3%A9", "é", id="UTF-8"),
        pytest.param("%ff", "\ufffd", id="no UTF-8"),
        pytest.param("%zz%", "%zz%", id="broken percent-encoding"),
    ],
)
def test_a_value_is_decoded_once(raw, value):
    """A value is percent-decoded once, as UTF-8, with `+` for a space, and nothing in it raises."""
    assert value == query(f"a={raw}").values["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a=1&a=2", "1", id="the first"),
        pytest.param("a=&a=2", "2", id="empty, then real"),
        pytest.param("a={x}&a=null&a=2&a=3", "2", id="macro, null, then real"),
        pytest.param("a={x}&a=", "{x}", id="none is real"),
    ],
)
def test_the_first_real_value_of_a_name_counts(text, value):
    """Of a name's values the first real one counts, and the first of all where none is real."""
    assert value == query(text).values["a"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("%20", id="space"),
        pytest.param("null", id="null"),
        pytest.param("NULL", id="NULL"),
        pytest.param(ZERO_ID, id="zeroed id"),
        pytest.param("0000000000000000", id="zeroed id without dashes"),
        pytest.param(hashlib.sha1(ZERO_ID.encode()).hexdigest(), id="SHA-1 of the zeroed id"),
        pytest.param(hashlib.md5(ZERO_ID.encode()).hexdigest(), id="MD5 of the zeroed id"),
        pytest.param(hashlib.sha1(b"").hexdigest().upper(), id="SHA-1 of nothing"),
        pytest.param("d41d8cd98f00b204e9800998ecf8427e", id="MD5 of nothing"),
        pytest.param("{gaid}", id="braces"),
        pytest.param("%7Bgaid%7D", id="encoded braces"),
        pytest.param("${gaid}", id="dollar braces"),
        pytest.param("{{gaid}}", id="double braces"),
        pytest.param("[gaid]", id="brackets"),
        pytest.param("%23gaid%23", id="hashes"),
    ],
)
def test_a_placeholder_counts_as_absent(value):
    """Empty, `null`, a zeroed id, its hash and an unexpanded macro count as absent."""
    assert query(f"a={value}").real("a") is None


@pytest.mark.parametrize(
    "value",
    ["0", "00", "nullable", "x{y", "a[1]", "38400000-8cf0-11bd-b23e-10b96e40000d", "{", "undefined-behaviour"],
)
def test_an_ordinary_value_is_real(value):
    """A value that only resembles a placeholder is real."""
    assert value == query(f"a={value}").real("a")


def test_a_missing_name_has_no_real_value():
    """A name that the link does not have has no real value."""
    assert query("a=1").real("b") is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://app.appsflyer.com/com.example.game?redirect=false", id="redirect=false"),
        pytest.param("https://app.appsflyer.com/com.example.game?redirect=False&a=1", id="False"),
        pytest.param("https://app.appsflyer.com/com.example.game?redirect=&redirect=%66alse", id="second and encoded"),
        pytest.param("https://app.appsflyer.com/v2.0/s2s/com.example.game?pid=x", id="path"),
    ],
)
def test_a_server_to_server_link_is_known(text):
    """`redirect=false` and the path `/v2.0/s2s/` each mark a server-to-server click."""
    assert link.split(text).is_s2s


@pytest.mark.parametrize("text", ["redirect=true", "redirect=", "af_redirect=false", "c=redirect%3Dfalse"])
def test_another_parameter_makes_no_server_to_server_link(text):
    """Only the parameter `redirect` with the value `false` marks a server-to-server click."""
    assert not query(text).is_s2s


@pytest.mark.parametrize(
    ("path", "app"),
    [
        pytest.param("/id123456789", "id123456789", id="App Store"),
        pytest.param("/id123456789/", "id123456789", id="trailing slash"),
        pytest.param("/id123456", "id123456", id="6 digits"),
        pytest.param("/id123456789012", "id123456789012", id="12 digits"),
        pytest.param("/com.example.game", "com.example.game", id="package"),
        pytest.param("/com.Example_2.a1", "com.Example_2.a1", id="package of all characters"),
        pytest.param("/com.example.game-xyz_store", "com.example.game-xyz_store", id="channel"),
        pytest.param("/com.example.game-a-b.c", "com.example.game-a-b.c", id="channel with dashes"),
    ],
)
def test_an_app_id_is_read_from_the_path(path, app):
    """A click's path is `/<app_id>`, with or without a slash behind it."""
    assert app == link.app_id(path)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="no path"),
        pytest.param("/", id="empty"),
        pytest.param("/id12345", id="5 digits"),
        pytest.param("/id1234567890123", id="13 digits"),
        pytest.param("/ID123456789", id="upper case"),
        pytest.param("/id123456789x", id="no digits only"),
        pytest.param("/id123456789-x", id="App Store with a channel"),
        pytest.param("/game", id="no dot"),
        pytest.param("/com..game", id="empty part"),
        pytest.param("/com.1game", id="part begins with a digit"),
        pytest.param("/com.example.game-", id="empty channel"),
        pytest.param("/com.example.game-a%20b", id="encoded channel"),
        pytest.param("/com.example.game/extra", id="another part"),
        pytest.param("//com.example.game", id="two slashes"),
        pytest.param("/com.example.game//", id="two slashes behind"),
        pytest.param("/com%2Eexample.game", id="encoded"),
        pytest.param("\\com.example.game", id="backslash"),
    ],
)
def test_a_malformed_path_has_no_app_id(path):
    """What is neither `id` and 6 to 12 digits nor a package, with or without a channel, is no app id."""
    assert link.app_id(path) is None


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        pytest.param("/AbC1", ("AbC1", False), id="long"),
        pytest.param("/AbC1/", ("AbC1", False), id="trailing slash"),
        pytest.param("/abc123", ("abc123", False), id="6 characters"),
        pytest.param("/AbC1/2f9e", ("AbC1", True), id="short"),
        pytest.param("/AbC1/my_promo", ("AbC1", True), id="short with a name"),
        pytest.param("", None, id="nothing"),
        pytest.param("/", None, id="empty"),
        pytest.param("/Ab1", None, id="too short a template"),
        pytest.param("/com.example.game", None, id="app id"),
        pytest.param("/AbC1/x/y", None, id="three parts"),
    ],
)
def test_a_onelink_path_is_a_template_and_perhaps_a_short_id(path, parts):
    """A OneLink path is a template, and a short link where something follows it."""
    assert parts == link.onelink_path(path)


@given(st.text(max_size=200) | st.text(max_size=200).map(lambda text: f"https://app.appsflyer.com/{text}"))
def test_splitting_never_raises_and_loses_nothing(text):
    """Any text splits or not, and the query of a link joins again from its segments."""
    found = link.split(text)

    assert found is None or found.query == "&".join(segment for _, _, segment in found.params)
