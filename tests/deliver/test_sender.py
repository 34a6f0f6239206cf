"""One attempt, told honestly: against servers on loopback that behave in every way."""

import asyncio
import socket
import threading
from contextlib import suppress

import pytest

from storehop.deliver.sender import Sender, UnsendableError
from storehop.model import Failure, Fault, Reply, S2SCall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOON = 60.0
"""Seconds in which whatever a test waits for has happened."""
SHORT = 2.0
"""Seconds that a call waits in vain; half of them would do to connect."""


async def attempt(answer, timeout=SOON, path="/com.x.y?a={b}&c=%7e%2F(x)&d='q'&e&f=&redirect=false"):
    """What an attempt says of a server that answers so; and the request line that it got."""
    lines = []
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        lines.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        with suppress(asyncio.CancelledError):  # nobody waits for the rest of the answer
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender.with_pool()
    call = S2SCall("c1", f"http://127.0.0.1:{port}", path, (("User-Agent", "ua é"),))
    outcome = await sender.send(call, timeout)
    await sender.close()
    server.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    return outcome, lines


def says(data, wait=0.0):
    async def answer(writer):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(wait)

    return answer


async def resets(writer):
    writer.transport.abort()


async def test_a_reply_is_a_reply():
    """The status and Retry-After are what came."""
    outcome, _ = await attempt(says(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"))

    assert Reply(503, "7") == outcome


async def test_the_target_goes_out_byte_for_byte():
    """Nothing on the way encodes or decodes what the decision wrote."""
    _, lines = await attempt(says(OK))

    assert [b"GET /com.x.y?a={b}&c=%7e%2F(x)&d='q'&e&f=&redirect=false HTTP/1.1\r\n"] == lines


async def test_a_2xx_with_a_cut_body_is_delivered():
    """AppsFlyer has said that it took the click: sending again would count it twice."""
    outcome, _ = await attempt(says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))

    assert Reply(200) == outcome


async def test_a_2xx_with_a_slow_body_is_delivered():
    """The body says nothing that would matter, however long it takes."""
    outcome, _ = await attempt(says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", wait=SOON))

    assert Reply(200) == outcome


async def test_an_endless_body_is_cut():
    """More than MAX_BODY is not read."""
    outcome, _ = await attempt(says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, wait=SOON))

    assert Reply(200) == outcome


@pytest.mark.parametrize(
    ("answer", "timeout", "failure"),
    [
        (says(b"", wait=SOON), SHORT, Failure(Fault.READ_TIMEOUT, maybe_sent=True)),
        (says(b""), SOON, Failure(Fault.RESET, maybe_sent=True)),
        (says(b"\x00\xff garbage\r\n\r\n"), SOON, Failure(Fault.PROTOCOL, maybe_sent=True)),
        (resets, SOON, Failure(Fault.RESET, maybe_sent=True)),
    ],
    ids=["silence", "a closed connection", "garbage", "a reset"],
)
async def test_a_failure_after_sending_may_have_been_sent(answer, timeout, failure):
    """Once the request is out, nobody knows what AppsFlyer counted."""
    outcome, _ = await attempt(answer, timeout)

    assert failure == outcome


async def test_a_broken_connection_is_not_tried_again_on_its_own():
    """The transport repeats nothing: a repetition is the courier's to decide."""
    _, lines = await attempt(resets)

    assert 1 == len(lines)


async def test_a_refused_connection_was_surely_not_sent():
    """Nothing left this machine."""
    sender = Sender.with_pool()
    with socket.socket() as taken:  # and not listened on
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        outcome = await sender.send(S2SCall("c1", f"http://127.0.0.1:{port}", "/x", ()), SOON)
    await sender.close()

    assert Failure(Fault.CONNECT, maybe_sent=False) == outcome


@pytest.fixture
def hanging_lookup(monkeypatch):
    """Names are looked up without end, until the test is over."""
    is_over = threading.Event()

    def hang(*_arguments, **_options):
        is_over.wait(10 * SOON)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    is_over.set()


async def test_a_name_that_is_looked_up_too_long_was_surely_not_sent(hanging_lookup):
    """Looking up the name is connecting: no byte has left."""
    sender = Sender.with_pool()
    outcome = await sender.send(S2SCall("c1", "http://af.test", "/x", ()), 0.4)
    await sender.close()

    assert Failure(Fault.CONNECT_TIMEOUT, maybe_sent=False) == outcome


async def test_lookups_that_hang_leave_the_loop_s_threads_alone(hanging_lookup):
    """Mitmproxy looks up the ad stack in them."""
    sender = Sender.with_pool()
    calls = [S2SCall(f"c{n}", "http://af.test", "/x", ()) for n in range(100)]
    sending = [asyncio.create_task(sender.send(call, 60.0)) for call in calls]
    await asyncio.sleep(0)
    is_free = await asyncio.wait_for(asyncio.to_thread(lambda: True), SOON)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    await sender.close()

    assert is_free


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/x", (("User-Agent", "ua\r\nX-Forged: 1"),)),
        ("/x", (("User-Agent", "ua\nX-Forged: 1"),)),
        ("/x", (("User-Agent", "ua\rX-Forged: 1"),)),
        ("/x", (("User-Agent", "ua\0"),)),
        ("/x", (("X-Forged: 1\r\nUser-Agent", "ua"),)),
        ("/x", (("User-Agent", "\ud800"),)),
        ("/x HTTP/1.1\r\nX-Forged: 1\r\n\r\nGET /y", ()),
        ("/x\n", ()),
        ("/é", ()),
    ],
    ids=["CRLF", "LF", "CR", "NUL", "CRLF in a name", "no Unicode", "CRLF in the URL", "LF in the URL", "no ASCII"],
)
async def test_what_makes_no_request_is_never_sent(path, headers):
    """Stored bytes must not split a request into two, or add a header; nobody is even connected to."""
    met = []
    server = await asyncio.start_server(lambda *streams: met.append(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender.with_pool()
    with pytest.raises(UnsendableError):
        await sender.send(S2SCall("c1", f"http://127.0.0.1:{port}", path, headers), SOON)
    await sender.close()
    server.close()

    assert [] == met


@pytest.mark.parametrize("host", [f"{'x' * 64}.test", "af.test:port", "af\n.test"])
async def test_a_host_that_is_none_is_never_sent_to(host):
    """No attempt will find it."""
    sender = Sender.with_pool()
    with pytest.raises(UnsendableError):
        await sender.send(S2SCall("c1", f"http://{host}", "/x", ()), 2.0)
    await sender.close()
