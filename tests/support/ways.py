"""One client's connection through mitmproxy's own way and through the lean one: the same bytes on both, and what came.

Sockets, streams and hooks are real. The upstream is a script. An `Outcome` holds all that anybody may see of a way.
"""

from __future__ import annotations

import asyncio
import logging
import re
import types
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mitmproxy import flow, http, tcp
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons import core, proxyserver
from mitmproxy.hooks import all_hooks
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.layers.modes import ReverseProxy
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.utils import asyncio_utils

from storehop.host.layers.head import Gate
from storehop.host.layers.lean import LeanHttp
from storehop.host.layers.link import Link
from storehop.host.layers.stack import Port, layers_for
from storehop.host.lean.handler import LeanHandler
from storehop.host.lean.hooks import HookTable

PATIENCE_S = 20.0
LIFECYCLE = frozenset({"load", "configure", "done", "running", "update", "add_log", "next_layer"})
"""Hooks that tell of no flow and no connection."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a connection's events get to its layers and hooks."""

    handler: type[ProxyConnectionHandler]
    manager: type[AddonManager]
    http: type[LeanHttp] | None


STOCK = Way(ProxyConnectionHandler, AddonManager, None)
LEAN = Way(LeanHandler, HookTable, LeanHttp)


class Peer:
    """An end of a connection, the client's or the upstream's: all that it has received, and what it does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.got = bytearray()
        self.is_at_end = False
        self.is_reset = False
        self._reader = reader

    async def until(self, marker: bytes, times: int = 1) -> None:
        """Until it has received the marker so often, or all."""
        while self.got.count(marker) < times and not self.is_at_end:
            await self._read()

    async def until_size(self, size: int) -> None:
        """Until it has received so many bytes."""
        while len(self.got) < size and not self.is_at_end:
            await self._read()

    async def to_end(self) -> None:
        while not self.is_at_end:
            await self._read()

    async def _read(self) -> None:
        try:
            data = await self._reader.read(65_536)
        except ConnectionError:
            self.is_reset = True
            data = b""
        self.got += data
        self.is_at_end = not data

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_pieces(self, *pieces: bytes) -> None:
        """Each by itself, as far as a network lets one choose."""
        for piece in pieces:
            self.writer.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Sends FIN and reads on."""
        with suppress(OSError):
            self.writer.write_eof()

    def leave(self) -> None:
        """Resets."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


type Script = Callable[[Peer, "Scene"], Awaitable[None]]


def answers(*replies: bytes, end: bool = False, marker: bytes = b"\r\n\r\n") -> Script:
    """An upstream that sends one of these replies for each marker that comes, on every connection; then it may end."""

    async def play(peer: Peer, _scene: Scene) -> None:
        for number, reply in enumerate(replies, start=1):
            await peer.until(marker, number)
            if peer.is_at_end:
                return
            peer.send(reply)
        if end:
            peer.finish()
        await peer.to_end()

    return play


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
"""The last request of a client whose connection should still be there: `Journal` answers it."""


def says(*requests: bytes, wait_for: bytes = b"HTTP/1.1 ", each: int = 1) -> Script:
    """A client that waits for `each` more markers after a request, then sends the probe and reads to the end."""

    async def play(peer: Peer, _scene: Scene) -> None:
        for number, request in enumerate(requests, start=1):
            peer.send(request)
            await peer.until(wait_for, number * each)
        peer.send(PROBE)
        await peer.to_end()

    return play


def says_all(*pieces: bytes) -> Script:
    """A client that sends all, then only reads."""

    async def play(peer: Peer, _scene: Scene) -> None:
        await peer.send_pieces(*pieces)
        await peer.to_end()

    return play


@dataclass(frozen=True, slots=True)
class Story:
    """What a client, an upstream and an addon do."""

    client: Script
    upstream: Script | None = answers(OK, OK, OK)
    """None: nobody listens there."""
    hooks: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """By a hook's name, what a first addon does, with the hook's argument; a coroutine function is awaited."""
    options: Mapping[str, Any] = field(default_factory=dict)
    ssl: Any = None
    """The client's context for TLS."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that came of a story."""

    client: bytes
    upstreams: tuple[bytes, ...]
    """By connection, in their order."""
    flows: tuple[tuple[Any, ...], ...]
    """What hooks saw, for each flow in its order."""
    connections: tuple[tuple[Any, ...], ...]
    """The same for connections, the client's first."""
    log: tuple[tuple[str, str, str], ...]
    """Warnings and errors."""
    is_reset: bool = field(compare=False)
    """The client sent on when it should not: the kernel may have dropped what it had not read."""

    def is_as(self, other: Outcome) -> bool:
        """Whether all is the same that the kernel has not dropped."""
        if self.is_reset or other.is_reset:
            return replace(self, client=b"") == replace(other, client=b"")
        return self == other


