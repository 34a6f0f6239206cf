"""Limits of time and number, with small values: what they end, and what no limit ends.

All cases are tables in tests/host/layers; here a real process holds to the same, with sockets, TLS and a clock.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests.support.clients import Answer, connection, get, read_answer, request, talk
from tests.support.patience import SOON_S
from tests.support.processes import free_port, start_sidecar
from tests.support.scenes import RULES, World, link_of, new_id, play
from tests.support.standins import echo, response

SHORT_S = 0.5
"""Every limit of the hosts here."""
LONG_S = 2.2 * SHORT_S
"""What lasts so long would have been ended by any of them."""
SHORT = [
    *("--head-timeout", str(SHORT_S), "--idle-timeout", str(SHORT_S)),
    *("--connect-timeout", str(SHORT_S), "--first-byte-timeout", str(SHORT_S)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hurried(tmp_path_factory, ads, appsflyer, module_rules):
    """A sidecar with short limits, between both its neighbours."""
    folder = tmp_path_factory.mktemp("hurried")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", module_rules, folder, *SHORT)
    yield World(host, ads, appsflyer)
    await host.process.stop()


async def until_closed(port, raw, then=b""):
    """Sends, and perhaps sends again after an answer. Returns all that came, and how long the end took."""
    async with connection(port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(raw)
        answer = await read_answer(reader) if then else None
        begin = time.monotonic()
        writer.write(then)
        rest = await reader.read()
        return (answer.raw if answer else b"") + rest, time.monotonic() - begin


@pytest.mark.parametrize("raw", [b"", b"\r\n"], ids=["nothing", "an empty line"])
async def test_a_client_that_says_nothing_is_let_go(hurried, raw):
    """Without a word, after the time for a head."""
    answer, seconds = await until_closed(hurried.port, raw)

    assert (b"", True) == (answer, SHORT_S * 0.8 < seconds)


async def test_a_slow_head_gets_408(hurried):
    """In our words, and the ad stack hears nothing."""
    hurried.ads.forget()
    answer = await talk(hurried.port, b"GET / HTTP/1.1\r\nHost: a\r\nX:")

    assert (408, b"408 Request Timeout\n", 0) == (answer.status, answer.body, hurried.ads.requests.qsize())


async def test_slow_heads_cost_others_nothing(hurried):
    """A hundred that come byte by byte all end, and a click meanwhile is met."""

    async def drip(reader, writer):
        while not reader.at_eof():
            writer.write(b"X")
            await asyncio.sleep(SHORT_S / 5)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connection(hurried.port)) for _ in range(100)]
        dripping = [asyncio.create_task(drip(*client)) for client in clients]
        click_id = new_id()
        answer = await get(hurried.port, hurried.ads.redirect(link_of(click_id)))
        async with asyncio.timeout(SOON_S):
            heads = await asyncio.gather(*(reader.read() for reader, _ in clients))
        for task in dripping:
            task.cancel()

    assert play(click_id) == answer.location
    assert {b"HTTP/1.1 408"} == {head[:12] for head in heads}


async def test_a_kept_connection_ends_after_its_idle_time(hurried):
    """Without a word; the request before it was answered."""
    path = hurried.ads.serve(response("200 OK", body=b"hello"))
    async with connection(hurried.port) as (reader, writer), asyncio.timeout(SOON_S):
        for _ in range(3):
            writer.write(request(path))
            assert b"hello" == (await read_answer(reader)).body
            await asyncio.sleep(SHORT_S / 3)
        begin = time.monotonic()
        rest = await reader.read()

    assert (b"", True) == (rest, SHORT_S * 0.3 < time.monotonic() - begin)


async def test_a_silent_ad_stack_is_504(hurried):
    """And the connection to it ends: nobody waits for that answer any more."""
    left = asyncio.Event()

    async def silent(_request, reader, _writer):
        await reader.read()
        left.set()

    answer = await get(hurried.port, hurried.ads.serve(silent))
    async with asyncio.timeout(SOON_S):
        await left.wait()

    assert (504, b"504 Gateway Timeout\n", []) == (answer.status, answer.body, answer.all("Server"))


async def test_a_slow_upload_has_no_limit(hurried):
    """Its answer's time begins at its end."""
    path = hurried.ads.serve(response("201 Created"))
    async with connection(hurried.port) as (reader, writer):
        writer.write(request(path, "POST", content_length="2"))
        for byte in (b"o", b"k"):
            await asyncio.sleep(LONG_S / 2)
            writer.write(byte)
        answer = await read_answer(reader)

    assert (201, 2) == (answer.status, hurried.ads.uploaded)


