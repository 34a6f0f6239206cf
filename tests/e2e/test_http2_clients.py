"""What a client says by HTTP/2, and what an ad stack that speaks HTTP/1.1 hears of it (design §2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from h2.exceptions import ProtocolError

from storehop.host.layers.head import MAX_HEAD_LINES
from tests.support.clients import ask_http2, connection, fields_http2, get_http2, http2_context
from tests.support.patience import SOON_S
from tests.support.processes import STARTERS
from tests.support.scenes import World, link_of, new_id, play
from tests.support.standins import response

ADS = "ads.network.example"
AT_ONCE = 20
"""Streams of one client."""
OURS = f"__Host-storehop={'0' * 32}"


@dataclass(frozen=True, slots=True)
class TlsWorld(World):
    """A host that speaks TLS with clients, before an ad stack that does not."""

    ca: Path = field(default=Path())

    async def ask(self, *fields, trailers=None, target="/ad/none", method="GET"):
        """A browser's request with these fields too."""
        own = fields_http2(ADS, target, method, cookie=None)
        return await ask_http2(self.port, self.ca, ADS, [*own, *fields], trailers)

    async def seen(self, *fields):
        """What the ad stack sees of it."""
        self.ads.forget()
        await self.ask(*fields)
        return await self.ads.next_request()


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=STARTERS)
async def world(request, tmp_path_factory, module_rules, authority, ads, appsflyer):
    """Each of both hosts in turn; stock mitmproxy speaks TLS with whoever begins with it."""
    folder = tmp_path_factory.mktemp(request.param)
    speak = ("--tls-cert", authority.sign(ADS)) if request.param == "sidecar" else ()
    host = await STARTERS[request.param](f"http://127.0.0.1:{ads.port}", module_rules, folder, *speak)
    yield TlsWorld(host, ads, appsflyer, authority.ca if speak else host.ca)
    await host.process.stop()


@pytest.mark.parametrize(
    ("crumbs", "expected"),
    [
        (["a=1", OURS, "b=2"], ["a=1; b=2"]),
        ([OURS], []),
        (["a=1", "b=2", "c=3", "d=4"], ["a=1; b=2; c=3; d=4"]),
        ([OURS, "a=1"], ["a=1"]),
        (["a=1"], ["a=1"]),
        ([f"c{number}=1" for number in range(300)], ["; ".join(f"c{number}=1" for number in range(300))]),
    ],
    ids=["ours between two", "ours alone", "four", "ours and one", "one", "three hundred"],
)
async def test_the_crumbs_of_a_cookie_are_one_line(world, crumbs, expected):
    """RFC 9113 §8.2.3; and our own cookie is nobody's business."""
    seen = await world.seen(*(("cookie", crumb) for crumb in crumbs))

    assert expected == seen.all("Cookie")


async def test_disguised_names_are_left_out(world):
    """What CGI and WSGI servers take for the load balancer's word does not reach them, any other name does."""
    seen = await world.seen(("x_forwarded_for", "8.8.8.8"), ("x-real_ip", "8.8.8.8"), ("device_id", "7"))

    assert [b"device_id: 7"] == [line for line in seen.header_lines if b"_" in line]


@pytest.mark.parametrize(
    ("method", "target"), [("GE T", "/"), ("GET /x HTTP/1.1", "/"), ("GET", "/a b"), ("GET", "/a\tb")]
)
async def test_what_http_1_1_could_not_say_is_refused(world, method, target):
    """400, and the ad stack hears nothing."""
    world.ads.forget()
    answer = await world.ask(method=method, target=target)

    assert (400, b"400 Bad Request\n", 0) == (answer.status, answer.body, world.ads.requests.qsize())


