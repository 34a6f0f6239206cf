"""A client's connection without a network: what it sends goes into the layers, what they do comes out."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import ConnectionState as H2State
from h2.connection import H2Connection
from h2.events import ConnectionTerminated
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.exceptions import AddonHalt
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons

from storehop.host.layers.head import Gate
from storehop.host.layers.link import Limits, Link, Look, Terms
from storehop.host.layers.proxy_protocol import Balancers
from storehop.host.layers.stack import ANY, Port, layers_for

GATE = Gate(lambda: "cf-connecting-ip")
OK = http.Response.make(200, b"hello")


def context(mode="reverse:http://ads.example:8000", transport="tcp"):
    """Of a fresh connection from a client, as its first layer sees it."""
    with taddons.context(Proxyserver()) as host:
        host.master._legacy_log_events.uninstall()  # it would outlive the event loop
        client = Client(
            peername=("192.0.2.1", 4711),
            sockname=("192.0.2.2", 80),
            timestamp_start=1.0,
            state=ConnectionState.OPEN,
            proxy_mode=ProxyMode.parse(mode),
            transport_protocol=transport,
        )
        made = Context(client, host.options)
    made.options.connection_strategy = "lazy"
    made.server.address = ("ads.example", 8000)
    made.layers.append(layer.NextLayer(made))  # stands for the mode's own
    return made


@dataclass
class Wire:
    """Answers each request itself, with OK; `asked` are those that became flows, `sent` is what the client gets."""

    alpn: bytes | None = None
    asked: list[http.HTTPFlow] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    sent: bytes = b""
    log: list[str] = field(default_factory=list)
    wakeups: list[commands.RequestWakeup] = field(default_factory=list)
    is_closed: bool = False
    is_half_closed: bool = False
    answers: bool = True
    """Else the ad stack is asked, which is away."""
    holds: bool = False
    """Requests wait until `let_go`."""
    limits: Limits = field(default_factory=Limits)
    upstream: str = "refuses"
    """A connection that the ad stack `refuses`, one that `hangs`, or one on which it says nothing: `silent`."""
    now: float = 1000.0
    """Seconds, of a clock that a test moves."""
    held: list[commands.StartHook] = field(default_factory=list)
    opening: commands.OpenConnection | None = None
    """An upstream's connection that hangs."""
    lost: int = 0
    """Connections to the upstream that were ended."""
    asked_upstream: bytes = b""
    port: Port = ANY
    balancers: Balancers | None = None

    def __post_init__(self):
        self.context = context()
        self.context.client.alpn = self.alpn
        self.link = Link(Terms(self.limits), clock=lambda: self.now)
        # Where nothing has to be known before, there is nothing to wait for.
        self.top = self.layers_for(self.context, b"") if self.port is ANY else layer.NextLayer(self.context)
        self._do(events.Start())

    def layers_for(self, made, received):
        return layers_for(made, received, GATE, self.link, self.port, self.balancers)

    def wait(self, seconds):
        """So much time passes, and somebody looks after the connection as it does once a second."""
        self.now += seconds
        if min(self.link.deadline, self.link.upstream_deadline) <= self.now:
            self._do(Look())

    def end_idle(self):
        """Somebody ends all idle connections."""
        self._do(Look(ends_idle=True))

    def let_go(self):
        """The requests that were held go on."""
        while self.held:
            self._do(events.HookCompleted(self.held.pop(0)))

    def half_close(self):
        """The client has sent all, and reads on."""
        self.context.client.state &= ~ConnectionState.CAN_READ
        self.leave()

    def receive(self, data):
        """What a client sends."""
        if not self.is_closed:
            self._do(events.DataReceived(self.context.client, data))

    def leave(self):
        self._do(events.ConnectionClosed(self.context.client))

    def wake(self):
        self._do(events.Wakeup(self.wakeups.pop()))

    def _do(self, event):
        waiting = deque([event])
        while waiting:
            for command in self.top.handle_event(waiting.popleft()):
                waiting += self._obey(command)

    def _obey(self, command):
        match command:
            case commands.ConnectionCommand() if command.connection is not self.context.client:
                return self._reach(command)
            case commands.SendData():
                self.sent += command.data
            case commands.CloseTcpConnection(half_close=True):
                self.is_half_closed = True
            case commands.CloseConnection():
                self.is_closed = True
            case commands.RequestWakeup():
                self.wakeups.append(command)
            case commands.Log():
                self.log.append(command.message)
            case commands.StartHook():
                self._hook(command)
                is_held = self.holds and command.name == "request"
                if is_held:
                    self.held.append(command)
                return [events.HookCompleted(command)] if command.blocking and not is_held else []
        return []

    def _reach(self, command):
        """What becomes of a command that is about the upstream, as mitmproxy's server does it."""
        match command:
            case commands.OpenConnection() if self.upstream == "refuses":
                return [events.OpenConnectionCompleted(command, "unreachable")]
            case commands.OpenConnection() if self.upstream == "silent":
                command.connection.state = ConnectionState.OPEN
                return [events.OpenConnectionCompleted(command, None)]
            case commands.OpenConnection():
                command.connection.timestamp_start = time.time()
                self.opening = command
            case commands.CloseConnection() if self.opening:
                opening, self.opening = self.opening, None
                return [events.OpenConnectionCompleted(opening, "closed by command")]
            case commands.CloseConnection() if command.connection.state is not ConnectionState.CLOSED:
                command.connection.state = ConnectionState.CLOSED
                self.lost += 1
                return [events.ConnectionClosed(command.connection)]
            case commands.SendData():
                self.asked_upstream += command.data
        return []

    def answer(self, data):
        """What the ad stack says on the only connection to it."""
        server = next(it for it in self.top.connections if it is not self.context.client)
        self._do(events.DataReceived(server, data))

    def _hook(self, hook):
        self.hooks.append(hook.name)
        if hook.name == "next_layer":
            with suppress(AddonHalt):
                hook.data.layer = self.layers_for(hook.data.context, hook.data.data_client())
        if hook.name == "requestheaders":
            self.asked.append(hook.flow)
        if hook.name == "request" and self.answers:
            hook.flow.response = OK.copy()

    @property
    def kept(self):
        """Bytes that wait to be read."""
        return len(self.top.connections[self.context.client].buf)

    @property
    def status(self):
        """Of the last answer; None: there was none."""
        at = self.sent.rfind(b"HTTP/1.1 ")
        return int(self.sent[at + 9 : at + 12]) if at >= 0 else None


