"""Connections to AppsFlyer: when they are kept, and when they end. Against servers on loopback."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from storehop.deliver import transport
from storehop.deliver.transport import ExactTransport, TLSError
from tests.support.certificates import Authority, server_context

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HANG_UPS = (b"FIN:", b"RST:", b"FIN:HTTP/1.1 2")
"""Instead of an answer: the connection ends so, after what stands behind the colon."""
NOW = struct.pack("ii", 1, 0)
"""SO_LINGER that resets a connection."""
SOON = 60.0
"""Seconds in which whatever a test waits for has happened."""


@dataclass
class Server:
    """Answers the first request with the first answer, and so on; None leaves one unanswered."""

    answers: list[bytes | None]
    heads: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    asked: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    """What a connection that the client has ended had said besides requests."""
    port: int = 0

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.asked.put_nowait(head)
                answer = self.answers.pop(0)
                if answer in HANG_UPS:
                    writer.write(answer.partition(b":")[2])
                    await writer.drain()
                    if answer.startswith(b"RST"):  # whatever is still unread, the client hears of it at once
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
                    return
                if answer is not None:
                    writer.write(answer)
        except asyncio.IncompleteReadError as end:
            self.ended.put_nowait(end.partial)
        except ConnectionError:
            self.ended.put_nowait(b"")
        finally:
            writer.close()

    @property
    def connections(self):
        return len(self.writers)


@asynccontextmanager
async def listening(*answers, tls=None):
    """A server that gives these answers."""
    server = Server(list(answers))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()
    for writer in server.writers:
        writer.close()


@pytest.fixture
async def client():
    made = ExactTransport()
    yield made
    await made.aclose()


async def ask(client, server, *, scheme="http", name="127.0.0.1", deadline=SOON):
    """The answer to a request."""
    origin = f"{scheme}://{name}:{server.port}"
    request = httpx.Request("GET", origin)
    request.extensions = {
        "origin": origin,
        "target": b"/x",
        "headers": [(b"User-Agent", b"ua")],
        "timeout": {"connect": SOON},
        "deadline": asyncio.get_running_loop().time() + deadline,
    }
    return await client.handle_async_request(request)


async def get(client, server, **options):
    """The status of an answer."""
    return (await ask(client, server, **options)).status_code


async def soon(event):
    return await asyncio.wait_for(event, SOON)


async def until(holds):
    """Waits for what gives no event."""
    async with asyncio.timeout(SOON):
        while not holds():
            await asyncio.sleep(0)


def idle(client):
    """Connections that wait for the next request."""
    return [connection for kept in client._idle.values() for connection in kept]


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nExpires: never\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["plain", "204", "304", "empty", "chunked", "trailers", "100 before", "103 before", "HTTP/1.0 keep-alive"],
)
async def test_a_connection_is_kept(client, answer):
    """The next request goes over it, and its answer is understood."""
    async with listening(answer, b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n") as server:
        await get(client, server)
        status = await get(client, server)

    assert (418, 1) == (status, server.connections)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Le",
        OK + OK,
        OK + b"garbage",
    ],
    ids=["Connection: close", "HTTP/1.0", "half an answer more", "an answer more", "garbage after it"],
)
async def test_a_connection_is_not_kept(client, answer):
    """What its server ends or muddles is good for one answer."""
    async with listening(answer) as server:
        await get(client, server)
        await soon(server.ended.get())

    assert [] == idle(client)


@pytest.mark.parametrize("status", [100, 103])
async def test_an_interim_answer_is_none(client, status):
    """The final answer counts."""
    async with listening(b"HTTP/1.1 %d Wait\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" % status) as server:
        assert 503 == await get(client, server)


async def test_the_headers_of_an_interim_answer_are_not_the_answer_s(client):
    """A Retry-After belongs to the answer that it came with."""
    answer = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + OK
    async with listening(answer) as server:
        response = await ask(client, server)

    assert [(b"Content-Length", b"2")] == response.headers.raw


async def test_a_change_of_protocol_is_refused(client):
    """Nobody asked for one."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with listening(answer) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await get(client, server)


async def test_an_answer_without_length_ends_with_its_connection(client):
    """It is an answer, and the next request has another connection."""
    async with listening(b"HTTP/1.1 200 OK\r\n\r\nabc", OK) as server:
        await get(client, server)
        server.writers[0].close()
        await get(client, server)

    assert 2 == server.connections


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"],
    ids=["no length", "a length"],
)
@pytest.mark.parametrize("body", [b"", b"abc"], ids=["no byte", "some bytes"])
async def test_a_body_that_does_not_end_is_cut(client, monkeypatch, head, body):
    """After DRAIN seconds the connection goes, whether any of the body came or none."""
    monkeypatch.setattr(transport, "DRAIN", 0.05)
    async with listening(head + body) as server:
        await get(client, server)

        assert b"" == await soon(server.ended.get())


