"""Floods of frames that cost time: hyper-h2 on our side, frames by hand on the client's."""

from dataclasses import dataclass

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError
from hyperframe.frame import (
    AltSvcFrame,
    DataFrame,
    GoAwayFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from storehop.host.layers.calm import (
    LARGE_BYTES,
    MAX_OTHERS,
    MAX_QUESTIONS,
    MAX_RESETS,
    MAX_SMALL_DATA,
    MAX_UPDATES,
    SMALL_BYTES,
    WINDOW_S,
    CalmConnection,
)
from tests.support.wires import Browser2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PING = PingFrame(0, b"12345678").serialize()
SETTINGS = SettingsFrame(0, {4: 65_535}).serialize()
PRIORITY = PriorityFrame(1, 0, 1).serialize()
GOAWAY = GoAwayFrame(0, last_stream_id=1, error_code=ErrorCodes.ENHANCE_YOUR_CALM).serialize()


UPDATE = WindowUpdateFrame(0, window_increment=1).serialize()
UNKNOWN = bytes([0, 0, 0, 0xFA, 0, 0, 0, 0, 0])


def data(size, pad_length=0, stream_id=1):
    flags = ["PADDED"] if pad_length else []
    return DataFrame(stream_id, bytes(size), pad_length=pad_length, flags=flags).serialize()


@dataclass(frozen=True)
class Kind:
    frame: bytes
    bound: int


KINDS = {
    "PING": Kind(PING, MAX_QUESTIONS),
    "PING's ACK": Kind(PingFrame(0, b"12345678", flags=["ACK"]).serialize(), MAX_QUESTIONS),
    "SETTINGS": Kind(SETTINGS, MAX_QUESTIONS),
    "SETTINGS' ACK": Kind(SettingsFrame(0, flags=["ACK"]).serialize(), MAX_QUESTIONS),
    "PRIORITY": Kind(PRIORITY, MAX_OTHERS),
    "unknown": Kind(UNKNOWN, MAX_OTHERS),
    "ALTSVC": Kind(AltSvcFrame(0, b"a", b"b").serialize(), MAX_OTHERS),
    "WINDOW_UPDATE": Kind(UPDATE, MAX_UPDATES),
    "empty DATA": Kind(data(0), MAX_OTHERS),
    "padding": Kind(data(0, pad_length=100), MAX_OTHERS),
    "small DATA": Kind(data(SMALL_BYTES - 1), MAX_SMALL_DATA),
    "RST_STREAM": Kind(RstStreamFrame(1, 8).serialize(), MAX_RESETS),
}
ALMOST = 0.95
"""A part of each bound: a client of these tests has sent SETTINGS and an ACK before."""


def uploading(**wire):
    """A client in the middle of an upload; the ad stack says nothing."""
    browser = Browser2(answers=False, upstream="silent", **wire)
    browser.ask(end_stream=False)
    return browser


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_flood_ends_the_connection(kind):
    """At once, however many came in one piece; GOAWAY says why, once and in no words."""
    wire = uploading().wire
    before = len(wire.sent)
    wire.receive(kind.frame * kind.bound)
    said = wire.sent[before:]

    assert (True, True) == (wire.is_closed, said.endswith(GOAWAY))
    assert len(said) <= MAX_QUESTIONS * len(PING) + len(GOAWAY)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_no_flood_is_served(kind):
    """Almost up to the bound."""
    browser = uploading()
    browser.wire.receive(kind.frame * int(kind.bound * ALMOST))
    browser.wire.answers = True
    browser.ask()

    assert (False, 2) == (browser.wire.is_closed, len(browser.wire.asked))


def test_the_bounds_hold_for_any_mix():
    """A half of each of three is too much."""
    wire = uploading().wire
    for name in ("PING", "unknown", "WINDOW_UPDATE"):
        wire.receive(KINDS[name].frame * (KINDS[name].bound // 2))

    assert wire.is_closed


def test_unknown_frames_are_no_events():
    """Nor lines of a log."""
    wire = uploading().wire
    before = len(wire.log)
    wire.receive(UNKNOWN * 100)

    assert before == len(wire.log)


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES, 16_384])
def test_an_upload_has_no_bound(size):
    """Of pieces that are not small."""
    browser = uploading()
    for _ in range(10):
        browser.wire.receive(data(size) * (MAX_SMALL_DATA // 10 + 1))

    assert not browser.wire.is_closed


def test_a_large_piece_earns_a_small_one():
    """A message's length and the message, each in its own frame."""
    wire = uploading().wire
    for _ in range(11):
        wire.receive((data(LARGE_BYTES) + data(5)) * (MAX_SMALL_DATA // 10))

    assert not wire.is_closed


def test_the_end_of_a_body_is_no_flood():
    """An empty frame may end each request."""
    browser = Browser2()
    for _ in range(MAX_OTHERS + 1):
        stream = browser.ask(end_stream=False)
        browser.http.end_stream(stream)
        browser.flush()

    assert not browser.wire.is_closed


def answering(size):
    """A server's side in the middle of an answer that has sent so many bytes."""
    connection = connected(lambda: 0.0)
    client = H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")])
    connection.receive_data(client.data_to_send()[len(PREFACE) :])
    connection.send_headers(1, [(":status", "200")])
    connection.send_data(1, bytes(size))
    return connection


def test_a_large_answer_earns_updates_of_the_window():
    """Two for each 4 KB, on top of the bound."""
    size = 16_000_000
    connection = answering(size)
    connection.receive_data(UPDATE * (int(MAX_UPDATES * ALMOST) + 2 * size // 4096))

    with pytest.raises(DenialOfServiceError):
        connection.receive_data(UPDATE * (5 * MAX_UPDATES))


def test_crumbs_of_an_answer_earn_nothing():
    """A client that opens its window by one byte gets a frame each time."""
    connection = answering(100_000)
    connection.clear_outbound_data_buffer()

    with pytest.raises(DenialOfServiceError):
        connection.receive_data(UPDATE * (2 * MAX_UPDATES))


def resetting(browser):
    """A request that is taken back at once."""
    stream = browser.http.get_next_available_stream_id()
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
    browser.http.send_headers(stream, fields, end_stream=True)
    browser.http.reset_stream(stream, ErrorCodes.CANCEL)
    browser.flush()


def test_requests_that_are_taken_back_end_the_connection():
    """None of them waits on."""
    browser = Browser2(answers=False, upstream="hangs")
    asked = 0
    while not browser.wire.is_closed and asked < 2 * MAX_RESETS:
        resetting(browser)
        asked += 1

    assert (True, {}) == (MAX_RESETS * ALMOST < asked <= MAX_RESETS, browser.wire.top.streams)


def test_each_answer_earns_a_reset():
    """A load balancer has many users on one connection, and a part of them leaves."""
    browser = Browser2()
    for _ in range(2 * MAX_RESETS):
        browser.ask()
        browser.wire.answers, browser.wire.upstream = False, "silent"
        resetting(browser)
        browser.wire.answers = True

    assert not browser.wire.is_closed


def test_resets_that_a_client_makes_us_send_are_counted():
    """A window that is too large ends its stream."""
    browser = Browser2(answers=False, upstream="silent")
    too_much = 2**31 - 1
    asked = 0
    while not browser.wire.is_closed and asked < 2 * MAX_RESETS:
        stream = browser.http.get_next_available_stream_id()
        browser.http.send_headers(
            stream, [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
        )
        browser.wire.receive(
            browser.http.data_to_send() + WindowUpdateFrame(stream, window_increment=too_much).serialize()
        )
        browser.flush()
        asked += 1

    assert asked <= MAX_RESETS


def connected(clock):
    connection = CalmConnection(H2Configuration(client_side=False), clock)
    connection.initiate_connection()
    connection.receive_data(PREFACE)
    return connection


def test_questions_now_and_then_are_answered_for_ever():
    """The bound is of a while, not of a connection's life."""
    now = 0.0
    connection = connected(lambda: now)
    connection.data_to_send()
    for _ in range(10):
        connection.receive_data(PING * MAX_QUESTIONS)
        now += WINDOW_S

    assert 10 * MAX_QUESTIONS == connection.data_to_send().count(b"12345678")


def test_a_second_flood_ends_it_as_well():
    """After a quiet while it has as many as before."""
    now = 0.0
    connection = connected(lambda: now)
    connection.receive_data(PING * MAX_QUESTIONS)
    now += WINDOW_S
    connection.receive_data(PING * MAX_QUESTIONS)

    with pytest.raises(DenialOfServiceError):
        connection.receive_data(PING)
