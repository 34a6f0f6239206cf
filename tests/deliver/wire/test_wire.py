"""One attempt, told honestly: the same facts over both transports, with and without TLS."""

import asyncio
import socket

import pytest

from storehop.deliver.wire import UnsendableError, Wire
from storehop.model import Failure, Fault, Reply, S2SCall
from tests.deliver.wire.standins import OK, SOON, proxying, soon, through

SHORT = 1.0
"""Seconds that a call waits in vain; half of them would do to connect."""
TARGETS = (
    "/com.x.y?a={b}&c=%7e%2F(x)&d='q'&e&f=&redirect=false",
    '/com.x.y?a="b"&c=<d>&e=[f]|g^h`i\\j',
    "/a//b/../c/./d;e=f,g?h=i?j=k#l",
    "/%zz?%&%2&=&&a=b=c&+d=%20e+f&~g=%7E",
    "/?",
    "/",
)
HEADERS = (("X-b", "1"), ("x-A", "2"), ("User-Agent", "ua é, 'q' %7e"), ("X-b", ""), ("Accept", "*/*"))


@pytest.mark.parametrize("target", TARGETS)
async def test_a_target_goes_out_byte_for_byte(wire, serve, target):
    """Nothing on the way encodes, decodes or normalises what the decision wrote."""
    async with serve(OK) as server:
        await wire.send(server.call(target), SOON)

    assert f"GET {target} HTTP/1.1\r\n".encode() == server.heads[0].partition(b"Host")[0]


async def test_headers_go_out_exactly_and_in_order(wire, serve):
    """Names keep their letters' case, doubles stay two, and none is added but Host."""
    async with serve(OK) as server:
        await wire.send(server.call(headers=HEADERS), SOON)

    host = ("Host", server.origin.partition("://")[2])
    assert [f"{name}: {value}".encode() for name, value in (host, *HEADERS)] == server.heads[0].split(b"\r\n")[1:-2]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/x", (("User-Agent", "ua\r\nX-Forged: 1"),)),
        ("/x", (("User-Agent", "ua\nX-Forged: 1"),)),
        ("/x", (("User-Agent", "ua\rX-Forged: 1"),)),
        ("/x", (("User-Agent", "ua\0"),)),
        ("/x", (("X-Forged: 1\r\nUser-Agent", "ua"),)),
        ("/x", (("User-Agent", "\ud800"),)),
        ("/x HTTP/1.1\r\nX-Forged: 1\r\n\r\nGET /y", ()),
        ("/x HTTP/1.1", ()),
        ("/x\n", ()),
        ("/é", ()),
        ("", ()),
    ],
    ids=["CRLF", "LF", "CR", "NUL", "in a name", "no Unicode", "a request", "a space", "LF at its end", "é", "nothing"],
)
async def test_what_makes_no_request_is_never_sent(wire, serve, target, headers):
    """Stored bytes must not split a request into two, or add a header; nobody is even connected to."""
    async with serve(OK) as server:
        with pytest.raises(UnsendableError):
            await wire.send(server.call(target, headers), SOON)

    assert 0 == server.connections


@pytest.mark.parametrize("host", ["af.test:port", "af\n.test", ""])
async def test_a_host_that_is_none_is_never_sent_to(wire, host):
    """No attempt will find it."""
    with pytest.raises(UnsendableError):
        await wire.send(S2SCall("c1", f"http://{host}", "/x", ()), SHORT)