class Scene:
    """A story under way."""

    def __init__(self, way: Way, story: Story) -> None:
        self.way = way
        self.story = story
        self.upstream_port = 0
        self.upstreams: list[Peer] = []
        self.handlers: list[ProxyConnectionHandler] = []
        self.seen: dict[str, asyncio.Event] = {}
        self.journal = Journal(self)
        self._tasks: set[asyncio.Task[None]] = set()

    def hooked(self, name: str) -> asyncio.Event:
        """Set by the first such hook."""
        return self.seen.setdefault(name, asyncio.Event())

    async def play(self) -> Outcome:
        with asyncio_utils.set_eager_task_factory(), _logged() as log:  # as Master.run
            upstream = await asyncio.start_server(self._meet_upstream, "127.0.0.1", 0)
            self.upstream_port = upstream.sockets[0].getsockname()[1]
            if self.story.upstream is None:
                await _close(upstream)
            master = self._master()
            proxy = await asyncio.start_server(lambda *streams: self._meet_client(master, *streams), "127.0.0.1", 0)
            client = await self._client(proxy.sockets[0].getsockname()[1])
            async with asyncio.timeout(PATIENCE_S):
                await self.story.client(client, self)
                await client.close()
                await asyncio.gather(*self._tasks)
                await _close(proxy)
                if self.story.upstream is not None:
                    await _close(upstream)
        return Outcome(
            bytes(client.got),
            tuple(self.scrubbed(bytes(peer.got)) for peer in self.upstreams),
            tuple(tuple(lines) for lines in self.journal.flows.values()),
            tuple(tuple(lines) for lines in self.journal.connections.values()),
            log=tuple((level, re.sub(r"\d{5}|0x\w+", "#", text), why) for level, text, why in log),
            is_reset=client.is_reset,
        )

    def scrubbed(self, data: bytes) -> bytes:
        return data.replace(b":%d" % self.upstream_port, b":PORT")

    def _master(self) -> Master:
        master = Master(Options())
        master._legacy_log_events.uninstall()
        master.addons = self.way.manager(master)
        master.addons.add(core.Core(), proxyserver.Proxyserver())
        master.options.update(**{"connection_strategy": "lazy", "keep_host_header": True, **self.story.options})
        first = types.SimpleNamespace(name="first", **self.story.hooks)
        master.addons.add(Journal.front(self.journal), first, self.journal)
        return master

    async def _client(self, port: int) -> Peer:
        name = "a" if self.story.ssl else None
        streams = await asyncio.open_connection("127.0.0.1", port, ssl=self.story.ssl, server_hostname=name)
        return Peer(*streams)

    async def _meet_client(self, master: Master, *streams: Any) -> None:
        self._tasks.add(asyncio.current_task())
        mode = ProxyMode.parse(f"reverse:http://127.0.0.1:{self.upstream_port}")
        handler = self.way.handler(master, *streams, master.options, mode)
        handler.layer = ReverseProxy(handler.layer.context)
        self.handlers.append(handler)
        await handler.handle_client()
        streams[
            1
        ].close()  # as host/connections.py: mitmproxy may leave it open where it is cancelled between two events

    async def _meet_upstream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        peer = Peer(reader, writer)
        self.upstreams.append(peer)
        await self.story.upstream(peer, self)
        await peer.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


