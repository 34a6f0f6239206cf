"""Chooses the layers of every client of a port, by the rules of now."""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy import ctx
from mitmproxy.proxy.layer import NextLayer

from storehop.decide.address import Proxies
from storehop.host.layers.head import Gate
from storehop.host.layers.link import Link
from storehop.host.layers.misfits import Misfits
from storehop.host.layers.proxy_protocol import Balancers
from storehop.host.layers.stack import Port, layers_for
from storehop.rulefile.live import LiveRules


class Listener:
    """What stands behind the hook `next_layer`."""

    def __init__(self, port: Port, rules: Callable[[], LiveRules | None]) -> None:
        """`rules` returns None before there are any."""

        def proxies() -> Proxies:
            live = rules()
            return live.current.proxies if live else Proxies()

        self._port = port
        self._misfits = Misfits(port)
        self._gate = Gate(lambda: proxies().header)
        self._balancers = Balancers(lambda peer: proxies().trust_peer(peer)) if port.proxy_protocol else None

    def choose(self, nextlayer: NextLayer, link: Link) -> None:
        """Sets the layer, unless somebody has or mitmproxy is to choose. Raises AddonHalt where it needs more bytes."""
        looks_further = ctx.options.ignore_hosts or ctx.options.allow_hosts  # mitmproxy reads the hosts first
        if nextlayer.layer is None and not looks_further:
            received = nextlayer.data_client()
            self._misfits.look(received, nextlayer.context.client.peername[0])
            nextlayer.layer = layers_for(nextlayer.context, received, self._gate, link, self._port, self._balancers)
