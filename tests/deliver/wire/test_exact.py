"""The default transport's own facts: its bounds to the byte, which connection goes next, and lookups that hang."""

import asyncio

import httpx
import pytest

from storehop.deliver.wire import connection
from storehop.deliver.wire.dial import Dial
from storehop.model import Failure, Fault, Reply, S2SCall
from tests.deliver.wire.standins import OK, SOON, listening, soon, through, until


@pytest.fixture
async def wire():
    async with through(None) as straight:
        yield straight


def idle(wire):
    """Connections that wait for the next request."""
    return [one for kept in wire._way.transport._idle.values() for one in kept]


def body_of(size):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def head_of(size):
    """An answer of so many bytes, all of them its head."""
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n"
    return empty.replace(b"X: ", b"X: " + b"a" * (size - len(empty)))


async def test_a_body_of_the_most_bytes_is_read(wire):
    """Up to MAX_BODY_BYTES the connection is kept."""
    async with listening(body_of(connection.MAX_BODY_BYTES), OK) as server:
        await wire.send(server.call(), SOON)
        await until(lambda: idle(wire))
        await wire.send(server.call(), SOON)

    assert 1 == server.connections


async def test_a_body_that_is_a_byte_too_long_is_cut(wire, monkeypatch):
    """It is not worth a connection."""
    monkeypatch.setattr(connection, "DRAIN_S", SOON)
    async with listening(body_of(connection.MAX_BODY_BYTES + 1)) as server:
        await wire.send(server.call(), SOON)
        await soon(server.ended.get())

    assert [] == idle(wire)


async def test_a_head_of_the_most_bytes_is_read(wire):
    """Up to MAX_HEAD_BYTES it is an answer, and the connection is kept."""
    async with listening(head_of(connection.MAX_HEAD_BYTES), OK) as server:
        replies = [await wire.send(server.call(), SOON) for _ in range(2)]

    assert ([Reply(200)] * 2, 1) == (replies, server.connections)


async def test_a_head_that_is_a_byte_too_long_is_none(wire):
    """The bound is where it is said to be."""
    async with listening(head_of(connection.MAX_HEAD_BYTES + 1)) as server:
        assert Failure(Fault.PROTOCOL, maybe_sent=True) == await wire.send(server.call(), SOON)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 10_000),
        (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 1_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 400),
    ],
    ids=["a value", "fields", "interim answers"],
)
async def test_a_head_without_an_end_is_left(wire, begin, more):
    """No more of it is kept, and nobody waits for the deadline."""
    async with listening(None) as server:
        sending = asyncio.create_task(wire.send(server.call(), SOON))
        await soon(server.asked.get())
        server.writers[0].write(begin)
        async with asyncio.timeout(SOON):
            while not sending.done():
                server.writers[0].write(more)
                await asyncio.sleep(0)

    assert Failure(Fault.PROTOCOL, maybe_sent=True) == await sending


@pytest.mark.parametrize(
    "more", [OK, b"HTTP/1.1 200 OK\r\nContent-Le", b"garbage"], ids=["an answer", "half an answer", "garbage"]
)
async def test_a_connection_that_says_more_than_its_answer_is_not_kept(wire, more):
    """It would be taken for the next request's answer."""
    async with listening(OK + more) as server:
        await wire.send(server.call(), SOON)
        await soon(server.ended.get())

    assert [] == idle(wire)


async def test_bytes_that_nobody_asked_for_end_the_connection(wire):
    """As they come, not when it is used again."""
    async with listening(OK) as server:
        await wire.send(server.call(), SOON)
        server.writers[0].write(OK)
        await soon(server.ended.get())

    assert [] == idle(wire)


async def test_a_connection_of_http_1_0_is_kept_where_it_says_so(wire):
    """Some load balancers' health pages speak it."""
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    async with listening(answer, OK) as server:
        for _ in range(2):
            await wire.send(server.call(), SOON)

    assert 1 == server.connections


async def test_a_connection_that_was_idle_too_long_is_closed_and_not_used(wire, monkeypatch):
    """Its server may be about to close it."""
    async with listening(OK, OK) as server:
        await wire.send(server.call(), SOON)
        monkeypatch.setattr(connection, "MAX_IDLE_S", 0.0)
        await wire.send(server.call(), SOON)

        assert (b"", 2) == (await soon(server.ended.get()), server.connections)


async def test_the_connection_that_was_used_last_is_used_next(wire):
    """Those beyond the need grow old."""
    async with listening(None, None, OK) as server:
        sending = [asyncio.create_task(wire.send(server.call(), SOON)) for _ in range(2)]
        for _ in sending:
            await soon(server.asked.get())
        for writer in server.writers:
            writer.write(OK)
        await asyncio.gather(*sending)
        oldest, newest = idle(wire)
        await wire.send(server.call(), SOON)

        assert [oldest, newest] == idle(wire)


async def test_another_origin_has_its_own_connections(wire):
    """A name is not its address."""
    async with listening(OK, OK) as server:
        await wire.send(server.call(), SOON)
        await wire.send(S2SCall("c2", f"http://localhost:{server.port}", "/x", ()), SOON)

    assert 2 == server.connections


async def test_a_name_that_no_lookup_takes_is_never_sent_to(wire):
    """No attempt will find it."""
    with pytest.raises(Exception, match="label") as refusal:
        await wire.send(S2SCall("c1", f"http://{'x' * 64}.test", "/x", ()), SOON)

    assert "UnsendableError" == refusal.type.__name__


async def send_until(wire, server, seconds):
    """Sends a request whose time ends in so many seconds; connecting may take longer."""
    deadline = asyncio.get_running_loop().time() + seconds
    return await wire._way.transport.send(wire._request(server.call(), 2 * SOON)._replace(deadline=deadline))


async def test_connecting_ends_with_the_call_s_time(wire, monkeypatch):
    """Its lease ends then: what was written would be sent once more by somebody else."""
    addresses = Dial.addresses

    async def slow(dial, host, port):
        await asyncio.sleep(0.1)
        return await addresses(dial, host, port)

    monkeypatch.setattr(Dial, "addresses", slow)
    async with listening(OK) as server:
        with pytest.raises(httpx.ConnectTimeout):
            await send_until(wire, server, 0.01)

    assert 0 == server.connections


async def test_nothing_is_written_when_the_call_s_time_is_over(wire):
    """Nobody would hear the answer."""
    async with listening(OK, OK) as server:
        await wire.send(server.call(), SOON)
        with pytest.raises(httpx.ConnectTimeout):
            await send_until(wire, server, 0.0)
        await soon(server.ended.get())

    assert (1, []) == (len(server.heads), idle(wire))


async def test_a_call_that_has_less_time_than_those_under_way_ends_first(wire):
    """One timer is for all that wait: it goes by whose time ends first."""
    async with listening(None, None, None) as server:
        first = asyncio.create_task(wire.send(server.call(), SOON))
        await soon(server.asked.get())
        outcomes = [await wire.send(server.call(), seconds) for seconds in (0.2, 0.1)]
        server.writers[0].write(OK)

        assert ([Failure(Fault.READ_TIMEOUT, maybe_sent=True)] * 2, Reply(200)) == (outcomes, await first)
