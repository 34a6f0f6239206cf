"""When a connection ends, and how its client hears of it: sans I/O, with a clock that a test moves."""

import h2.events
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import HeadersFrame
from mitmproxy import http

from storehop.host.layers.http2 import LEAVING_S, NO_LAST_STREAM
from storehop.host.layers.link import Limits
from tests.support import wires
from tests.support.wires import Browser2, Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\n"
LIMITS = Limits(head=60, idle=75)


def browser2(**wire):
    """An HTTP/2 client, within these limits."""
    return Browser2(limits=LIMITS, **wire)


def goaways(browser):
    """The last stream and the reason of each GOAWAY so far."""
    browser.flush()
    ends = [it for it in browser.events if isinstance(it, h2.events.ConnectionTerminated)]
    return [(it.last_stream_id, it.error_code) for it in ends]


def answers(browser):
    browser.flush()
    return sum(isinstance(it, h2.events.StreamEnded) for it in browser.events)


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", GET + b"GET / HT"])
def test_a_head_that_is_late_gets_408(sent):
    """Whether it is the first or a later one."""
    wire = Wire(limits=LIMITS)
    wire.receive(sent)
    wire.wait(59.9)
    early = wire.sent.count(b"408")
    wire.wait(0.2)

    assert (0, True, True) == (early, LATE in wire.sent, wire.is_half_closed)


def test_a_head_that_comes_byte_by_byte_is_late_as_well():
    """Each byte buys no time."""
    wire = Wire(limits=LIMITS)
    for byte in GET[:-1]:
        wire.receive(bytes([byte]))
        wire.wait(3)

    assert wire.sent.startswith(LATE)


def test_a_later_head_has_its_own_time():
    """It runs from its first byte, not from the answer before it."""
    wire = Wire(limits=LIMITS)
    wire.receive(GET)
    wire.wait(70)
    wire.receive(b"GET")
    wire.wait(59)
    wire.receive(GET[3:])

    assert (2, False) == (wire.sent.count(b"HTTP/1.1 200"), wire.is_closed)


@pytest.mark.parametrize(("before", "seconds"), [(b"", 60), (b"\r\n\r\n", 60), (GET, 75), (GET + b"\r\n", 75)])
def test_where_no_head_began_nothing_is_said(before, seconds):
    """A plain end: of a silent connection after the head's time, of a kept one after the idle time."""
    wire = Wire(limits=LIMITS)
    wire.receive(before)
    before = wire.sent
    wire.wait(seconds - 0.1)
    was_open = not wire.is_closed
    wire.wait(0.2)

    assert (True, True, before) == (was_open, wire.is_closed, wire.sent)


def test_a_request_under_way_has_no_limit():
    """Neither its answer's time nor its body's is the client's idleness."""
    wire = Wire(holds=True, limits=LIMITS)
    wire.receive(GET)
    wire.wait(100_000)
    wire.let_go()

    assert (200, False) == (wire.status, wire.is_closed)


def test_a_body_has_no_limit():
    """An upload may be as slow as it likes."""
    wire = Wire(limits=LIMITS)
    wire.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
    wire.wait(100_000)
    wire.receive(b"ok")

    assert (200, False) == (wire.status, wire.is_closed)


def test_without_limits_nothing_ends():
    """0 is off."""
    wire = Wire(limits=Limits.of(head=0, idle=0, connect=0, first_byte=0))
    wire.wait(1_000_000)
    wire.receive(GET)
    wire.wait(1_000_000)
    wire.receive(GET)

    assert (2, False) == (wire.sent.count(b"HTTP/1.1 200"), wire.is_closed)


def test_a_retired_connection_ends_with_its_next_answer():
    """The client hears it in the answer."""
    wire = Wire(limits=LIMITS)
    wire.receive(GET)
    wire.link.terms.is_retiring = True
    was_open = not wire.is_closed
    wire.receive(GET)

    assert (True, True) == (was_open, wire.is_closed)
    assert wire.sent.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http.Response.make(101, headers={"Connection": "Upgrade"}), b"Upgrade"),
        (http.Response(b"HTTP/2.0", 200, b"", http.Headers(), b"", None, 0, 0), b"close"),
        (http.Response.make(200, headers={"Connection": "keep-alive"}), b"close"),
    ],
    ids=["a WebSocket's handshake", "from an HTTP/2 upstream", "that would be kept"],
)
def test_any_answer_of_a_retired_connection_says_so(monkeypatch, answer, expected):
    """But for a handshake, whose header is its own."""
    monkeypatch.setattr(wires, "OK", answer)
    wire = Wire()
    wire.link.terms.is_retiring = True
    wire.receive(GET)

    assert wire.sent.lower().count(b"connection: " + expected.lower()) == 1


def test_an_idle_connection_can_be_ended_at_once():
    """One with a request under way stays."""
    idle, busy, silent, starting = Wire(), Wire(holds=True), Wire(), Wire()
    idle.receive(GET)
    busy.receive(GET)
    starting.receive(b"GET / HT")
    for wire in (idle, busy, silent, starting):
        wire.end_idle()

    assert [True, False, True, False] == [wire.is_closed for wire in (idle, busy, silent, starting)]


