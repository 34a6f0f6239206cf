"""When connections are kept and when they end, and how much of an answer is read: over both transports."""

import asyncio
from contextlib import suppress

import pytest

from storehop.deliver.wire import connection, proxied
from storehop.model import Failure, Fault, Reply
from tests.deliver.wire.standins import OK, SOON, TEAPOT, drained, in_turn, soon


def slow(monkeypatch, drain_s):
    """Bodies may take so long."""
    for module in (connection, proxied):
        monkeypatch.setattr(module, "DRAIN_S", drain_s)


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
    ],
    ids=["plain", "204", "304", "empty", "chunked", "trailers", "100 before", "103 before"],
)
async def test_a_connection_is_kept(wire, serve, answer):
    """The next request goes over it, and its answer is understood."""
    async with serve(answer, TEAPOT) as server:
        replies = await in_turn(wire, server)

    assert (418, 1) == (replies[1].status, server.connections)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["Connection: close", "HTTP/1.0"],
)
async def test_a_connection_is_not_kept(wire, serve, answer):
    """What its server ends is good for one answer."""
    async with serve(answer, OK) as server:
        await wire.send(server.call(), SOON)
        await soon(server.ended.get())
        await wire.send(server.call(), SOON)

    assert 2 == server.connections


@pytest.mark.parametrize("more", [OK, b"HTTP/1.1 200 OK\r\nContent-Le", b"garbage"], ids=["whole", "half", "garbage"])
async def test_what_comes_behind_an_answer_is_no_answer(wire, serve, more):
    """The next request has its own, or none."""
    async with serve(OK + more, TEAPOT, TEAPOT) as server:
        outcomes = await in_turn(wire, server)

    assert outcomes[1] in {Reply(418), Failure(Fault.PROTOCOL, maybe_sent=True)}


async def test_an_answer_without_length_ends_with_its_connection(wire, serve):
    """It is an answer, and the next request has another connection."""
    async with serve(b"HTTP/1.1 200 OK\r\n\r\nabc", OK) as server:
        replies = [await wire.send(server.call(), SOON)]
        server.writers[0].close()
        replies.append(await wire.send(server.call(), SOON))

    assert ([Reply(200)] * 2, 2) == (replies, server.connections)


@pytest.mark.parametrize("ends", [b"FIN:", b"RST:"], ids=["FIN", "RST"])
async def test_a_kept_connection_that_is_closed_as_it_is_used_is_no_failure(wire, serve, ends):
    """Its server closed it while the request was on its way: the request goes over a fresh one at once."""
    async with serve(OK, ends, OK) as server:
        replies = await in_turn(wire, server)

    assert ([Reply(200)] * 2, 2, 3) == (replies, server.connections, len(server.heads))


async def test_a_kept_connection_is_the_only_one_that_may_be_closed_so(wire, serve):
    """The fresh one's end is a failure, and nothing goes out a third time."""
    async with serve(OK, OK, b"FIN:", b"FIN:", OK) as server:
        await asyncio.gather(*(wire.send(server.call(), SOON) for _ in range(2)))
        await drained()
        outcome = await wire.send(server.call(), SOON)

    assert (Failure(Fault.RESET, maybe_sent=True), 4) == (outcome, len(server.heads))


async def test_a_kept_connection_whose_answer_breaks_off_is_a_failure(wire, serve):
    """A byte of an answer came: the request was read, and is not repeated here."""
    async with serve(OK, b"FIN:HTTP/1.1 2") as server:
        outcomes = await in_turn(wire, server)

    assert (Failure(Fault.RESET, maybe_sent=True), 2) == (outcomes[1], len(server.heads))


async def test_a_connection_that_its_server_closed_is_forgotten(wire, serve):
    """The next request has a new one, and nothing is sent twice."""
    async with serve(OK, OK) as server:
        await wire.send(server.call(), SOON)
        server.writers[0].close()
        assert Reply(200) == await wire.send(server.call(), SOON)

    assert 2 == server.connections


