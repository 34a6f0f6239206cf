"""Request heads that a stranger makes: what is refused, what reaches the ad stack, and what it costs (design §2).

All forms of them are tables in tests/host/layers; here real processes hold to the same, ours and mitmproxy's own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from storehop.host.layers.head import MAX_HEAD_BYTES, MAX_HEAD_LINES
from tests.support.clients import connection, get, read_answer, request, talk
from tests.support.patience import SOON_S
from tests.support.scenes import RULES, link_of, new_id, play
from tests.support.standins import response

ADS = "ads.network.example"
HOST = b"Host: ads.network.example\r\n"
REFUSED = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%d %s\n"


def refusal(status, phrase):
    """All that a refused client is told."""
    body = b"%d %s\n" % (status, phrase)
    return REFUSED % (status, phrase, len(body), status, phrase)


TOO_LARGE = refusal(431, b"Request Header Fields Too Large")
BAD = refusal(400, b"Bad Request")


def head(*lines, target=b"/ad/none"):
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", HOST.strip(), *lines, b"", b""])


async def sent(world, raw):
    """What the ad stack sees of bytes that are one request."""
    world.ads.forget()
    async with connection(world.port) as (reader, writer):
        writer.write(raw)
        await read_answer(reader)
    return await world.ads.next_request()


async def is_served(world):
    """Whether a click is met as ever."""
    click_id = new_id()
    answer = await get(world.port, world.ads.redirect(link_of(click_id)))
    await world.appsflyer.next_click()
    return answer.location == play(click_id)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (head(b"X: " + b"a" * MAX_HEAD_BYTES), TOO_LARGE),
        (head(b"X: " + b"a" * 1_000_000), TOO_LARGE),
        (head(*[b"X: 1"] * MAX_HEAD_LINES), TOO_LARGE),
        (b"GET /" + b"a" * 100_000, TOO_LARGE),
        (head(b"X: a\0b"), BAD),
        (head(b"X: a\rb"), BAD),
        (head(b"X: a", b" b"), BAD),
        (head(HOST.strip()), BAD),
        (b"GET / HTTP/1.1\r\n\r\n", BAD),
        (b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
        (head(b"Connection: close, X-Forwarded-For"), BAD),
        (head(b"Host : b"), BAD),
    ],
    ids=[
        *("a byte too long", "much too long", "a line too many", "no end", "NUL", "CR", "obs-fold", "two Hosts"),
        *("no Host", "no token", "Connection", "a space before the colon"),
    ],
)
async def test_a_head_is_refused(world, raw, expected):
    """Its client reads why, in words that tell nothing of us; the ad stack hears nothing, the next click is met."""
    world.ads.forget()
    answer = await talk(world.port, raw)

    assert (expected, 0) == (answer.raw, world.ads.requests.qsize())
    assert await is_served(world)


async def test_a_head_of_the_most_bytes_arrives(world):
    """The ad stack gets it as it was."""
    raw = head(b"X: " + b"a" * (MAX_HEAD_BYTES - len(head(b"X: "))))

    assert "a" * 65_000 in (await sent(world, raw)).header("X")


async def test_http_1_0_needs_no_host(world):
    """It had none when it was made."""
    answer = await talk(world.port, b"GET /ad/none HTTP/1.0\r\n\r\n")

    assert 404 == answer.status


async def test_empty_lines_before_a_request_are_nothing(world):
    """Old browsers end a form's body with one (RFC 9112 §2.2)."""
    body = request("/ad/none", "POST", b"a=1") + b"\r\n"
    async with connection(world.port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(b"\r\n\r\n" + body + body)
        answers = [await read_answer(reader), await read_answer(reader)]

    assert [404, 404] == [answer.status for answer in answers]


async def test_disguised_names_are_left_out(world):
    """What CGI and WSGI servers take for the load balancer's word does not reach them, any other name does."""
    names = (b"x_forwarded_for: 8.8.8.8", b"X-Real_IP: 8.8.8.8", b"X_Forwarded-Proto: https", b"device_id: 7")

    seen = await sent(world, head(*names))

    assert [b"device_id: 7"] == [line for line in seen.header_lines if b"_" in line]


async def test_the_configured_header_in_disguise_is_left_out(launch):
    """As the rules have it now: a changed rule file counts for connections that are open, too."""
    rules = RULES.replace("[127.0.0.0/8]", "[127.0.0.0/8], header: CF-Connecting-IP")
    world = await launch("sidecar", rules)

    seen = await sent(world, head(b"CF_Connecting_IP: 8.8.8.8", b"True_Client_IP: 8.8.8.8"))

    assert [b"True_Client_IP: 8.8.8.8"] == [line for line in seen.header_lines if b"_" in line]


async def test_trailers_do_not_stop_a_request(world):
    """It arrives without them, whole, and the connection goes on."""
    path = world.ads.serve(response("201 Created"))
    raw = request(path, "POST", transfer_encoding="chunked") + b"5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"
    async with connection(world.port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(raw * 2)
        answers = [await read_answer(reader), await read_answer(reader)]

    assert ([201, 201], 5) == ([answer.status for answer in answers], world.ads.uploaded)
    assert "Traceback" not in world.host.log.text


ENDLESS = [(b"GET / HTTP/1.1\r\nX: ", b"a" * 65_536), (b"GET / HTTP/1.1\r\n", b"X: aaaaaaaa\r\n" * 5_000)]
"""Heads that never end: what is sent first, and then again and again."""


async def pour(port, begin, more, most):
    """Sends until it is answered or cut off. Returns the bytes that went, and the answer; empty: it was lost."""
    went = 0
    async with connection(port) as (reader, writer):
        answer = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            writer.write(begin)
            while went < most and not answer.done():
                writer.write(more)
                await writer.drain()
                went += len(more)
        with suppress(ConnectionError):
            return went, await answer
    return went, b""


async def test_heads_without_an_end_cost_little(world):
    """Fifty clients that would send 100 MB each are cut off soon: 30 MB of memory at the most, and clicks go on."""
    before = world.host.process.memory()
    pouring = [asyncio.create_task(pour(world.port, *ENDLESS[number % 2], 100_000_000)) for number in range(50)]
    while not all(task.done() for task in pouring):
        assert await is_served(world)
    ends = [task.result() for task in pouring]

    assert max(went for went, _ in ends) < 20_000_000
    assert {answer for _, answer in ends} <= {TOO_LARGE, b""}
    assert world.host.process.memory()["VmHWM"] - before["VmRSS"] < 30