async def test_a_body_that_is_too_long_is_cut(client, monkeypatch):
    """More than MAX_BODY is not worth a connection."""
    monkeypatch.setattr(transport, "DRAIN", 60.0)
    length = transport.MAX_BODY + 1
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length) as server:
        await get(client, server)
        await soon(server.ended.get())

    assert [] == idle(client)


async def test_a_body_of_the_most_bytes_is_read(client):
    """Up to MAX_BODY the connection is kept."""
    length = transport.MAX_BODY
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length
    async with listening(answer, OK) as server:
        await get(client, server)
        await until(lambda: idle(client))
        await get(client, server)

    assert 1 == server.connections


def head_of(size):
    """An answer of so many bytes, all of them its head."""
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n"
    return empty.replace(b"X: ", b"X: " + b"a" * (size - len(empty)))


async def test_a_head_of_the_most_bytes_is_read(client):
    """Up to MAX_HEAD it is an answer, and the connection is kept."""
    async with listening(head_of(transport.MAX_HEAD), OK) as server:
        await get(client, server)
        await get(client, server)

    assert 1 == server.connections


@pytest.mark.parametrize(
    "answer",
    [
        head_of(transport.MAX_HEAD + 1),
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"X" * 200_000,
        b"HTTP/1.1 200 " + b"O" * 200_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2_000 + OK,
    ],
    ids=["a byte too long", "fields", "a value", "a name", "a reason", "interim answers", "an answer behind many"],
)
async def test_a_head_that_is_too_large_is_none(client, answer):
    """It is a fault of the server's, and the connection ends."""
    async with listening(answer) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await get(client, server)

        assert b"" == await soon(server.ended.get())


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 10_000),
        (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 1_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 400),
    ],
    ids=["a value", "fields", "interim answers"],
)
async def test_a_head_without_an_end_is_left(client, begin, more):
    """No more of it is kept, and nobody waits for the deadline."""
    async with listening(None) as server:
        call = asyncio.create_task(get(client, server))
        await soon(server.asked.get())
        server.writers[0].write(begin)
        with pytest.raises(httpx.RemoteProtocolError):
            await soon(keep_writing(server.writers[0], more, call))


async def keep_writing(writer, data, call):
    """Until the call has ended, whose end it is."""
    while not call.done():
        writer.write(data)
        await asyncio.sleep(0)
    return await call


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"2\r\nok\r\n0\r\n" + b"X: 1\r\n" * 50_000,
        b"2\r\nok\r\n0\r\nX: " + b"a" * 300_000,
        b"2;x=" + b"a" * 300_000,
        b"1;x=" + b"a" * 100 + b"\r\na\r\n" + b"0" * 300_000,
    ],
    ids=["trailers", "a trailer", "an extension", "a size"],
)
async def test_an_answer_whose_end_is_too_large_is_cut(client, monkeypatch, rest):
    """Its head is an answer; what may come behind it is bounded, whatever it is."""
    monkeypatch.setattr(transport, "DRAIN", 60.0)
    async with listening(CHUNKED + rest) as server:
        status = await get(client, server)

        assert (200, b"") == (status, await soon(server.ended.get()))


async def test_a_trailer_is_no_header(client):
    """A Retry-After behind the body would be too late for whoever reads the head."""
    async with listening(CHUNKED + b"0\r\nRetry-After: 9\r\n\r\n") as server:
        response = await ask(client, server)

    assert [(b"Transfer-Encoding", b"chunked")] == response.headers.raw


async def test_bytes_that_nobody_asked_for_end_the_connection(client):
    """They would be taken for the next request's answer."""
    async with listening(OK) as server:
        await get(client, server)
        server.writers[0].write(OK)
        await soon(server.ended.get())

    assert [] == idle(client)


async def test_a_connection_that_was_idle_too_long_is_not_used(client, monkeypatch):
    """Its server may be about to close it."""
    async with listening(OK, OK) as server:
        await get(client, server)
        monkeypatch.setattr(transport, "MOST_IDLE", 0.0)
        await get(client, server)

    assert 2 == server.connections


async def test_a_connection_that_was_idle_too_long_is_closed(client, monkeypatch):
    """Nobody is left who would."""
    async with listening(OK, OK) as server:
        await get(client, server)
        monkeypatch.setattr(transport, "MOST_IDLE", 0.0)
        await get(client, server)

        assert b"" == await soon(server.ended.get())


async def test_a_connection_that_its_server_closed_is_forgotten(client):
    """The next request has a new one."""
    async with listening(OK, OK) as server:
        await get(client, server)
        server.writers[0].close()
        await until(lambda: not idle(client))
        await get(client, server)

    assert 2 == server.connections


@pytest.mark.parametrize("ends", [b"FIN:", b"RST:"], ids=["FIN", "RST"])
async def test_a_kept_connection_that_is_closed_as_it_is_used_is_no_failure(client, ends):
    """Its server closed it while the request was on its way: the request goes over a fresh one at once."""
    async with listening(OK, ends, OK) as server:
        statuses = [await get(client, server) for _ in range(2)]

    assert ([200, 200], 2, 3) == (statuses, server.connections, len(server.heads))


