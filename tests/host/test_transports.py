"""What the kernel tells of a client, whichever loop has the socket."""

import asyncio
import types

import pytest
import uvloop

from storehop.host.transports import is_gone

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_whose_socket_is_closed_is_gone(loop):
    async def scene():
        accepted = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer = await accepted
        handler = types.SimpleNamespace(client=1, transports={1: types.SimpleNamespace(writer=writer)})
        before = is_gone(handler)
        writer.transport.abort()
        client.close()
        await asyncio.gather(writer.wait_closed(), client.wait_closed(), return_exceptions=True)
        server.close()
        return before, is_gone(handler)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(scene()) == (False, True)
