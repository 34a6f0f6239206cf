"""The clients' connections that are open, each with the time that it has; reverse mode only.

Hooks say which there are, the layers in `storehop.host.layers` what each one does (`Link`). One look a second over all
of them finds what is overdue: so a request costs no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from time import monotonic
from typing import cast

from mitmproxy import ctx
from mitmproxy.connection import Client, Connection
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.utils import asyncio_utils

from storehop.host.admission import Admission, keep_alive
from storehop.host.layers.link import Limits, Link, Look, Phase, Terms
from storehop.host.places import Share
from storehop.host.transports import closed, cut, is_gone, socket_of, writer_of
from storehop.observe.seldom import Seldom, since_last
from storehop.options import RunOptions

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks over all connections; a quarter of the shortest limit where that is less."""

FLUSH_LOOK_S = 0.02
"""Between two looks for what clients have still to get, at the end of a process."""

type Handlers = Callable[[], Mapping[tuple[str, int] | str, ConnectionHandler]]
"""Returns mitmproxy's handlers of connections by their client's id."""


def _of_mitmproxy() -> Mapping[tuple[str, int] | str, ConnectionHandler]:
    handlers: Mapping[tuple[str, int] | str, ConnectionHandler] = ctx.master.addons.get("proxyserver").connections
    return handlers


class Connections:
    """An addon that knows the open connections of clients, and ends those whose time is over."""

    def __init__(self, limits: Limits | None = None, *, most: int = 0, handlers: Handlers = _of_mitmproxy) -> None:
        """`most` is how many may be open, 0: as many as files allow; for loops that ask `admission`."""
        self.admission = Admission(lambda: self.count, most)
        self._handlers = handlers
        self._terms = Terms(limits or Limits())
        self._links: dict[str, Link] = {}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._ending: set[asyncio.Task[None]] = set()
        """Of connections that mitmproxy has left and that have bytes to send yet: each ends with its socket."""
        self._failures = Seldom(monotonic)
        self._watch: asyncio.Task[None] | None = None
        self._none_left = asyncio.Event()
        self._none_left.set()

    @property
    def count(self) -> int:
        """How many are open now: mitmproxy's, and those that it has left while the end of an answer is on its way."""
        return len(self._links) + len(self._ending)

    @property
    def unready(self) -> list[str]:
        """Why no new one should come."""
        fault = self.admission.fault()
        return [f"connections: {fault}"] if fault else []

    @property
    def is_retiring(self) -> bool:
        return self._terms.is_retiring

    # hooks of mitmproxy

    def running(self) -> None:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._keep_looking(), name="storehop connections")

    def done(self) -> None:
        if self._watch:
            self._watch.cancel()
            self._watch = None

    def client_connected(self, client: Client) -> None:
        if isinstance(client.proxy_mode, mode_specs.ReverseMode) and client.transport_protocol == "tcp":
            self._links[client.id] = Link(self._terms)
            self._none_left.clear()
            handler = self._handlers().get(client.id)
            if handler:
                share = cast("asyncio.Semaphore", Share(self.admission.places))  # mitmproxy only enters it
                handler.max_conns = defaultdict(lambda: share)
                if writer := writer_of(handler, client):
                    self._writers[client.id] = writer

    def client_disconnected(self, client: Client) -> None:
        if self._links.pop(client.id, None):
            handler = self._handlers().get(client.id)
            for connection in list(handler.transports) if handler else []:  # those to the ad stack, too
                self._close(client, connection)
            writer = self._writers.pop(client.id, None)
            if writer and writer.transport.get_write_buffer_size():
                task = asyncio.get_running_loop().create_task(closed(writer), name="storehop end of an answer")
                self._ending.add(task)
                task.add_done_callback(self._ended)
        self._has_left()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        self._has_left()

    def _has_left(self) -> None:
        """Somebody has: there is room for others."""
        self.admission.places.hand_out()
        if not self.count:
            self._none_left.set()

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        if data.client.id in self._links:
            self._close(data.client, data.server)

    def _close(self, client: Client, connection: Connection) -> None:
        """Closes what mitmproxy forgot: an end that meets its handler between two events leaves the socket open."""
        handler = self._handlers().get(client.id)
        transport = handler.transports.get(connection) if handler else None
        if transport and transport.writer:
            transport.writer.close()

    def server_connected(self, data: ServerConnectionHookData) -> None:
        """Lets the kernel find out whether a silent upstream is still there."""
        handler = self._handlers().get(data.client.id) if data.client.id in self._links else None
        if handler and (upstream := socket_of(handler, data.server)):
            keep_alive(upstream)

    # for the layers, and for whoever drains

    def link_of(self, client: Client) -> Link:
        """For the layers of this client's connection."""
        return self._links.get(client.id) or Link()

    def retire(self) -> None:
        """From now on no connection is kept: `Connection: close` or GOAWAY comes with its next answer.

        One that is idle stays until its next request or until its idle time is over, as a request may be on its way.
        """
        self._terms.is_retiring = True

    def close_idle(self) -> None:
        """Ends those without a request at once; a request that is on its way to one of them is lost."""
        for client_id, link in list(self._links.items()):
            if link.phase is not Phase.BUSY:
                self._look_at(client_id, link, Look(ends_idle=True))

    async def gone(self, seconds: float | None = None) -> bool:
        """Returns True as soon as none is open, or False after so many seconds (None: never)."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none_left.wait(), seconds)
        return not self.count

    async def flushed(self) -> None:
        """Returns when no client has to get any more of an answer: not from HTTP/2's window, nor from a buffer here.

        Nobody waits for a WebSocket, which has no end.
        """
        while self._owes_bytes:  # noqa: ASYNC110  no event tells that a transport's buffer is empty
            await asyncio.sleep(FLUSH_LOOK_S)

    @property
    def _owes_bytes(self) -> bool:
        return (
            bool(self._ending)
            or any(link.owes_answer for link in self._links.values())
            or any(writer.transport.get_write_buffer_size() for writer in self._writers.values())
        )

    async def _keep_looking(self) -> None:
        pause = min(LOOK_S, self._terms.limits.shortest / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                self.look()
            except Exception:  # of any kind: without this watch all limits would be off
                if count := self._failures.count():
                    logger.exception("looking at the connections failed in our own code%s", since_last(count))

    def look(self) -> None:
        """Ends what is overdue now."""
        now = monotonic()
        overdue = [
            (client_id, link)
            for client_id, link in self._links.items()
            if link.deadline <= now or link.upstream_deadline <= now
        ]
        for client_id, link in overdue:
            self._look_at(client_id, link, Look())
        for client_id in [client_id for client_id, link in self._links.items() if link.has_sent_all]:
            handler = self._handlers().get(client_id)
            if handler and is_gone(handler):
                cut(handler)

    def _look_at(self, client_id: str, link: Link, look: Look) -> None:
        handler = self._handlers().get(client_id)
        if handler is None:
            return  # it is just ending
        if link.has_layers:
            asyncio_utils.create_task(handler.server_event(look), name="look at a connection", keep_ref=True)
        else:
            link.deadline = inf
            cut(handler)


def connections_of(options: RunOptions) -> Connections:
    """Of a sidecar, or of one of its workers. Make it once the limit of open files is what it will be."""
    limits = Limits.of(
        head=options.head_timeout,
        idle=options.idle_timeout,
        connect=options.connect_timeout,
        first_byte=options.first_byte_timeout,
    )
    return Connections(limits, most=-(-options.max_connections // options.workers))
