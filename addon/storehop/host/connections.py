"""The clients' connections that are open, each with the time that it has; reverse mode only.

Hooks say which there are, the layers in `storehop.host.layers` what each one does (`Link`). One look a second over all
of them finds what is overdue: so a request costs no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf, isfinite
from time import monotonic

from mitmproxy.connection import Client
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.utils import asyncio_utils

from storehop.host.layers.link import Limits, Link, Look, Phase, Terms

LOOK_S = 1.0
"""Between two looks over all connections; a quarter of the shortest limit where that is less."""

type Handlers = Callable[[], Mapping[tuple[str, int] | str, ConnectionHandler]]
"""Returns mitmproxy's handlers of connections by their client's id."""


class Connections:
    """Knows the open connections of clients, and ends those whose time is over."""

    def __init__(self, handlers: Handlers, limits: Limits | None = None) -> None:
        self._handlers = handlers
        self._terms = Terms(limits or Limits())
        self._links: dict[str, Link] = {}
        self._watch: asyncio.Task[None] | None = None
        self._none_left = asyncio.Event()
        self._none_left.set()

    @property
    def count(self) -> int:
        """How many are open now."""
        return len(self._links)

    @property
    def is_retiring(self) -> bool:
        return self._terms.is_retiring

    def opened(self, client: Client) -> None:
        """A client is there: the hook client_connected."""
        if isinstance(client.proxy_mode, mode_specs.ReverseMode) and client.transport_protocol == "tcp":
            self._links[client.id] = Link(self._terms)
            self._none_left.clear()

    def closed(self, client: Client) -> None:
        """It is gone: the hook client_disconnected."""
        self._links.pop(client.id, None)
        if not self._links:
            self._none_left.set()

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
        return not self._links

    def start(self) -> None:
        """Begins to end what is overdue. Needs a running event loop."""
        if self._watch is None and isfinite(self._terms.limits.shortest):
            self._watch = asyncio.get_running_loop().create_task(self._keep_looking(), name="storehop connections")

    def stop(self) -> None:
        if self._watch:
            self._watch.cancel()
            self._watch = None

    async def _keep_looking(self) -> None:
        pause = min(LOOK_S, self._terms.limits.shortest / 4)
        while True:
            await asyncio.sleep(pause)
            self.look()

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

    def _look_at(self, client_id: str, link: Link, look: Look) -> None:
        handler = self._handlers().get(client_id)
        if handler is None:
            return  # it is just ending
        if link.has_layers:
            asyncio_utils.create_task(handler.server_event(look), name="look at a connection", keep_ref=True)
        else:
            link.deadline = inf
            _cut(handler)


def _cut(handler: ConnectionHandler) -> None:
    """Ends a connection that speaks no HTTP yet: nothing came, or TLS is not there."""
    transport = handler.transports.get(handler.client)
    if transport and transport.handler:
        transport.handler.cancel("its time is over")
