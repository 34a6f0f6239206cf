"""Says so when mitmproxy changes what the lean way replaces, or leans on: each of ours was held against that source."""

import asyncio
import hashlib
import inspect
import io
import textwrap
import tokenize
import types

import pytest
from mitmproxy import addonmanager, connection, flow, hooks, http
from mitmproxy.net.http.http1 import read
from mitmproxy.options import Options
from mitmproxy.proxy import commands, context, events, layer, mode_servers, server
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.utils import asyncio_utils

from storehop.host.layers.stack import Port
from storehop.host.lean import LeanMaster
from storehop.host.lean.handler import LeanHandler
from storehop.host.tls.addon import Tls

HANDLER = "host/lean/handler.py"
HOOKS = "host/lean/hooks.py"
READING = "host/lean/reading.py"
AT_ONCE = "host/layers/at_once.py"
LEAN = "host/layers/lean.py"
HEADERS = "host/layers/headers.py"
IN_TURN = "host/layers/in_turn.py"
MASTER = "host/lean/master.py"

LAYOUT = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE})

KNOWN = [
    (server.ConnectionHandler.__init__, HANDLER, {"dc7de874f116", "4dd8d396b7a6"}),  # 12.2.0, later
    (server.ConnectionHandler.handle_client, HANDLER, {"eed2b8454b32"}),
    (server.ConnectionHandler.open_connection, HANDLER, {"01aac0318d9a"}),
    (server.ConnectionHandler.wakeup, HANDLER, {"ff819fc6212d"}),
    (server.ConnectionHandler.server_event, HANDLER, {"b404c77806c0"}),
    (server.ConnectionHandler.close_connection, HANDLER, {"bf1c6aee874a"}),
    (server.ConnectionHandler.hook_task, HANDLER, {"1ccd81a848bc"}),
    (server.LiveConnectionHandler.__init__, HANDLER, {"edf432628da4"}),
    (mode_servers.ProxyConnectionHandler, HANDLER, {"2e06ca475824"}),
    (layer.NextLayer, HANDLER, {"ce1cdcef4e6d"}),
    (modes.ReverseProxy, HANDLER, {"3a0fe05ec8c0"}),
    (modes.DestinationKnown, HANDLER, {"ee6929532f3e"}),
    (flow.Flow.wait_for_resume, HANDLER, {"352f86e4165b"}),
    (flow.Flow.intercept, HANDLER, {"1dbc482469c8"}),
    (flow.Flow.resume, HANDLER, {"11c8d306cd0b"}),
    (commands.StartHook, HANDLER, {"69f6b3c560b8"}),
    (commands.SendData, HANDLER, {"7fc1b2dcaeb9"}),
    (commands.ConnectionCommand, HANDLER, {"4e7a2449b815"}),
    (commands.CloseTcpConnection, HANDLER, {"2260cf1e46ce"}),
    (events.HookCompleted, HANDLER, {"0fda9c29de64"}),
    (events.DataReceived, HANDLER, {"044c09545b9d"}),
    (connection.ConnectionState, HANDLER, {"16f25ac4fbd9"}),
    (server.ConnectionHandler.handle_connection, READING, {"7e389c628778"}),
    (server.ConnectionHandler.drain_writers, READING, {"e1d7c92aa586"}),
    (server.TimeoutWatchdog, READING, {"c909d9148e03"}),
    (addonmanager.safecall, HOOKS, {"adc953ccddf4"}),
    (addonmanager.traverse, HOOKS, {"4597d63588ac"}),
    (addonmanager.AddonManager, HOOKS, {"32fb89d596e6"}),
    (hooks.Hook, HOOKS, {"014bc9ea4983"}),
    (layer.Layer, AT_ONCE, {"1114c992c815"}),
    (_http1.Http1Connection._handle_event, LEAN, {"e3471eb422e9"}),
    (_http1.Http1Connection.start, LEAN, {"e9839c47e4c2"}),
    (_http1.Http1Connection.read_body, LEAN, {"ef0c2acc0505"}),
    (_http1.Http1Connection.wait, LEAN, {"6d0be6c9ceb8"}),
    (_http1.Http1Connection.mark_done, LEAN, {"26a6bffea10f"}),
    (_http1.Http1Server.read_headers, LEAN, {"e32e495bc963"}),
    (_http1.Http1Server.mark_done, LEAN, {"a8acae2d28d6"}),
    (_http1.Http1Client.read_headers, LEAN, {"d0e981b3dabe"}),
    (_http1.Http1Client.send, LEAN, {"5579a97c0dc8"}),
    (_http1.should_make_pipe, LEAN, {"21353555f629"}),
    (layers.HttpStream.__init__, LEAN, {"c958ad08ce83"}),
    (layers.HttpStream._handle_event, LEAN, {"f8a4d47ab872"}),
    (layers.HttpStream.state_wait_for_request_headers, LEAN, {"20f8a01474ad"}),
    (layers.HttpStream.state_consume_request_body, LEAN, {"cc76df519506"}),
    (layers.HttpLayer._handle_event, LEAN, {"3fbc97524fa9"}),
    (layers.HttpLayer.event_to_child, LEAN, {"87032f2b2492"}),
    (layers.HttpLayer.make_stream, LEAN, {"1c8bf3dc6ced"}),
    (layers.HttpLayer.register_connection, LEAN, {"6936c8c4b947"}),
    (layers.HttpClient, LEAN, {"dc28c9ac94dc"}),
    (context.Context, LEAN, {"7102dd44646b"}),
    (read.connection_close, LEAN, {"e414f74bd75c"}),
    (read.expected_http_body_size, LEAN, {"a24fa95db27a"}),
    (_http1.Http1Server.send, IN_TURN, {"6c2a2891ccff"}),
    (_http1.Http1Connection.make_pipe, IN_TURN, {"0d1b7914b6e8"}),
    (read.read_request_head, HEADERS, {"11d450527273"}),
    (read._read_headers, HEADERS, {"f3417b9424cd"}),
    (http.Headers, HEADERS, {"f24cabc09f96"}),
    (mode_servers.ServerInstance.handle_stream, MASTER, {"1a3d4a2e9feb"}),
]
"""What mitmproxy does, which file of ours does it in its place, and the digests that this was compared with."""