class Journal:
    """The last addon: writes down what each hook shows, answers the probe, and chooses the layers."""

    def __init__(self, scene: Scene) -> None:
        self.name = "journal"
        self.flows: dict[int, list[Any]] = {}
        self.connections: dict[int, list[Any]] = {}
        self._scene = scene
        self._kept: list[Any] = []
        for hook in all_hooks.values():
            if hook.name not in LIFECYCLE:
                setattr(self, hook.name, self._writer_of(hook.name))

    @staticmethod
    def front(journal: Journal) -> Any:
        """An addon in front of all others, which sees what a hook that fails or halts keeps from this one."""
        names = [hook.name for hook in all_hooks.values() if hook.name not in LIFECYCLE]
        writers = {name: journal._writer_of(name, f"{name} begins") for name in names}
        return types.SimpleNamespace(name="front", next_layer=journal.next_layer, **writers)

    def next_layer(self, layer: Any) -> None:
        if layer.layer is None:
            port = Port(http=self._scene.way.http)
            gate = Gate(lambda: "x-client")
            layer.layer = layers_for(layer.context, layer.data_client(), gate, Link(), port)

    def _writer_of(self, name: str, line: str | None = None) -> Callable[[Any], None]:
        def write(data: Any) -> None:
            self._kept.append(data)  # ids must not be used again
            if isinstance(data, flow.Flow):
                self.flows.setdefault(id(data), []).append((line or name, *self._state(data)))
                if line is None and name == "request" and data.request.path == "/probe":
                    data.response = http.Response.make(200, b"probed")
            elif not name.startswith("tls_"):
                connection = getattr(data, "server", data)
                self.connections.setdefault(id(connection), []).append((line or name, *_state_of_link(connection)))
            if line is None:
                self._scene.hooked(name).set()

        return write

    def _state(self, data: flow.Flow) -> tuple[Any, ...]:
        handler = self._scene.handlers[-1]
        common = (
            data.error and re.sub(r"\d{5}", "#", data.error.msg),
            data.live,
            data.intercepted,
            data.client_conn is handler.client,
            data.server_conn.timestamp_tcp_setup is not None,
            data.server_conn.address == ("127.0.0.1", self._scene.upstream_port),
            list(self.connections).index(id(data.server_conn)) if id(data.server_conn) in self.connections else None,
        )
        if isinstance(data, tcp.TCPFlow):
            return (*common, [(message.from_client, message.content) for message in data.messages])
        messages = data.websocket and [(message.from_client, message.content) for message in data.websocket.messages]
        return (*common, self._request(data.request), data.response and self._response(data.response), messages)

    def _request(self, request: http.Request) -> tuple[Any, ...]:
        data = request.data
        line = (data.method, data.scheme, data.authority, data.path, data.host)
        return (*line, data.port == self._scene.upstream_port, request.pretty_host, *self._message(request))

    def _message(self, message: http.Message) -> tuple[Any, ...]:
        data = message.data
        fields = [(name, self._scene.scrubbed(value)) for name, value in data.headers.fields]
        times = (data.timestamp_start is not None, data.timestamp_end is not None)
        return data.http_version, fields, data.content, data.trailers, message.stream, *times

    def _response(self, response: http.Response) -> tuple[Any, ...]:
        return response.status_code, response.reason, *self._message(response)


def _state_of_link(connection: Any) -> tuple[Any, ...]:
    times = (connection.timestamp_start, connection.timestamp_end, getattr(connection, "timestamp_tcp_setup", None))
    ends = (connection.peername, connection.sockname)
    said = connection.error and re.sub(r"\d{5}", "#", connection.error)
    return said, connection.tls, connection.alpn, *(value is not None for value in (*times, *ends))


class _logged(logging.Handler):  # noqa: N801  a context manager
    """Warnings and errors while it lasts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.lines.append((record.levelname, record.getMessage(), type(error).__name__))

    def __enter__(self) -> list[tuple[str, str, str]]:
        logging.getLogger("mitmproxy").addHandler(self)
        logging.getLogger("storehop").addHandler(self)
        return self.lines

    def __exit__(self, *_error: object) -> None:
        logging.getLogger("mitmproxy").removeHandler(self)
        logging.getLogger("storehop").removeHandler(self)


def come_of(way: Way, story: Story) -> Outcome:
    """Plays it to its end."""
    return asyncio.run(_play(way, story))


async def _play(way: Way, story: Story) -> Outcome:
    return await Scene(way, story).play()
