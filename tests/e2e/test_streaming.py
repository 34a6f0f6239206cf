"""All traffic that is no click streams through: nothing is held back, nothing is kept in memory (design §2)."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from tests.support.clients import ANDROID, Answer, connection, get, read_answer, request
from tests.support.patience import SOON_S
from tests.support.scenes import link_of, new_id, path_of, play
from tests.support.standins import echo, response

MB = 1 << 20
CHUNK = bytes(MB // 4)
SLOW = 180.0
"""Seconds for a large body, on a machine that does other things too."""


async def download(request, reader, writer):
    """A route: 200 MB."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {200 * MB}\r\n\r\n".encode())
    for _ in range(800):
        writer.write(CHUNK)
        await writer.drain()


async def fetch_size(port, path):
    """Downloads, and returns the size of the body."""
    async with connection(port) as (reader, writer), asyncio.timeout(SLOW):
        writer.write(request(path, connection="close"))
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        while data := await reader.read(MB):
            size += len(data)
        return size


async def upload(port, path, head):
    """Sends 50 MB behind a request's head, and returns the answer."""
    async with connection(port) as (reader, writer), asyncio.timeout(SLOW):
        writer.write(head)
        for _ in range(200):
            writer.write(chunked(CHUNK) if b"chunked" in head else CHUNK)
            await writer.drain()
        if b"chunked" in head:
            writer.write(b"0\r\n\r\n")
        return await read_answer(reader)


def chunked(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def grown(process, before):
    """How far the process's memory has ever been above what it was before, in MB."""
    return process.memory()["VmHWM"] - before["VmRSS"]


class Slow:
    """A route that sends a first chunk, and a second one when it is told to."""

    def __init__(self, kind):
        self.kind = kind
        self.go_on = asyncio.Event()

    async def __call__(self, _request, _reader, writer):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {self.kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + chunked(b"data: 1\n\n"))
        await writer.drain()
        await self.go_on.wait()
        writer.write(chunked(b"data: 2\n\n") + b"0\r\n\r\n")


async def first_and_rest(port, path, slow, **changes):
    """Reads what comes before the response may go on, then the rest."""
    async with connection(port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(request(path, connection="close", **changes))
        first = await reader.readuntil(b"data: 1\n\n")
        slow.go_on.set()
        return first, await reader.read()


async def test_a_large_download_is_whole(world):
    """All of a 200 MB download arrives."""
    path = world.ads.serve(download)

    assert 200 * MB == await fetch_size(world.port, path)


async def test_a_large_download_takes_no_memory(world):
    """A 200 MB download grows the process by less than 30 MB."""
    path = world.ads.serve(download)
    before = world.host.process.memory()

    await fetch_size(world.port, path)

    assert grown(world.host.process, before) < 30


@pytest.mark.parametrize("framing", [{"content_length": str(50 * MB)}, {"transfer_encoding": "chunked"}], ids=str)
async def test_a_large_upload_is_whole_and_takes_no_memory(world, framing):
    """All of a 50 MB upload reaches the ad stack, and grows the process by less than 30 MB."""
    path = world.ads.serve(response("201 Created"))
    before = world.host.process.memory()

    answer = await upload(world.port, path, request(path, "POST", **framing))

    assert (201, 50 * MB) == (answer.status, world.ads.uploaded)
    assert grown(world.host.process, before) < 30


async def test_an_upload_to_an_attribution_host_takes_no_memory(world):
    """A body that somebody posts to an attribution host streams too: what is no GET is never ours to answer."""
    path = path_of(new_id())
    world.ads.routes[path] = response("201 Created")
    before = world.host.process.memory()
    head = request(path, "POST", host="app.appsflyer.com", content_length=str(50 * MB))

    answer = await upload(world.port, path, head)

    assert (201, 50 * MB) == (answer.status, world.ads.uploaded)
    assert grown(world.host.process, before) < 30


async def test_an_upload_waits_for_100_continue(world):
    """A client that expects 100 Continue gets it, and its body arrives."""
    path = world.ads.serve(response("201 Created"))

    async with connection(world.port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(request(path, "POST", expect="100-continue", content_length="5"))
        interim = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        answer = await read_answer(reader)

    assert (100, 201, 5) == (Answer(interim).status, answer.status, world.ads.uploaded)


async def test_server_sent_events_arrive_one_by_one(world):
    """The first event is there while the response is still open, and the second when it is sent."""
    slow = Slow("text/event-stream")

    first, rest = await first_and_rest(world.port, world.ads.serve(slow), slow)

    assert (True, True) == (first.endswith(b"data: 1\n\n"), b"data: 2\n\n" in rest)


async def test_a_passed_click_streams_too(world):
    """What the upstream answers to a click that passed is not held back either."""
    slow, path = Slow("text/html"), path_of(new_id(), "&af_dp=x")
    world.ads.routes[path] = slow

    first, rest = await first_and_rest(world.port, path, slow, host="app.appsflyer.com")

    assert (True, True) == (first.endswith(b"data: 1\n\n"), b"data: 2\n\n" in rest)


async def test_a_websocket_echoes(world):
    """A WebSocket is upgraded and says back text and bytes."""
    url = f"ws://127.0.0.1:{world.port}{world.ads.serve(echo)}"

    async with connect(url, proxy=None) as socket, asyncio.timeout(SOON_S):
        await socket.send("hello")
        await socket.send(b"\x00\xff")
        heard = [await socket.recv(), await socket.recv()]

    assert ["hello", b"\x00\xff"] == heard


async def test_a_connection_is_kept(world):
    """Clicks and other requests follow one another on one HTTP/1.1 connection."""
    first, second = new_id(), new_id()
    plain = world.ads.serve(response("200 OK", body=b"hello"))
    targets = [plain, world.ads.redirect(link_of(first)), plain, world.ads.redirect(link_of(second)), plain]

    async with connection(world.port) as (reader, writer):
        answers = []
        for target in targets:
            writer.write(request(target))
            answers.append(await read_answer(reader))

    assert [b"hello", play(first), b"hello", play(second), b"hello"] == [it.location or it.body for it in answers]
    for _ in range(2):
        await world.appsflyer.next_click()


async def test_our_own_answers_keep_the_connection(world):
    """Clicks addressed to AppsFlyer follow one another on one HTTP/1.1 connection."""
    ids = [new_id() for _ in range(3)]

    async with connection(world.port) as (reader, writer):
        answers = []
        for click_id in ids:
            writer.write(request(path_of(click_id), host="app.appsflyer.com"))
            answers.append(await read_answer(reader))

    assert [play(click_id) for click_id in ids] == [answer.location for answer in answers]
    for _ in ids:
        await world.appsflyer.next_click()


async def test_errors_of_the_ad_stack_are_its_own(world):
    """An error response of the ad stack reaches the user byte for byte."""
    path = world.ads.serve(response("503 Service Unavailable", "Retry-After: 7", body=b"later"))

    assert (await get(world.ads.port, path)).raw == (await get(world.port, path)).raw


async def test_the_user_agent_reaches_the_ad_stack(world):
    """The ad stack gets the browser's headers as they were sent, cookies included."""
    world.ads.forget()

    await get(world.port, "/ad/none")

    seen = await world.ads.next_request()
    assert (ANDROID, "session=secret") == (seen.header("User-Agent"), seen.header("Cookie"))
