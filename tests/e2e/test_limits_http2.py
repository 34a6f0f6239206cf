"""Limits of time and number for clients that speak TLS and HTTP/2."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from storehop.host.layers.http2 import NO_LAST_STREAM
from tests.support.certificates import client_context
from tests.support.clients import Answer2, connection, get_http2, request, talk
from tests.support.patience import SOON_S
from tests.support.processes import start_sidecar
from tests.support.scenes import World, link_of, new_id, play

ADS = "ads.network.example"
SHORT_S = 0.5
SHORT = [
    *("--head-timeout", str(SHORT_S), "--idle-timeout", str(SHORT_S)),
    *("--connect-timeout", str(SHORT_S), "--first-byte-timeout", str(SHORT_S)),
]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
ASK = b"\x00\x00\x0e\x01\x05\x00\x00\x00\x01" + b"\x82\x87\x41\x09ads.a.exa" + b"\x84"
"""HEADERS with END_STREAM: GET https://ads.a.exa/ (RFC 7541 §6)."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hurried(tmp_path_factory, ads, appsflyer, module_rules, authority):
    """A sidecar with short limits that speaks TLS."""
    folder = tmp_path_factory.mktemp("hurried")
    upstream = f"http://127.0.0.1:{ads.port}"
    host = await start_sidecar(upstream, module_rules, folder, *SHORT, "--tls-cert", authority.sign(ADS))
    yield World(host, ads, appsflyer)
    await host.process.stop()


@pytest.fixture
def tls2(authority):
    """A client's TLS that wants HTTP/2."""
    context = client_context(authority.ca)
    context.set_alpn_protocols(["h2"])
    return context


def goaways(data):
    """Last stream and reason of each."""
    found = []
    while len(data) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        if isinstance(frame, GoAwayFrame):
            frame.parse_body(memoryview(data[9 : 9 + length]))
            assert frame.additional_data == b""
            found.append((frame.last_stream_id, frame.error_code))
        data = data[9 + length :]
    return found


async def said_to_the_end(port, tls, raw):
    """All that comes until the connection ends."""
    received = b""
    async with connection(port, tls, ADS) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(raw)
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                received += data
    return received


@pytest.mark.parametrize("hello", [b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_a_handshake_that_does_not_end_is_let_go(hurried, hello):
    """It is a part of the first head's time."""
    begin = time.monotonic()
    async with connection(hurried.port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(hello)
        received = await reader.read()

    assert (b"", True) == (received, SHORT_S * 0.8 < time.monotonic() - begin)


async def test_a_client_without_a_stream_is_told_and_let_go(hurried, tls2):
    """One that never asked at once, one that did with a last moment for what is on its way."""
    never, once = await asyncio.gather(
        said_to_the_end(hurried.port, tls2, PREFACE), said_to_the_end(hurried.port, tls2, PREFACE + ASK)
    )

    assert ([(0, 0)], [(NO_LAST_STREAM, 0), (1, 0)]) == (goaways(never), goaways(once))


async def test_a_silent_ad_stack_is_504(hurried, authority):
    """In words that tell nothing of the inside."""

    async def silent(_request, reader, _writer):
        await reader.read()

    answer: Answer2 = await get_http2(hurried.port, authority.ca, ADS, hurried.ads.serve(silent))

    assert (504, b"504 Gateway Timeout\n") == (answer.status, answer.body)
    assert [(":status", "504"), ("content-type", "text/plain")] == answer.headers


UPLOAD = b"\x00\x00\x0e\x01\x04\x00\x00\x00\x01" + b"\x83\x87\x41\x09ads.a.exa" + b"\x84"
"""HEADERS without END_STREAM: POST https://ads.a.exa/."""
FLOODS = {
    "PING": PingFrame(0, b"12345678"),
    "PING's ACK": PingFrame(0, b"12345678", flags=["ACK"]),
    "SETTINGS": SettingsFrame(0, {4: 65_535}),
    "PRIORITY": PriorityFrame(1, 0, 1),
    "WINDOW_UPDATE": WindowUpdateFrame(0, window_increment=1),
    "empty DATA": DataFrame(1),
    "padding": DataFrame(1, pad_length=10, flags=["PADDED"]),
    "small DATA": DataFrame(1, b"a"),
    "unknown": ExtensionFrame(0xFA, 0),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
async def test_a_flood_takes_nobody_elses_time(hurried, authority, tls2, frame):
    """50,000 frames that cost time: the connection ends, and a click meanwhile is quick."""
    flood = asyncio.create_task(said_to_the_end(hurried.port, tls2, PREFACE + UPLOAD + frame.serialize() * 50_000))
    await is_quick(hurried, authority)
    # The rest of the flood comes after the end: the kernel's reset may overtake the GOAWAY.
    assert {reason for _, reason in goaways(await flood)} <= {ErrorCodes.ENHANCE_YOUR_CALM}


async def test_requests_that_are_taken_back_take_nobody_elses_time(hurried, authority, tls2):
    """10,000 of them: the connection ends, and the ad stack hears of none."""
    hurried.ads.forget()
    raw = b"".join(
        ASK[:5] + stream.to_bytes(4) + ASK[9:] + RstStreamFrame(stream, 8).serialize() for stream in range(1, 20_000, 2)
    )
    flood = asyncio.create_task(said_to_the_end(hurried.port, tls2, PREFACE + raw))
    await is_quick(hurried, authority)
    assert {reason for _, reason in goaways(await flood)} <= {ErrorCodes.ENHANCE_YOUR_CALM}

    assert 1 == hurried.ads.requests.qsize()  # the click


async def is_quick(hurried, authority):
    """A click that somebody else makes."""
    click_id = new_id()
    ask = request(hurried.ads.redirect(link_of(click_id)), connection="close")
    begin = time.monotonic()
    answer = await talk(hurried.port, ask, client_context(authority.ca), ADS)
    seconds = time.monotonic() - begin

    assert (play(click_id), True) == (answer.location, seconds < 1)
