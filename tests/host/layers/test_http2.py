"""HTTP/2 heads that are refused while they arrive, and those that are not: hyper-h2 on both sides, no network."""

import h2.events
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame

from storehop.host.layers.head import MAX_HEAD_BYTES, MAX_HEAD_LINES
from tests.support.wires import Browser2

HOOKS = ["requestheaders", "request", "responseheaders", "response"]
"""Of a request that was let in."""


def statuses(browser):
    """Of the answers so far."""
    return [dict(it.headers)[b":status"] for it in browser.events if isinstance(it, h2.events.ResponseReceived)]


def ends(browser):
    """Why the connection ended; empty: it did not."""
    return [it.error_code for it in browser.events if isinstance(it, h2.events.ConnectionTerminated)]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"x", b"a" * (MAX_HEAD_BYTES - 1000))],
        [(b"x", b"1")] * (MAX_HEAD_LINES - 2),
        [(b"cookie", b"a=1")] * 1000,
        [(b":method", b"M-SEARCH")],
        [(b":path", b"/\xc3\xa9\xff?x=1")],
        [(b":authority", b"a"), (b"host", b"a")],
    ],
    ids=["a plain one", "long", "many lines", "a thousand crumbs", "odd method", "odd bytes", "authority and Host"],
)
def test_a_head_is_let_in(fields):
    """What has one meaning goes its way."""
    browser = Browser2()
    browser.ask(*fields)

    assert (HOOKS, [b"200"]) == (browser.wire.hooks, statuses(browser))


@pytest.mark.parametrize(
    "field",
    [
        (b":method", b"GE T"),
        (b":method", b"GET\t/x"),
        (b":method", b"G(T"),
        (b":method", b""),
        (b":path", b"/a b"),
        (b":path", b"/ HTTP/1.1"),
        (b":path", b"/\ta"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("end_stream", [True, False], ids=["alone", "with a body"])
def test_what_http_1_1_could_not_say_is_refused(field, end_stream):
    """400 and no flow; the connection goes on."""
    browser = Browser2()
    browser.ask(field, end_stream=end_stream)
    browser.ask()

    assert (HOOKS, [b"400", b"200"]) == (browser.wire.hooks, statuses(browser))
    assert b"mitm" not in browser.wire.sent.lower()


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x", b"a\0b")],
        [(b"x", b"a\rb")],
        [(b"x", b"a\r\nb: c")],
        [(b"x", b"a\r\n b")],
        [(b"X", b"a")],
        [(b":method", b"GE\nT")],
        [(b":path", b"/\0")],
        [(b"connection", b"x-forwarded-for")],
        [(b":authority", b"a"), (b"host", b"b")],
        [(b"x", b"a" * (MAX_HEAD_BYTES + 1))],
        [(b"x", b"1")] * (MAX_HEAD_LINES - 1),
        [(b"cookie", b"a=1")] * 3000,
    ],
    ids=[
        *("NUL", "CR", "CRLF", "obs-fold", "upper case", "LF in the method", "NUL in the target", "Connection"),
        *("authority and another Host", "too long", "too many lines", "too many crumbs"),
    ],
)
def test_a_connection_with_such_a_head_ends(fields):
    """No flow comes of it."""
    browser = Browser2()
    browser.ask(*fields)

    assert ([], True, True) == (browser.wire.hooks, ends(browser) != [], browser.wire.is_closed)


def test_two_hosts_are_refused():
    """No flow comes of them: hyper-h2 ends the connection from 4.4.1 on, before that we answer 400."""
    browser = Browser2()
    browser.ask((b"host", b"a"), (b"host", b"a"))

    assert [] == browser.wire.hooks
    assert browser.wire.is_closed or [b"400"] == statuses(browser)


def frames(browser, size):
    """The frames of a head without an end, each with so many bytes of fields that are no repetition."""
    piece = b"".join(b"\x00\x01x\x7f\x81\x01" + bytes([65 + count % 26]) * 256 for count in range(size // 262))
    yield HeadersFrame(1, data=piece).serialize()
    while True:
        yield ContinuationFrame(1, data=piece).serialize()


@pytest.mark.parametrize(
    ("size", "code"),
    [(0, ErrorCodes.PROTOCOL_ERROR), (1_000, ErrorCodes.PROTOCOL_ERROR), (16_000, ErrorCodes.ENHANCE_YOUR_CALM)],
)
def test_a_head_without_an_end_is_refused_while_it_arrives(size, code):
    """By hyper-h2 where its frames are many, by us where they are long (RFC 9113 §10.5.1)."""
    browser = Browser2()
    sent = 0
    for frame in frames(browser, size):
        browser.wire.receive(frame)
        sent += len(frame)
        if browser.wire.is_closed:
            break

    browser.flush()
    assert code == ends(browser)[0]
    assert sent < 2 * MAX_HEAD_BYTES


def test_a_frame_is_no_longer_than_a_head():
    """It is held whole before anybody looks into it."""
    browser = Browser2()
    browser.wire.receive((MAX_HEAD_BYTES + 1).to_bytes(3) + b"\x01\x04" + (1).to_bytes(4) + b"a" * (MAX_HEAD_BYTES + 1))

    assert browser.wire.is_closed


def test_one_stream_s_refusal_is_not_another_s():
    """A request under way is answered."""
    browser = Browser2()
    first = browser.ask(end_stream=False)
    browser.ask((b":method", b"GE T"))
    browser.http.send_data(first, b"body", end_stream=True)
    browser.flush()

    assert [b"400", b"200"] == statuses(browser)


def test_a_request_that_is_refused_and_reset_at_once():
    """Its client did not wait for an answer, and gets none."""
    browser = Browser2()
    stream = browser.http.get_next_available_stream_id()
    fields = [(b":method", b"GE T"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
    browser.http.send_headers(stream, fields)
    browser.http.reset_stream(stream)
    browser.flush()
    browser.ask()

    assert [b"200"] == statuses(browser)


@pytest.mark.parametrize("name", [b"x_forwarded_for", b"x-forwarded_proto", b"x_real_ip", b"cf_connecting_ip"])
def test_a_name_that_others_read_as_a_proxys_is_left_out(name):
    """As in HTTP/1.1; other names with underscores stay."""
    browser = Browser2()
    browser.ask((name, b"8.8.8.8"), (b"device_id", b"1"))

    assert [(b"device_id", b"1")] == [it for it in browser.wire.asked[0].request.headers.fields if it[0] != b"Host"]


def test_an_ad_stack_that_is_away_is_no_story_of_ours():
    """502 in plain text: no address, no error text, no name of a program."""
    browser = Browser2()
    browser.wire.answers = False
    browser.ask()

    bodies = [it.data for it in browser.events if isinstance(it, h2.events.DataReceived)]
    assert ([b"502"], b"502 Bad Gateway\n") == (statuses(browser), b"".join(bodies))
    assert b"mitm" not in browser.wire.sent.lower()