async def test_a_reply_is_a_reply(wire, serve):
    """The status, Retry-After and headers are what came."""
    async with serve(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nX-y: 1\r\nContent-Length: 0\r\n\r\n") as server:
        reply = await wire.send(server.call(), SOON)

    assert Reply(503, "7") == reply
    assert ((b"Retry-After", b"7"), (b"X-y", b"1"), (b"Content-Length", b"0")) == reply.headers


@pytest.mark.parametrize(
    ("answer", "timeout_s", "failure"),
    [
        (None, SHORT, Failure(Fault.READ_TIMEOUT, maybe_sent=True)),
        (b"HTTP/1.1 200 OK\r\nX: ", SHORT, Failure(Fault.READ_TIMEOUT, maybe_sent=True)),
        (b"FIN:", SOON, Failure(Fault.RESET, maybe_sent=True)),
        (b"FIN:HTTP/1.1 2", SOON, Failure(Fault.RESET, maybe_sent=True)),
        (b"RST:", SOON, Failure(Fault.RESET, maybe_sent=True)),
        (b"\x00\xff garbage\r\n\r\n", SOON, Failure(Fault.PROTOCOL, maybe_sent=True)),
    ],
    ids=["silence", "half a head", "a closed connection", "half an answer", "a reset", "garbage"],
)
async def test_a_failure_after_sending_may_have_been_sent(wire, serve, answer, timeout_s, failure):
    """Once the request is out, nobody knows what AppsFlyer counted; and it is not repeated here."""
    async with serve(answer) as server:
        outcome = await wire.send(server.call(), timeout_s)

    assert (failure, 1) == (outcome, len(server.heads))


async def test_a_refused_connection_was_surely_not_sent():
    """Nothing left this machine."""
    with socket.socket() as taken:  # and not listened on
        taken.bind(("127.0.0.1", 0))
        async with through(None) as wire:
            call = S2SCall("c1", f"http://127.0.0.1:{taken.getsockname()[1]}", "/x", ())
            outcome = await wire.send(call, SOON)

    assert Failure(Fault.CONNECT, maybe_sent=False) == outcome


@pytest.mark.parametrize("body", [b"", b"abc"], ids=["no byte", "some bytes"])
async def test_a_2xx_with_a_cut_or_slow_body_is_delivered_at_once(wire, serve, body):
    """AppsFlyer has said that it took the click: sending again would count it twice."""
    async with serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + body) as server:
        assert Reply(200) == await wire.send(server.call(), SOON)


@pytest.mark.parametrize("status", [100, 103])
async def test_an_interim_answer_is_none(wire, serve, status):
    """The final answer counts, and only its headers do."""
    interim = b"HTTP/1.1 %d Wait\r\nRetry-After: 9\r\n\r\n" % status
    async with serve(interim + b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as server:
        reply = await wire.send(server.call(), SOON)

    assert (503, ((b"Content-Length", b"0"),)) == (reply.status, reply.headers)


async def test_a_change_of_protocol_is_refused(wire, serve):
    """Nobody asked for one."""
    async with serve(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") as server:
        assert Failure(Fault.PROTOCOL, maybe_sent=True) == await wire.send(server.call(), SOON)


async def test_another_proxy_is_used_from_the_next_call_on(serve, trusted):
    """A call under way ends where it began, and then its connections do."""
    async with serve(None, OK) as server, proxying() as proxy, through(None) as wire:
        first = asyncio.create_task(wire.send(server.call(), SOON))
        await soon(server.asked.get())
        wire.use(proxy.url)
        second = await wire.send(server.call(), SOON)
        server.writers[0].write(OK)

        assert ([Reply(200)] * 2, 1) == ([await first, second], len(proxy.heads))
        assert b"" == await soon(server.ended.get())


async def test_the_same_proxy_keeps_its_connections(serve, trusted):
    """A reload that changes nothing costs nothing."""
    async with serve(OK, OK) as server, through(None) as wire:
        await wire.send(server.call(), SOON)
        wire.use(None)
        await wire.send(server.call(), SOON)

    assert 1 == server.connections


async def test_a_proxy_that_is_none_changes_nothing(serve, trusted):
    """Calls go on by the old way."""
    async with serve(OK) as server, through(None) as wire:
        with pytest.raises(ValueError, match="expected http"):
            wire.use("ftp://proxy.test")

        assert Reply(200) == await wire.send(server.call(), SOON)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:secret@proxy.test", "http://me:secret@proxy.test/x", "http://me:secret@proxy.test:x"]
)
async def test_a_bad_proxy_is_named_without_its_secret(proxy):
    """Who reads the log need not know the password."""
    with pytest.raises(ValueError, match=r"^a proxy: expected http://host\[:port\]$"):
        Wire.through(proxy)