async def test_a_slow_download_has_no_limit(hurried):
    """However long the ad stack pauses."""

    async def slow(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await asyncio.sleep(LONG_S)
        writer.write(b"k")

    assert b"ok" == (await get(hurried.port, hurried.ads.serve(slow))).body


async def test_an_event_stream_has_no_limit(hurried):
    """It may be silent for as long as it likes."""

    async def events(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n")
        await asyncio.sleep(LONG_S)
        writer.write(b"data: 2\n\n")
        writer.close()

    assert b"data: 1\n\ndata: 2\n\n" == (await get(hurried.port, hurried.ads.serve(events))).body


async def test_a_websocket_has_no_limit(hurried):
    """Both may be silent."""
    path = hurried.ads.serve(echo)
    async with connect(f"ws://127.0.0.1:{hurried.port}{path}", ping_interval=None) as socket_:
        await asyncio.sleep(LONG_S)
        await socket_.send("still there")
        async with asyncio.timeout(SOON_S):
            assert "still there" == await socket_.recv()


@pytest.fixture
def deaf():
    """A port whose connections nobody takes: a few wait in its queue, then none comes up."""
    with socket.socket() as listening_:
        listening_.bind(("127.0.0.1", free_port()))
        listening_.listen(0)
        yield listening_.getsockname()[1]


async def test_an_ad_stack_that_takes_no_connection_is_504(launch, deaf):
    """Neither TLS nor TCP comes up; clicks on our own host are met as ever, at once."""
    world = await launch("sidecar", RULES, *SHORT, upstream=f"https://127.0.0.1:{deaf}")
    statuses = [(await get(world.port, "/")).status for _ in range(4)]
    click_id = new_id()
    begin = time.monotonic()
    answer = await get(
        world.port, link_of(click_id).removeprefix("https://app.appsflyer.com"), host="app.appsflyer.com"
    )

    assert ([504] * 4, play(click_id)) == (statuses, answer.location)
    assert time.monotonic() - begin < SHORT_S
    assert "clients get 504" in await world.host.log.saw("does not answer in time")


async def test_a_client_that_has_sent_all_gets_its_answer(hurried):
    """Then the connection ends; its click is counted once."""
    click_id = new_id()
    path = hurried.ads.redirect(link_of(click_id))
    async with connection(hurried.port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(request(path))
        writer.write_eof()
        answer = Answer(await reader.read())

    assert play(click_id) == answer.location
    await hurried.appsflyer.next_click()


async def test_a_client_that_has_sent_all_gets_a_late_answer(hurried):
    """The ad stack takes its time, and is not let down."""
    more = asyncio.Event()

    async def late(_request, _reader, writer):
        await more.wait()
        writer.write(response("200 OK", body=b"late"))

    async with connection(hurried.port) as (reader, writer), asyncio.timeout(SOON_S):
        hurried.ads.forget()
        writer.write(request(hurried.ads.serve(late)))
        writer.write_eof()
        await hurried.ads.next_request()
        more.set()
        answer = Answer(await reader.read())

    assert b"late" == answer.body


async def test_a_client_that_has_sent_all_and_is_gone_is_let_go(hurried):
    """Its reset is seen although nobody reads from it: the ad stack's event stream ends."""
    left = asyncio.Event()

    async def events(_request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await reader.read()
        left.set()

    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(request(hurried.ads.serve(events)))
    writer.write_eof()
    await reader.readuntil(b"data: 1")
    # A reset: so a closed tab looks after its FIN, once it is sent something or asked whether it is there.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    async with asyncio.timeout(SOON_S):
        await left.wait()
