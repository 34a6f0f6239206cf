"""Nobody is told a click who does not prove a name: over both transports."""

import asyncio
import socket

from storehop.model import Failure, Fault, S2SCall
from tests.deliver.wire.standins import OK, SOON, listening, proxying, through


async def test_a_certificate_of_an_unknown_authority_is_refused(tls, monkeypatch):
    """Nothing is sent to who can't prove a name, by either transport."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with listening(OK, tls=tls) as server, proxying() as proxy:
        for way in (None, proxy.url):
            async with through(way) as wire:
                assert Failure(Fault.TLS, maybe_sent=False) == await wire.send(server.call(), SOON)

    assert [] == server.heads


async def test_a_certificate_of_another_name_is_refused(wire, tls):
    """A trusted authority is not enough."""
    async with listening(OK, tls=tls) as server:
        call = S2SCall("c1", f"https://127.0.0.1:{server.port}", "/x", ())

        assert Failure(Fault.TLS, maybe_sent=False) == await wire.send(call, SOON)


async def test_a_server_that_speaks_no_tls_is_refused(wire):
    """An answer in plain text is no handshake."""

    async def greet(reader, writer):
        await reader.read(65536)  # else its end would be a reset, and the greeting lost
        writer.write(b"220 hello\r\n")
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    call = S2SCall("c1", f"https://localhost:{listener.sockets[0].getsockname()[1]}", "/x", ())
    outcome = await wire.send(call, SOON)
    listener.close()

    assert Failure(Fault.TLS, maybe_sent=False) == outcome


async def test_a_handshake_that_hangs_was_surely_not_sent(wire):
    """A server that takes the connection and says nothing has been told nothing."""
    with socket.socket() as listener:  # the kernel takes connections, nobody else does
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        call = S2SCall("c1", f"https://127.0.0.1:{listener.getsockname()[1]}", "/x", ())
        outcome = await wire.send(call, 0.4)

    assert Failure(Fault.CONNECT_TIMEOUT, maybe_sent=False) == outcome
