"""HTTP/1.1 heads that are refused while they arrive, and those that are not: sans I/O, with mitmproxy's own layers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.host.layers import http1
from storehop.host.layers.head import MAX_HEAD_BYTES, MAX_HEAD_LINES
from tests.support.wires import Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
HOOKS = ["requestheaders", "request", "responseheaders", "response"]
"""Of a request that was let in."""


def said(*pieces):
    """What becomes of bytes that come in these pieces."""
    wire = Wire()
    for piece in pieces:
        wire.receive(piece)
    return wire


def head_of(size):
    """A request head of so many bytes."""
    empty = b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    return empty.replace(b"X: ", b"X: " + b"a" * (size - len(empty)))


def head_with(lines):
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * (lines - 2) + b"\r\n"


def post(*lines, body=b""):
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *lines, b"", body])


CHUNKED = post(b"Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    "head",
    [
        head_of(MAX_HEAD_BYTES),
        head_with(MAX_HEAD_LINES),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET  /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n" + GET,
        b"\r\n\r\n\n" + GET,
        b"\n" * 1000 + GET,
        b"GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9\xff?x=\x01 HTTP/1.1\r\nHost: a\r\nX: \x01\x7f\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n",
    ],
    ids=[
        "as long as may be",
        "as many lines as may be",
        "HTTP/1.0 without Host",
        "HTTP/1.0 with Host",
        "bare LF",
        "two spaces",
        "an empty line before it",
        "empty lines before it",
        "a thousand of them",
        "absolute form",
        "asterisk form",
        "odd method",
        "odd bytes",
        "an empty value",
    ],
)
def test_a_head_is_let_in(head):
    """What has one meaning goes its way, whole or byte by byte."""
    assert (HOOKS, 200) == (said(head).hooks, said(head).status)


REFUSALS = {
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CR in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
    "CR at a value's end": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n",
    "CR in the target": b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
    "CR before the request line": b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "obs-fold by tab": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
    "obs-fold of Host": b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n",
    "obs-fold of the request line": b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n",
    "a line of spaces": b"GET / HTTP/1.1\r\nHost: a\r\n \r\nX: 1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "the same Host twice": b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX: a\r\n\r\n",
    "no Host, HTTP/1.2": b"GET / HTTP/1.2\r\n\r\n",
    "another Host than the target's": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method that is no token": b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in quotes": b'"GET" / HTTP/1.1\r\nHost: a\r\n\r\n',
    "a method beyond ASCII": b"G\xc9T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab behind the method": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "vertical tab in the target": b"GET /\v HTTP/1.1\r\nHost: a\r\n\r\n",
    "form feed before the version": b"GET /\fHTTP/1.1\r\nHost: a\r\n\r\n",
    "a space before the method": b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\nHost: a\r\n\r\n",
    "no such version": b"GET / HTTQ/1.1\r\nHost: a\r\n\r\n",
    "Connection names X-Forwarded-For": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n",
    "Connection names Host": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, host\r\n\r\n",
    "Connection names the configured header": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CF-Connecting-IP\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "Content-Length that is no number": post(b"Content-Length: -1"),
    "two lengths": post(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"),
    "TLS": b"\x16\x03\x09\x00\x05hello\r\n\r\n",
    "NULs": b"\0" * 1000 + b"\r\n\r\n",
    "nothing but a word": b"GET\r\n\r\n",
}


@pytest.mark.parametrize("head", REFUSALS.values(), ids=REFUSALS)
def test_a_head_of_two_meanings_is_refused(head):
    """400 and the end, without a flow, and without a word of what stands behind it."""
    wire = said(head)

    assert ([], True, True) == (wire.hooks, wire.sent.startswith(REFUSED), wire.is_half_closed)
    assert b"mitm" not in wire.sent.lower()


LATE = {
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\nHost: a\r\n\r\n",
    "length and chunks": post(b"Content-Length: 1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
}
"""What mitmproxy refuses by itself, once a flow has begun."""


@pytest.mark.parametrize("head", LATE.values(), ids=LATE)
def test_what_mitmproxy_refuses_is_said_in_our_words(head):
    """400 and the end, and the flow that had begun has ended."""
    wire = said(head)

    assert (["requestheaders", "error"], True) == (wire.hooks, wire.sent.startswith(REFUSED))
    assert b"mitm" not in wire.sent.lower()


@pytest.mark.parametrize(
    "head",
    [head_of(MAX_HEAD_BYTES + 1), head_with(MAX_HEAD_LINES + 1), b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 70_000],
    ids=["a byte too long", "a line too many", "both"],
)
def test_a_head_that_is_too_large_is_refused(head):
    """431 and the end, without a flow."""
    wire = said(head)

    assert ([], 431, True) == (wire.hooks, wire.status, wire.is_half_closed)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (b"GET / HTTP/1.1\r\nX", b"a" * 1000),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 1000),
        (b"GET / HTTP/1.1\r\n", b"X: 1\r\n" * 10),
        (b"GET / HTTP/1.1\r\n", b"X: 1\n" * 10),
    ],
    ids=["a method", "a target", "a name", "a value", "fields", "fields by LF"],
)
def test_a_head_without_an_end_is_refused_while_it_arrives(begin, more):
    """No more than the bound is kept of it, nor of what comes after."""
    wire, most = said(begin), 0
    for _ in range(500):
        wire.receive(more)
        most = max(most, wire.kept)

    assert (431, []) == (wire.status, wire.hooks)
    assert most <= MAX_HEAD_BYTES + len(more)


@given(st.data())
def test_pieces_make_no_difference(data):
    """However the network cuts a head, it is let in or refused as when it comes whole."""
    head = data.draw(st.sampled_from([GET, b"\r\n" + GET, head_with(MAX_HEAD_LINES), *REFUSALS.values()]))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(head)), max_size=8)))
    pieces = [head[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(head)], strict=True)]

    whole, cut = said(head), said(*filter(None, pieces))

    assert (whole.status, whole.hooks) == (cut.status, cut.hooks)


@pytest.mark.parametrize("body", [b"x" * 200_000, b"\0\r\n " * 50_000], ids=["long", "what a head must not have"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bodies_are_no_heads(body, framing):
    """They may be long and hold anything, and the next request is met behind them."""
    if framing == "length":
        first = post(b"Content-Length: %d" % len(body), body=body)
    else:
        first = CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    wire = said(first + GET)

    assert (2 * HOOKS, body) == (wire.hooks, wire.asked[0].request.raw_content)


def test_each_head_of_a_kept_connection_has_the_whole_bound():
    """Requests that come at once are counted one by one."""
    wire = said(head_of(MAX_HEAD_BYTES) * 5 + head_with(MAX_HEAD_LINES) * 5)

    assert (10 * HOOKS, False) == (wire.hooks, wire.is_half_closed)


def test_a_later_head_is_refused_too():
    """After ten good requests the eleventh is judged as the first."""
    wire = said(GET * 10 + head_of(MAX_HEAD_BYTES + 1))

    assert (10 * HOOKS, 431) == (wire.hooks, wire.status)


def test_what_comes_behind_a_refused_head_is_never_read():
    """It could be the rest of that head, as well as a request."""
    wire = said(REFUSALS["two Hosts"] + GET, GET)

    assert ([], 1) == (wire.hooks, wire.sent.count(b"HTTP/1.1"))


def test_a_refused_client_is_left_after_a_moment():
    """It had time to read its answer."""
    wire = said(REFUSALS["two Hosts"])
    wire.wake()

    assert wire.is_closed


def test_a_refused_client_that_leaves_is_let_go():
    """Nothing waits for the moment's end."""
    wire = said(REFUSALS["two Hosts"])
    wire.leave()

    assert wire.is_closed


