"""A connection that must begin with a header of the PROXY protocol (design §13): nothing is guessed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer, NextLayer

from storehop.decide.address import for_logs
from storehop.host.layers import proxy_header
from storehop.host.layers.proxy_header import NoHeaderError
from storehop.observe.seldom import Seldom, since_last

logger = logging.getLogger(__name__)


class Balancers:
    """The load balancers that may say by such a header where a connection comes from."""

    def __init__(self, trusts: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """`trusts` tells whether an address is one of theirs, by the rules of now."""
        self._trusts = trusts
        self._refused = Seldom(clock)

    def check(self, peer: str) -> None:
        """Raises NoHeaderError where nothing is believed that comes from there."""
        if not self._trusts(peer):
            raise NoHeaderError("it is not in client_ip.trusted_proxies")

    def refuse(self, peer: str, why: str) -> None:
        """Says that a connection from `peer` is closed, once a minute."""
        if count := self._refused.count():
            logger.warning(
                "--proxy-protocol: a connection from %s is closed: %s%s", for_logs(peer), why, since_last(count)
            )


class ProxyProtocol(Layer):
    """Makes the source that the header names the client's address, then is as if it were not there."""

    def __init__(self, context: Context, balancers: Balancers) -> None:
        super().__init__(context)
        self._balancers = balancers
        self._received = b""
        self._next = NextLayer(context)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            self._received += event.data
            yield from self._read()
        elif not isinstance(event, events.Start):  # the client has left
            yield commands.CloseConnection(self.context.client)

    def _read(self) -> CommandGenerator[None]:
        client = self.context.client
        try:
            self._balancers.check(client.peername[0])
            header = proxy_header.read(self._received)
        except NoHeaderError as error:
            self._balancers.refuse(client.peername[0], str(error))
            yield commands.CloseConnection(client)
            return
        if header is None:
            return
        client.peername = header.source or client.peername
        rest, self._received = self._received[header.size :], b""
        # We need no later event: what comes goes to the next layer, and we cost nothing any more.
        self._handle_event = self._next.handle_event  # type: ignore[method-assign]
        yield from self._next.handle_event(events.Start())
        if rest:
            yield from self._next.handle_event(events.DataReceived(client, rest))