def test_a_client_that_has_sent_all_gets_its_answer():
    """Then its connection ends (RFC 9112 §9.6)."""
    wire = Wire(holds=True)
    wire.receive(GET)
    wire.half_close()
    was_open = not wire.is_closed
    wire.let_go()

    assert (True, 200, True) == (was_open, wire.status, wire.is_closed)
    assert "error" not in wire.hooks


def test_all_its_requests_are_answered():
    """It may have sent several before its end."""
    wire = Wire(holds=True)
    wire.receive(GET * 3 + b"GET / HT")
    wire.half_close()
    was_open = not wire.is_closed
    wire.let_go()

    assert (True, 3, True) == (was_open, wire.sent.count(b"HTTP/1.1 200"), wire.is_closed)


def test_a_body_that_ends_too_early_is_the_end():
    """What the client meant to send never comes."""
    wire = Wire()
    wire.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\no")
    wire.half_close()

    assert (["requestheaders", "error"], True) == (wire.hooks, wire.is_closed)


def test_a_goaway_waits_for_what_the_window_holds_back(monkeypatch):
    """It comes behind an answer's last byte: for some clients it is the end even of what is under way."""
    monkeypatch.setattr(wires, "OK", http.Response.make(200, bytes(100_000)))
    browser = browser2()
    browser.wire.link.terms.is_retiring = True
    stream = browser.ask()
    held_back = goaways(browser), answers(browser), browser.wire.link.owes_answer
    for _ in range(2):
        browser.http.acknowledge_received_data(60_000, stream)
        browser.flush()

    assert ([], 0, True) == held_back
    assert ([(NO_LAST_STREAM, 0)], 1, False) == (goaways(browser), answers(browser), browser.wire.link.owes_answer)
    assert isinstance(browser.events[-1], h2.events.ConnectionTerminated)


def test_a_websocket_owes_no_answer(monkeypatch):
    """Nobody can wait for its end."""
    monkeypatch.setattr(wires, "OK", http.Response.make(101, headers={"Connection": "Upgrade"}))
    wire = Wire()
    wire.receive(GET)

    assert (101, True, False) == (wire.status, wire.link.is_tunnel, wire.link.owes_answer)


def test_an_http_2_connection_without_streams_is_told_before_it_ends():
    """First that no more should come, then which came last; between both a request is still answered."""
    browser = browser2()
    browser.ask()
    browser.wire.wait(75.1)
    first = goaways(browser)
    browser.wire.wait(LEAVING_S + 0.1)

    assert ([(NO_LAST_STREAM, 0)], [(NO_LAST_STREAM, 0), (1, 0)]) == (first, goaways(browser))
    assert browser.wire.is_closed


def test_a_request_that_meets_the_first_goaway_is_answered():
    """It was on its way."""
    browser = browser2()
    browser.ask()
    browser.wire.wait(75.1)
    browser.ask()
    was_open = not browser.wire.is_closed
    browser.wire.wait(LEAVING_S + 0.1)

    assert (2, True, True) == (answers(browser), was_open, browser.wire.is_closed)


def test_an_http_2_connection_that_never_asks_ends():
    """As one without a byte."""
    browser = browser2()
    browser.wire.wait(59.9)
    was_open = not browser.wire.is_closed
    browser.wire.wait(0.2)

    assert (True, [(0, 0)], True) == (was_open, goaways(browser), browser.wire.is_closed)


def test_an_http_2_head_that_is_late_ends_the_connection():
    """Nothing else can come before its end (RFC 9113 §4.3)."""
    browser = browser2()
    browser.ask()
    browser.wire.wait(50)
    browser.wire.receive(HeadersFrame(3, data=b"\x82").serialize())
    browser.wire.wait(61)

    assert browser.wire.is_closed


@pytest.mark.parametrize("end_stream", [True, False], ids=["waits for its answer", "uploads"])
def test_an_http_2_stream_under_way_has_no_limit(end_stream):
    """However slow."""
    browser = browser2(holds=True)
    stream = browser.ask(end_stream=end_stream)
    browser.wire.wait(100_000)
    if not end_stream:
        browser.http.end_stream(stream)
    browser.flush()
    browser.wire.let_go()

    assert (1, False) == (answers(browser), browser.wire.is_closed)


def test_a_retired_http_2_connection_is_told_with_its_next_answer():
    """It ends when the streams under way have."""
    browser = browser2(holds=True)
    browser.ask()
    browser.ask()
    browser.wire.link.terms.is_retiring = True
    before = goaways(browser)
    browser.wire.let_go()
    told = goaways(browser)
    browser.wire.wait(LEAVING_S + 0.1)

    assert ([], [(NO_LAST_STREAM, 0)], 2) == (before, told, answers(browser))
    assert [(NO_LAST_STREAM, 0), (3, ErrorCodes.NO_ERROR)] == goaways(browser)
    assert browser.wire.is_closed


def test_an_idle_http_2_connection_can_be_ended_at_once():
    """One with a stream stays."""
    idle, busy = browser2(), browser2(holds=True)
    idle.ask()
    busy.ask()
    idle.wire.end_idle()
    busy.wire.end_idle()

    assert ([True, False], [(1, 0)]) == ([idle.wire.is_closed, busy.wire.is_closed], goaways(idle))
