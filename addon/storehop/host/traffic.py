"""Counts all traffic for the metrics: an addon of its own, since it neither stores nor answers anything.

Requests are counted once each, by `response` or by `error`. Connections that fail are counted where they fail, and so
not again by the requests that waited for them.
"""

from __future__ import annotations

import errno
import time

from mitmproxy import http
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData

from storehop.observe.traffic import Traffic, UpstreamError

_CONTENT_TYPE = b"content-type"
_ITS_LENGTH = len(_CONTENT_TYPE)
"""Most other names have another one."""
SWITCHING_PROTOCOLS, BAD_REQUEST, BAD_GATEWAY = 101, 400, 502
_CLIENT_LEFT = ("Client disconnected", "stream reset by client")
"""How mitmproxy's words begin where a client went away."""
_GIVEN_UP = ("client disconnected", "connection cancelled")
"""The words for a connection to the upstream that its client did not wait for."""
_NO_HTTP = ("Cannot parse", "unexpected server response", "HTTP/2 protocol error", "HTTP/1 protocol error")
"""How they begin where the upstream's answer can't be understood."""
_CUT_OFF = ("peer closed", "server closed")
"""A part of them where the upstream closed a connection too early."""
_TIMED_OUT = ("timed out", "timeout", "took too long", "closed by command", f"[errno {errno.ETIMEDOUT}]")
"""In lower case; what an OSError, TLS and our own limits say."""


class TrafficCounter:
    """Hooks only. What is replayed or only shown is no traffic."""

    name = "storehop_traffic"

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._clients: set[str] = set()
        """Ids of those that came in: where a script is loaded anew, some that leave came before us."""

    def client_connected(self, client: Client) -> None:
        self._clients.add(client.id)
        self._traffic.connections = len(self._clients)

    def client_disconnected(self, client: Client) -> None:
        self._clients.discard(client.id)
        self._traffic.connections = len(self._clients)

    def response(self, flow: http.HTTPFlow) -> None:
        response = flow.response
        if response and _is_traffic(flow):
            self._traffic.answered(response.status_code, None if _is_endless(response) else _seconds(flow))

    def error(self, flow: http.HTTPFlow) -> None:
        if not flow.error or not _is_traffic(flow):
            return
        words = flow.error.msg
        is_abandoned = words.startswith(_CLIENT_LEFT) or not _can_be_answered(flow.client_conn)
        if flow.response:
            self._traffic.answered(flow.response.status_code, None)  # cut short: its time says nothing
        elif is_abandoned:
            self._traffic.abandoned()
        elif not flow.request.stream:
            self._traffic.answered(BAD_REQUEST, None)  # refused before our own hook saw it
        else:
            self._traffic.answered(BAD_GATEWAY, _seconds(flow))
        if not is_abandoned and flow.server_conn.timestamp_tcp_setup:
            self._traffic.upstream_failed(_kind(words))

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        words = data.server.error or ""
        if words not in _GIVEN_UP:
            self._traffic.upstream_failed(UpstreamError.TIMEOUT if _is_timeout(words) else UpstreamError.CONNECT)

    def tls_failed_server(self, data: TlsData) -> None:
        if _can_be_answered(data.context.client):  # else it was given up because the client left
            self._traffic.upstream_failed(UpstreamError.TLS)


def _is_traffic(flow: http.HTTPFlow) -> bool:
    return flow.live and not flow.is_replay


def _can_be_answered(client: Client) -> bool:
    return bool(client.state & ConnectionState.CAN_WRITE)


def _is_endless(response: http.Response) -> bool:
    """Whether the answer lasts as long as its reader likes: a WebSocket, or an event stream (HTML Standard §9.2)."""
    if response.status_code == SWITCHING_PROTOCOLS:
        return True
    for name, value in response.headers.fields:
        if len(name) == _ITS_LENGTH and name.lower() == _CONTENT_TYPE:
            return value.startswith(b"text/event-stream")
    return False


def _seconds(flow: http.HTTPFlow) -> float:
    return time.time() - flow.request.timestamp_start


def _kind(words: str) -> UpstreamError:
    """What mitmproxy's words mean."""
    if _is_timeout(words):
        return UpstreamError.TIMEOUT
    if words.startswith(_NO_HTTP) and not any(part in words for part in _CUT_OFF):
        return UpstreamError.PROTOCOL
    return UpstreamError.INCOMPLETE


def _is_timeout(words: str) -> bool:
    return any(part in words.lower() for part in _TIMED_OUT)
