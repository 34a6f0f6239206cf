"""The patience with the upstream: sans I/O, with a clock that a test moves."""

import time

import h2.events
import pytest
from h2.errors import ErrorCodes
from mitmproxy.proxy import events

from storehop.host.layers.link import Limits
from storehop.host.layers.waits import MAX_ATTEMPTS, TOO_LATE
from tests.support.wires import Browser2, Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = Limits(head=60, idle=75, connect=10, first_byte=60)
LATE = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain\r\nContent-Length: 20\r\nConnection: close\r\n\r\n504"


@pytest.fixture
def silent():
    """A client whose ad stack takes requests and says nothing."""
    return Wire(answers=False, upstream="silent", limits=LIMITS)


@pytest.fixture
def hanging(monkeypatch):
    """A client whose ad stack takes no connection; time passes on the wall clock, too."""
    wire = Wire(answers=False, upstream="hangs", limits=LIMITS)
    began = time.time() - wire.now
    monkeypatch.setattr(time, "time", lambda: began + wire.now)
    return wire


def test_a_silent_upstream_is_given_up(silent):
    """504, the flow ends with an error, and the connection to the upstream ends."""
    silent.receive(GET)
    silent.wait(59.9)
    early = silent.sent
    silent.wait(0.2)

    assert (b"", True, 1) == (early, silent.sent.startswith(LATE), silent.lost)
    assert (TOO_LATE, "error") == (silent.asked[0].error.msg, silent.hooks[-1])


def test_an_answer_in_time_is_an_answer(silent):
    """The next request has its own time, and the answer's body as much as it wants."""
    for _ in range(2):
        silent.receive(GET)
        silent.wait(59)
        silent.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        silent.wait(100_000)
        silent.answer(b"k")

    assert (2, 0, False) == (silent.sent.count(b"HTTP/1.1 200"), silent.sent.count(b"504"), silent.is_closed)


def test_an_upload_has_no_limit(silent):
    """The time begins at its end."""
    silent.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
    silent.wait(100_000)
    silent.receive(b"ok")
    silent.wait(59)
    early = silent.sent
    silent.wait(2)

    assert (b"", True) == (early, silent.sent.startswith(LATE))


def test_a_client_that_has_left_gets_nothing(silent):
    """Its request was let go with it."""
    silent.receive(GET)
    silent.context.client.state = silent.context.client.state.CLOSED
    silent.leave()
    silent.wait(100)

    assert (b"", 1) == (silent.sent, silent.lost)


def test_an_upstream_that_takes_no_connection_is_given_up(hanging):
    """504 again: it is a matter of time, and not of a refusal."""
    hanging.receive(GET)
    hanging.wait(9.9)
    early = hanging.sent
    hanging.wait(0.2)

    assert (b"", True, None) == (early, hanging.sent.startswith(LATE), hanging.opening)


def test_a_given_up_attempt_is_forgotten(hanging):
    """A load balancer's connection lives for days."""
    hanging.receive(GET)
    hanging.wait(10.1)

    assert (504, set()) == (hanging.status, hanging.top._late)


def test_an_attempt_that_has_not_begun_has_its_time_before_it(hanging):
    """Mitmproxy makes a few of a client's connections at a time: the others wait for their turn."""
    hanging.receive(GET)
    hanging.opening.connection.timestamp_start = None
    hanging.wait(100)
    hanging.opening.connection.timestamp_start = time.time()
    hanging.wait(9.9)
    early = hanging.sent
    hanging.wait(0.2)

    assert (b"", True) == (early, hanging.sent.startswith(LATE))


def test_without_limits_it_waits_for_ever():
    """0 is off."""
    wire = Wire(answers=False, upstream="silent", limits=Limits.of(head=0, idle=0, connect=0, first_byte=0))
    wire.receive(GET)
    wire.wait(1_000_000)

    assert (b"", False) == (wire.sent, wire.is_closed)


def test_of_several_streams_each_has_its_own_time():
    """One that is given up is no other's end."""
    browser = Browser2(answers=False, upstream="silent", limits=LIMITS)
    browser.ask()
    browser.wire.wait(30)
    browser.ask()
    browser.wire.wait(31)
    browser.flush()
    first = [dict(it.headers)[b":status"] for it in browser.events if isinstance(it, h2.events.ResponseReceived)]
    browser.wire.wait(31)
    browser.flush()
    both = [dict(it.headers)[b":status"] for it in browser.events if isinstance(it, h2.events.ResponseReceived)]

    assert ([b"504"], [b"504"] * 2, False) == (first, both, browser.wire.is_closed)
    assert b"mitm" not in browser.wire.sent.lower()


@pytest.fixture
def waiting():
    """A client with many streams, whose ad stack takes no connection yet; the streams, and their ids."""
    browser = Browser2(answers=False, upstream="hangs", limits=LIMITS)
    return browser, [browser.ask() for _ in range(10)]


def take_back(browser, stream):
    browser.http.reset_stream(stream, ErrorCodes.CANCEL)
    browser.flush()


def connected(wire):
    """The connection that was opened last is there."""
    opening, wire.opening = wire.opening, None
    opening.connection.state = opening.connection.state.OPEN
    wire.upstream = "silent"
    wire._do(events.OpenConnectionCompleted(opening, None))


def test_a_request_that_is_taken_back_waits_no_more(waiting):
    """Its flow ends, as one of a client that left; the others wait on."""
    browser, streams = waiting
    for stream in streams[:4]:
        take_back(browser, stream)

    assert streams[4:] == list(browser.wire.top.streams)
    assert ["stream reset by client (CANCEL)"] * 4 == [flow.error.msg for flow in browser.wire.asked[:4]]
    assert [None] * 6 == [flow.error for flow in browser.wire.asked[4:]]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_request_that_is_taken_back_is_not_sent(at_once):
    """In the same piece as its end, or while our own hooks hold it: the ad stack hears nothing."""
    browser = Browser2(answers=False, upstream="silent", holds=not at_once)
    stream = browser.http.get_next_available_stream_id()
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
    browser.http.send_headers(stream, fields, end_stream=True)
    if not at_once:
        browser.flush()
    take_back(browser, stream)
    browser.wire.let_go()

    assert (b"", {}) == (browser.wire.asked_upstream, browser.wire.top.streams)
    assert ["error"] == browser.wire.hooks[-1:]


def test_a_connection_that_nobody_wants_any_more_ends(waiting):
    """All were taken back while it was under way."""
    browser, streams = waiting
    for stream in streams:
        take_back(browser, stream)
    connected(browser.wire)

    assert (1, b"") == (browser.wire.lost, browser.wire.asked_upstream)


def test_the_first_that_still_waits_gets_the_connection(waiting):
    """Whoever came before it and left."""
    browser, streams = waiting
    for stream in streams[:4]:
        take_back(browser, stream)
    connected(browser.wire)

    assert (0, True) == (browser.wire.lost, b"GET / HTTP/1.1" in browser.wire.asked_upstream)


def test_no_more_attempts_are_begun_than_are_made(waiting):
    """The other requests wait where they can still leave."""
    browser, streams = waiting
    opening, browser.wire.opening = browser.wire.opening, None
    opening.connection.state = opening.connection.state.OPEN
    browser.wire._do(events.OpenConnectionCompleted(opening, None))
    under_way = browser.wire.top.waiting_for_establishment

    assert (MAX_ATTEMPTS, len(streams) - 1) == (len(under_way), sum(map(len, under_way.values())))