def digest(thing):
    """Of its source, where neither comments nor the layout count."""
    lines = io.StringIO(textwrap.dedent(inspect.getsource(thing)))
    words = [token.string.strip() for token in tokenize.generate_tokens(lines.readline) if token.type not in LAYOUT]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


@pytest.mark.parametrize(("thing", "ours", "known"), KNOWN, ids=lambda value: getattr(value, "__qualname__", ""))
def test_it_is_as_we_know_it(thing, ours, known):
    """Else compare it with ours, as .github/CONTRIBUTING.md says."""
    where = f"{thing.__module__}.{thing.__qualname__}"

    assert digest(thing) in known, f"mitmproxy changed {where}: compare it with {ours} (.github/CONTRIBUTING.md)"


# who goes the lean way


@pytest.fixture
def stock_handler(monkeypatch):
    """The handler that mitmproxy's servers make; it is theirs again at the end."""
    monkeypatch.setattr(mode_servers, "ProxyConnectionHandler", mode_servers.ProxyConnectionHandler)


async def handlers_of(master):
    """The handlers that one client's connection gets from a started server of this master."""
    with asyncio_utils.set_eager_task_factory():
        master.options.update(mode=["reverse:http://127.0.0.1:1"], listen_host="127.0.0.1", listen_port=0)
        servers = master.addons.get("proxyserver")
        running = asyncio.create_task(master.run())
        try:
            async with asyncio.timeout(20):
                while not servers.listen_addrs():
                    await asyncio.sleep(0.01)
                _, writer = await asyncio.open_connection(*servers.listen_addrs()[0][:2])
                while not servers.connections:
                    await asyncio.sleep(0.01)
            found = [type(handler) for handler in servers.connections.values()]
            writer.close()
            await writer.wait_closed()
            await servers.servers.update([])
        finally:
            master.shutdown()
            await running
    return found


@pytest.mark.usefixtures("stock_handler")
async def test_the_lean_master_s_servers_go_it():
    """Mitmproxy has no option for it: its servers find the handler by its name."""
    assert [LeanHandler] == await handlers_of(LeanMaster(Options(), Tls.of(None)))


async def test_mitmproxy_s_own_tools_do_not():
    """What our addon is loaded into is as it was: mitmdump, mitmweb."""
    master = DumpMaster(Options(), with_termlog=False, with_dumper=False)
    master.addons.add(types.SimpleNamespace(name="storehop", addons=[]))

    assert [mode_servers.ProxyConnectionHandler] == await handlers_of(master)
    assert LeanHandler is not mode_servers.ProxyConnectionHandler
    assert type(master.addons) is addonmanager.AddonManager
    assert Port().http is None