@pytest.mark.parametrize("ends", [b"FIN:", b"RST:"], ids=["FIN", "RST"])
async def test_a_fresh_connection_that_is_closed_is_a_failure(client, ends):
    """Nothing is repeated that was sent over a fresh connection."""
    async with listening(ends) as server:
        with pytest.raises(httpx.ReadError):
            await get(client, server)

    assert 1 == len(server.heads)


async def test_a_kept_connection_whose_answer_breaks_off_is_a_failure(client):
    """A byte of an answer came: the request was read, and is not repeated here."""
    async with listening(OK, b"FIN:HTTP/1.1 2") as server:
        await get(client, server)
        with pytest.raises(httpx.ReadError):
            await get(client, server)

    assert 2 == len(server.heads)


async def test_no_answer_in_time(client):
    """Whoever waits hears of the deadline."""
    async with listening(OK, None) as server:
        await get(client, server)
        with pytest.raises(httpx.ReadTimeout):
            await get(client, server, deadline=0.05)


async def test_a_connection_whose_answer_is_late_ends(client):
    """What comes late must not be the next request's answer."""
    async with listening(OK, None) as server:
        await get(client, server)
        with pytest.raises(httpx.ReadTimeout):
            await get(client, server, deadline=0.05)

        assert b"" == await soon(server.ended.get())


async def test_a_request_that_is_cancelled_ends_its_connection(client):
    """Its answer must not be the next one's."""
    async with listening(None) as server:
        call = asyncio.create_task(get(client, server))
        await soon(server.asked.get())
        call.cancel()

        assert b"" == await soon(server.ended.get())


async def test_two_calls_at_once_have_two_connections(client):
    """One request at a time on each."""
    async with listening(None, None) as server:
        calls = [asyncio.create_task(get(client, server)) for _ in range(2)]
        await soon(server.asked.get())
        await soon(server.asked.get())
        for writer in server.writers:
            writer.write(OK)
        await asyncio.gather(*calls)

    assert 2 == server.connections


async def test_the_connection_that_was_used_last_is_used_next(client):
    """Those beyond the need grow old."""
    async with listening(None, None, OK) as server:
        calls = [asyncio.create_task(get(client, server)) for _ in range(2)]
        await soon(server.asked.get())
        await soon(server.asked.get())
        for writer in server.writers:
            writer.write(OK)
        await asyncio.gather(*calls)
        oldest, newest = idle(client)
        await get(client, server)

        assert [oldest, newest] == idle(client)


async def test_another_origin_has_its_own_connections(client):
    """A name is not its address."""
    async with listening(OK, OK) as server:
        await get(client, server)
        await get(client, server, name="localhost")

    assert 2 == server.connections


async def test_closing_ends_idle_connections(client):
    """Servers need not wait for them to grow old."""
    async with listening(OK) as server:
        await get(client, server)
        await client.aclose()

        assert b"" == await soon(server.ended.get())


async def test_closing_ends_connections_whose_body_is_still_coming(client, monkeypatch):
    """Nothing of the transport's outlives it."""
    monkeypatch.setattr(transport, "DRAIN", 60.0)
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") as server:
        await get(client, server)
        await client.aclose()

        assert b"" == await soon(server.ended.get())


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """One that the client trusts."""
    made = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    return made


async def test_a_connection_over_tls_is_kept_too(authority):
    """The handshake is paid once."""
    client = ExactTransport()
    async with listening(OK, OK, tls=server_context(authority.sign("localhost"))) as server:
        await get(client, server, scheme="https", name="localhost")
        await get(client, server, scheme="https", name="localhost")
        await client.aclose()

    assert 1 == server.connections


async def test_a_certificate_of_an_unknown_authority_is_refused(client, tmp_path):
    """Nothing is sent to who can't prove a name."""
    async with listening(OK, tls=server_context(Authority.make(tmp_path).sign("localhost"))) as server:
        with pytest.raises(TLSError):
            await get(client, server, scheme="https", name="localhost")


async def test_a_certificate_of_another_name_is_refused(authority):
    """A trusted authority is not enough."""
    client = ExactTransport()
    async with listening(OK, tls=server_context(authority.sign("elsewhere"))) as server:
        with pytest.raises(TLSError):
            await get(client, server, scheme="https", name="localhost")
    await client.aclose()


async def test_a_server_that_speaks_no_tls_is_refused(client):
    """An answer in plain text is no handshake."""

    async def greet(_reader, writer):
        writer.write(b"220 hello\r\n")
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    server = Server([], port=listener.sockets[0].getsockname()[1])
    with pytest.raises(TLSError):
        await get(client, server, scheme="https", name="localhost")
    listener.close()
