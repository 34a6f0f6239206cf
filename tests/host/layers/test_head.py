"""Which fields go on, and which heads are refused: pure tables. Whole heads are in test_http1 and test_http2."""

import pytest

from storehop.host.layers.head import Gate, Refused, lines_of

GATE = Gate(lambda: "cf-connecting-ip")


def admitted(*fields, authority=b"", needs_host=False):
    return list(GATE.admit(fields, authority, needs_host=needs_host))


@pytest.mark.parametrize(
    "name",
    [
        b"x_forwarded_for",
        b"X_Forwarded_For",
        b"X-Forwarded_For",
        b"X_FORWARDED-PROTO",
        b"x_forwarded_host",
        b"X_Forwarded_Anything_Else",
        b"x_real_ip",
        b"X-Real_IP",
        b"CF_Connecting_IP",
        b"cf_connecting-ip",
    ],
)
def test_a_name_that_others_read_as_a_proxys_is_left_out(name):
    """CGI and WSGI servers read `_` and `-` alike, so it would be the load balancer's word."""
    assert [(b"Accept", b"*/*")] == admitted((name, b"8.8.8.8"), (b"Accept", b"*/*"), (name, b"9.9.9.9"))


@pytest.mark.parametrize(
    "name",
    [
        b"X-Forwarded-For",
        b"Forwarded",
        b"X-Real-IP",
        b"CF-Connecting-IP",
        b"device_id",
        b"x_api_key",
        b"_x_forwarded_for",
        b"x_forwarded",
        b"cf_connecting_ipv6",
        b"content_length",
        b"for_warded",
    ],
)
def test_any_other_name_stays(name):
    """Its bytes are the client's own."""
    assert [(name, b"1")] == admitted((name, b"1"))


@pytest.mark.parametrize(
    "value",
    [
        b"X-Forwarded-For",
        b"close, x-forwarded-for",
        b"keep-alive,X-FORWARDED-PROTO",
        b"X-Forwarded-Port",
        b"Forwarded",
        b"close,\tX-Real-IP ,",
        b"CF-Connecting-IP",
        b"x_forwarded_for",
        b"Host",
        b"Content-Length",
        b"transfer-encoding",
    ],
)
def test_connection_must_not_name_what_is_needed(value):
    """A server that obeys it would lose the client's address, or where the request ends."""
    with pytest.raises(Refused, match="Connection"):
        admitted((b"Connection", b"keep-alive"), (b"connection", value))


@pytest.mark.parametrize(
    "value", [b"", b"close", b"keep-alive, Upgrade", b"TE", b"HTTP2-Settings, Upgrade", b"X-Forwarded", b"X-Mine"]
)
def test_any_other_connection_stays(value):
    """Hop-by-hop fields are the client's to name."""
    assert [(b"Connection", value)] == admitted((b"Connection", value))


@pytest.mark.parametrize(
    ("fields", "authority"),
    [
        ([(b"Host", b"a"), (b"Host", b"b")], b""),
        ([(b"Host", b"a"), (b"hOST", b"a")], b""),
        ([], b""),
        ([(b"Host", b"a")], b"b"),
        ([(b"Host", b"")], b"b"),
    ],
    ids=["two", "the same twice", "none", "another than the target's", "an empty one"],
)
def test_a_request_has_one_host(fields, authority):
    """Of two hosts one server takes the first, the next one the last."""
    with pytest.raises(Refused, match="Host"):
        admitted(*fields, authority=authority, needs_host=True)


@pytest.mark.parametrize(
    ("fields", "authority", "needs_host"),
    [
        ([(b"Host", b"a")], b"", True),
        ([(b"Host", b"")], b"", True),
        ([(b"Host", b"A.example:80")], b"a.EXAMPLE:80", True),
        ([(b"Host", b"a.example")], b"a.example:443", True),
        ([], b"", False),
        ([], b"a", False),
    ],
    ids=["one", "an empty one", "the target's", "with a usual port", "HTTP/1.0", "HTTP/2"],
)
def test_one_host_is_enough(fields, authority, needs_host):
    """What says where a request goes, once."""
    assert fields == admitted(*fields, authority=authority, needs_host=needs_host)


def test_the_same_fields_are_no_copy():
    """What nothing is left out of costs nothing."""
    fields = ((b"Host", b"a"), (b"X", b"device_id"))

    assert GATE.admit(fields, b"", needs_host=True) is fields


def test_lines_are_counted_as_http_1_has_them():
    """Pseudo-header fields are the request line and Host, a cookie's crumbs are one line."""
    pseudo = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
    crumbs = [(b"cookie", b"a=1")] * 50

    assert [2, 3, 4] == [lines_of(pseudo), lines_of(pseudo + crumbs), lines_of([*pseudo, *crumbs, (b"accept", b"*")])]
