"""The patience with the upstream: sans I/O, with a clock that a test moves."""

import time

import h2.events
import pytest

from storehop.host.layers.link import Limits
from storehop.host.layers.waits import TOO_LATE
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