class Browser2:
    """The client's side of HTTP/2, as odd as a test needs it."""

    def __init__(self, before=b"", **wire):
        """`before` goes before all else that is sent."""
        is_h2c = wire.get("port", ANY).h2c
        self.wire = Wire(None if is_h2c else b"h2", **wire)
        if before:
            self.wire.receive(before)
        self.http = H2Connection(
            H2Configuration(header_encoding=False, validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.http.initiate_connection()
        self.events = []
        self._read = 0
        self.flush()

    def flush(self):
        if data := self.http.data_to_send():
            self.wire.receive(data)
        while frame := self._next_frame():
            self.events += self.http.receive_data(frame)
            if self.events and isinstance(self.events[-1], ConnectionTerminated):
                # hyper-h2 takes a GOAWAY for the end; as other clients we get the answers that are under way.
                self.http.state_machine.state = H2State.CLIENT_OPEN

    def _next_frame(self):
        """The next that we sent, with its head of nine bytes; empty: none is whole."""
        rest = self.wire.sent[self._read :]
        size = 9 + int.from_bytes(rest[:3])
        frame = rest[:size] if 9 <= size <= len(rest) else b""
        self._read += len(frame)
        return frame

    def ask(self, *fields, end_stream=True):
        """A request; its fields with those that it needs, where they are not given."""
        names = {name for name, _ in fields}
        needed = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
        said = [field for field in needed if field[0] not in names]
        pseudo = [field for field in fields if field[0].startswith(b":")]
        rest = [field for field in fields if not field[0].startswith(b":")]
        stream = self.http.get_next_available_stream_id()
        self.http.send_headers(stream, said + pseudo + rest, end_stream=end_stream)
        self.flush()
        return stream
