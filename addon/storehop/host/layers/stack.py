"""Chooses the layers of a client's connection. Further layers of ours (before TLS, in TLS, around HTTP) go here."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from mitmproxy.exceptions import AddonHalt
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers import ServerTLSLayer
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.tunnel import LayerStack

from storehop.host.layers import http1
from storehop.host.layers.client_tls import BoundedTls, ClientTls
from storehop.host.layers.head import Gate
from storehop.host.layers.http1 import Http1Server
from storehop.host.layers.http2 import Http2Server
from storehop.host.layers.link import Link, Look
from storehop.host.layers.proxy_protocol import Balancers, ProxyProtocol
from storehop.host.layers.refusal import TLS_ALERT, Refusal
from storehop.host.layers.waits import PatientHttpLayer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""A client that speaks HTTP/2 begins so (RFC 9113 §3.4)."""
_HANDSHAKE = b"\x16"
"""First byte of TLS (RFC 8446 §5.1), and of no request."""
_PLAIN_ON_TLS = http1.answer(HTTPStatus.BAD_REQUEST, "The plain HTTP request was sent to an HTTPS port.")


@dataclass(frozen=True, slots=True)
class Port:
    """What clients speak at a port."""

    tls: bool | None = None
    """None: as each client likes, in mitmproxy's own tools."""
    h2c: bool = False
    """HTTP/2 without TLS, with prior knowledge."""
    proxy_protocol: bool = False
    """Each connection begins with a header of it."""
    http: type[Http] | None = None
    """The HTTP layer of its connections, where it is not `Http`."""


ANY = Port()
"""A port of mitmproxy's own tools."""


def layers_for(
    context: Context,
    first_bytes: bytes,
    gate: Gate,
    link: Link | None = None,
    port: Port = ANY,
    balancers: Balancers | None = None,
) -> Layer | None:
    """The layers of a connection that begins with `first_bytes`; None: mitmproxy chooses.

    It chooses outside reverse mode, where it is a debugging proxy, and for all but HTTP over TCP. Raises AddonHalt
    where more bytes are needed to tell. `link` is told what the connection does; `balancers` are there where the port
    speaks the PROXY protocol.
    """
    mode = context.client.proxy_mode
    if not isinstance(mode, ReverseMode) or mode.scheme not in {"http", "https"}:
        return None
    if context.client.transport_protocol != "tcp":
        return None
    depth = len(context.layers)
    if balancers and depth == 1:
        return ProxyProtocol(context, balancers)
    if depth != (2 if balancers else 1):
        return None
    if port.tls is not None and port.tls != first_bytes.startswith(_HANDSHAKE):
        return Refusal(context, _PLAIN_ON_TLS if port.tls else TLS_ALERT)
    is_tls = starts_like_tls_record(first_bytes) if port.tls is None else port.tls
    if port.h2c and not is_tls and _is_http2(first_bytes):
        context.client.alpn = b"h2"  # both know it before: nobody has to agree on it
    stack = LayerStack()
    if mode.scheme == "https":
        stack /= ServerTLSLayer(context)
    if is_tls:
        stack /= ClientTls(context) if port.tls else BoundedTls(context)
    stack /= (port.http or Http)(context, gate, link or Link())
    return stack[0]


def _is_http2(first_bytes: bytes) -> bool:
    """Whether these bytes begin with the preface of HTTP/2. Raises AddonHalt where they are too few to tell."""
    if len(first_bytes) < len(PREFACE) and PREFACE.startswith(first_bytes):
        raise AddonHalt
    return first_bytes.startswith(PREFACE)


class Http(PatientHttpLayer):
    """Mitmproxy's HTTP layer, with our own reader on the client's side, and limits of time."""

    http1_server: type[Http1Server] = Http1Server

    def __init__(self, context: Context, gate: Gate, link: Link) -> None:
        super().__init__(context, link)
        self._gate = gate

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, Look):
            return self._look(event)
        client = self.context.client
        if isinstance(event, events.Start):  # TLS has agreed on a protocol by now
            server = Http2Server if client.alpn == b"h2" else self.http1_server
            self.connections[client] = server(self.context.fork(), self._gate, self._link)
            self._link.has_layers = True
        handled: CommandGenerator[None] = super()._handle_event(event)
        return handled

    def _look(self, look: Look) -> CommandGenerator[None]:
        yield from self.end_waits()
        yield from self.event_to_child(self.connections[self.context.client], look)