def test_a_refused_client_that_goes_on_and_on_is_left_at_once():
    """What it sends costs no memory, and soon no time."""
    wire = said(REFUSALS["two Hosts"])
    for _ in range(100):
        wire.receive(b"a" * (http1.MAX_LINGER_BYTES // 50))

    assert (True, 0) == (wire.is_closed, wire.kept)


@pytest.mark.parametrize(
    "trailers",
    [b"", b"X-Sum: 1\r\n", b"X-Sum: 1\r\nY: 2\r\n", b"no colon\r\n", b"Host: b\r\nContent-Length: 7\r\n"],
    ids=["none", "one", "two", "none that is one", "forbidden ones"],
)
def test_trailers_are_dropped(trailers):
    """The request goes on without them, and so does the connection (RFC 9110 §6.5.1)."""
    wire = said(CHUNKED + b"2\r\nok\r\n0\r\n" + trailers + b"\r\n" + GET)

    assert (2 * HOOKS, b"ok", None) == (wire.hooks, wire.asked[0].request.raw_content, wire.asked[0].request.trailers)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"2\r\nok\r\n0\r\n", b"X-Sum: 1\r\n" * 100),
        (b"2\r\nok\r\n0\r\nX-Sum: ", b"a" * 1000),
        (b"2;x=", b"a" * 1000),
        (b"", b"0" * 1000),
    ],
    ids=["trailers", "a trailer", "an extension", "a size"],
)
def test_what_is_no_data_of_a_body_is_bounded(begin, more):
    """The connection ends, and the flow with it."""
    wire = said(CHUNKED + begin, *([more] * 200))

    assert (["requestheaders", "error"], True) == (wire.hooks, wire.is_closed)


def test_a_client_that_has_no_answer_yet_may_not_send_for_ever():
    """What it asks meanwhile is kept, but not without end."""
    wire = Wire(holds=True)
    wire.receive(GET)
    for _ in range(100):
        wire.receive(b"a" * (http1.MAX_AHEAD_BYTES // 50))

    assert (True, ["requestheaders", "request"]) == (wire.is_closed, wire.hooks)


def test_an_ad_stack_that_is_away_is_no_story_of_ours():
    """502 in plain text: no address, no error text, no name of a program."""
    wire = Wire(answers=False)
    wire.receive(GET)

    body = b"502 Bad Gateway\n"
    expected = (
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    )
    assert expected % len(body) + body == wire.sent


def test_an_end_before_any_request_is_nothing():
    """A client may come and go."""
    wire = said(b"GET /")
    wire.leave()

    assert (True, b"", []) == (wire.is_closed, wire.sent, wire.log)