async def test_a_connection_whose_answer_is_late_ends(wire, serve):
    """What comes late must not be the next request's answer."""
    async with serve(OK, None) as server:
        await wire.send(server.call(), SOON)
        await drained()
        outcome = await wire.send(server.call(), 0.2)

        assert (Failure(Fault.READ_TIMEOUT, maybe_sent=True), b"") == (outcome, await soon(server.ended.get()))


async def test_a_call_that_is_cancelled_ends_its_connection(wire, serve):
    """Its answer must not be the next one's."""
    async with serve(None) as server:
        sending = asyncio.create_task(wire.send(server.call(), SOON))
        await soon(server.asked.get())
        sending.cancel()

        assert b"" == await soon(server.ended.get())
        with suppress(asyncio.CancelledError):
            await sending


async def test_two_calls_at_once_have_two_connections(wire, serve):
    """One request at a time on each."""
    async with serve(None, None) as server:
        calls = [asyncio.create_task(wire.send(server.call(), SOON)) for _ in range(2)]
        for _ in calls:
            await soon(server.asked.get())
        for writer in server.writers:
            writer.write(OK)
        await asyncio.gather(*calls)

    assert 2 == server.connections


async def test_closing_ends_idle_connections(wire, serve):
    """Servers need not wait for them to grow old."""
    async with serve(OK) as server:
        await wire.send(server.call(), SOON)
        await wire.close()

        assert b"" == await soon(server.ended.get())


async def test_closing_ends_connections_whose_body_is_still_coming(wire, serve, monkeypatch):
    """Nothing of the wire's outlives it."""
    slow(monkeypatch, SOON)
    async with serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") as server:
        await wire.send(server.call(), SOON)
        await wire.close()

        assert b"" == await soon(server.ended.get())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 30_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"X" * 200_000,
        b"HTTP/1.1 200 " + b"O" * 200_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 4_000 + OK,
    ],
    ids=["fields", "a value", "a name", "a reason", "interim answers", "an answer behind many"],
)
async def test_a_head_that_is_too_large_is_none(wire, serve, answer):
    """It is a fault of the server's, and the connection ends."""
    async with serve(answer) as server:
        outcome = await wire.send(server.call(), SOON)

        assert (Failure(Fault.PROTOCOL, maybe_sent=True), b"") == (outcome, await soon(server.ended.get()))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"X: 1\r\n" * 50_000,
        CHUNKED + b"2\r\nok\r\n0\r\nX: " + b"a" * 300_000,
        CHUNKED + b"2;x=" + b"a" * 300_000,
        CHUNKED + b"1;x=" + b"a" * 100 + b"\r\na\r\n" + b"0" * 300_000,
    ],
    ids=["without length", "with one", "trailers", "a trailer", "an extension", "a size"],
)
async def test_an_answer_whose_rest_is_too_large_is_cut(wire, serve, monkeypatch, answer):
    """Its head is an answer; what may come behind it is bounded, whatever it is."""
    slow(monkeypatch, SOON)
    async with serve(answer) as server:
        reply = await wire.send(server.call(), SOON)

        assert (Reply(200), b"") == (reply, await soon(server.ended.get()))


@pytest.mark.parametrize("length", [b"", b"Content-Length: 10\r\n"], ids=["no length", "a length"])
@pytest.mark.parametrize("body", [b"", b"abc"], ids=["no byte", "some bytes"])
async def test_a_body_that_does_not_end_is_cut(wire, serve, monkeypatch, length, body):
    """After DRAIN_S the connection goes, whether any of the body came or none."""
    slow(monkeypatch, 0.05)
    async with serve(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + body) as server:
        await wire.send(server.call(), SOON)

        assert b"" == await soon(server.ended.get())


async def test_a_trailer_is_no_header(wire, serve):
    """A Retry-After behind the body would be too late for whoever reads the head."""
    async with serve(CHUNKED + b"0\r\nRetry-After: 9\r\n\r\n") as server:
        reply = await wire.send(server.call(), SOON)

    assert (None, ((b"Transfer-Encoding", b"chunked"),)) == (reply.retry_after, reply.headers)