@pytest.mark.parametrize(
    "fields",
    [
        [("x", "a" * 70_000)],
        [("x", f"{number:01000}") for number in range(150)],
        [("x", "1")] * MAX_HEAD_LINES,
        [("x", "a\0b")],
        [("x", "a\rb")],
        [("host", "b.example")],
        [("connection", "x-forwarded-for")],
    ],
    ids=["too long", "many long ones", "too many lines", "NUL", "CR", "another Host", "Connection"],
)
async def test_a_connection_with_such_a_head_ends(world, fields):
    """As hyper-h2 does it; the ad stack hears nothing, and the next connection is served."""
    world.ads.forget()
    with pytest.raises((AssertionError, ConnectionError, ProtocolError)):
        await world.ask(*fields)

    assert 0 == world.ads.requests.qsize()
    click_id = new_id()
    answer = await get_http2(world.port, world.ca, ADS, world.ads.redirect(link_of(click_id)))
    await world.appsflyer.next_click()
    assert play(click_id) == answer.location


async def test_trailers_do_not_stop_a_request(world):
    """The ad stack gets all but them."""
    path = world.ads.serve(response("201 Created"))
    fields = [("content-length", "5")]

    answer = await world.ask(*fields, trailers=[("x-sum", "7")], method="POST", target=path)

    assert (201, 5) == (answer.status, world.ads.uploaded)
    assert "Traceback" not in world.host.log.text


async def test_an_upload_of_unknown_length_has_an_end(world):
    """HTTP/2 ends a body by a flag. HTTP/1.1 has chunks: else the ad stack would read it as the next request."""
    received = []

    async def read(request, reader, writer):
        received.append((request.all("Transfer-Encoding"), await reader.readuntil(b"\r\n0\r\n\r\n")))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    fields = fields_http2(ADS, world.ads.serve(read), "POST", cookie=None)
    async with connection(world.port, http2_context(world.ca), ADS) as (reader, writer):
        protocol = H2Connection(H2Configuration(header_encoding="utf-8"))
        protocol.initiate_connection()
        protocol.send_headers(1, fields)
        for piece in (b"GET /smuggled HTTP/1.1\r\n", b"", b"Host: x\r\n\r\n"):  # an empty frame is no end
            protocol.send_data(1, piece)
        protocol.end_stream(1)
        ended = False
        while not ended:
            writer.write(protocol.data_to_send())
            ended = any(isinstance(it, StreamEnded) for it in protocol.receive_data(await reader.read(1 << 16)))
    ((framing, body),) = received

    assert (["chunked"], b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n") == (framing, unchunked(body))


def unchunked(body):
    """What stands in the chunks."""
    whole = b""
    while size := int(body[: (at := body.index(b"\r\n"))], 16):
        whole, body = whole + body[at + 2 : at + 2 + size], body[at + 2 + size + 2 :]
    return whole


async def test_many_streams_of_one_client_are_forwarded_at_once(world):
    """A load balancer may have all its users on one connection: none waits for another's answer."""
    answer_now, came = asyncio.Event(), asyncio.Semaphore(0)

    async def hold(_request, _reader, writer):
        came.release()
        await answer_now.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    path = world.ads.serve(hold)
    asked = [asyncio.create_task(_streams(world, path, AT_ONCE))]
    async with asyncio.timeout(SOON_S):
        for _ in range(AT_ONCE):
            await came.acquire()
        answer_now.set()
        (ended,) = await asyncio.gather(*asked)

    assert AT_ONCE == ended


async def _streams(world, path, count):
    """Opens so many streams on one connection at once. Returns how many were answered."""
    async with connection(world.port, http2_context(world.ca), ADS) as (reader, writer):
        protocol = H2Connection(H2Configuration(header_encoding="utf-8"))
        protocol.initiate_connection()
        for number in range(count):
            protocol.send_headers(1 + 2 * number, fields_http2(ADS, path), end_stream=True)
        ended = 0
        while ended < count:
            writer.write(protocol.data_to_send())
            events = protocol.receive_data(await reader.read(1 << 16))
            ended += sum(isinstance(event, StreamEnded) for event in events)
        return ended
