"""The admin endpoints, on the event loop of the host (design §5): /healthz, /readyz and /metrics."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from inspect import isawaitable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application, RequestHandler

from storehop.listening.acceptor import Acceptor
from storehop.observe.readiness import GetReadiness

BACKLOG = 128
MAX_CONNECTIONS = 64
"""At a time: more are closed at once. Probes and scrapes take one each, for milliseconds."""
MAX_HEAD_BYTES = 8192
HEAD_S = 10.0
"""A request's head must come in this time."""

type Refresh = Callable[[], Awaitable[None]]
"""Brings the registry's collectors up to date, before a scrape."""


PAGES = """\
/healthz        200 while the process lives
/readyz         200 while clicks and pages are answered, else why not
/readyz?strict  200 while nothing fails at all
/metrics        for Prometheus
"""
"""For people who look what is here."""


class AdminServer:
    """Answers on these sockets from its creation until `close`. Raises OSError where it can't listen on one."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        get_readiness: GetReadiness,
        registry: CollectorRegistry,
        refresh: Refresh | None = None,
    ) -> None:
        for one in sockets:
            one.listen(BACKLOG)
        routes: list[Any] = [
            ("/", _Pages),
            ("/healthz", _Alive),
            ("/readyz", _Ready, {"get_readiness": get_readiness}),
            ("/metrics", _Metrics, {"registry": registry, "refresh": refresh}),
        ]
        pages = Application(routes, log_function=_quiet, default_handler_class=_Nothing)
        self._server = _Server(
            pages,
            no_keep_alive=True,  # a connection that is kept would be kept with a process that another one replaces
            idle_connection_timeout=HEAD_S,
            max_header_size=MAX_HEAD_BYTES,
            max_body_size=0,
        )
        self._acceptor = Acceptor(sockets, self._meet)
        self._acceptor.open()

    def _meet(self, connection: socket.socket) -> None:
        if self._server.is_full:
            connection.close()
        else:
            self._server.handle_stream(IOStream(connection), connection.getsockname())

    def close(self) -> None:
        """Stops listening. Open requests still get their answers."""
        self._acceptor.close()


class _Server(HTTPServer):
    @property
    def is_full(self) -> bool:
        return len(self._connections) >= MAX_CONNECTIONS


def _quiet(_handler: RequestHandler) -> None:
    """Logs nothing: probes come every few seconds."""


class _Plain(RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def head(self) -> Any:
        """For probes that want no body: tornado leaves it out."""
        return self.get()

    def write_error(self, status_code: int, **_: Any) -> None:
        """Says the status in words; tornado would write a page of HTML."""
        self.finish(f"{status_code} {HTTPStatus(status_code).phrase}\n")


class _Nothing(_Plain):
    def prepare(self) -> None:
        """No page has this path, whatever the method."""
        self.send_error(HTTPStatus.NOT_FOUND)


class _Pages(_Plain):
    def get(self) -> None:
        self.write(PAGES)


class _Alive(_Plain):
    def get(self) -> None:
        self.write("ok\n")


class _Ready(_Plain):
    def initialize(self, get_readiness: GetReadiness) -> None:
        self._get_readiness = get_readiness

    async def get(self) -> None:
        """200 while users get answers; with `?strict` only while nothing fails. The body is the same."""
        result = self._get_readiness()
        readiness = await result if isawaitable(result) else result
        is_strict = "strict" in self.request.query_arguments
        if not (readiness.is_well if is_strict else readiness.is_ready):
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
        self.write(f"{readiness}\n")


class _Metrics(_Plain):
    def initialize(self, registry: CollectorRegistry, refresh: Refresh | None) -> None:
        self._registry = registry
        self._refresh = refresh

    async def get(self) -> None:
        """Writes the format that Accept names: Prometheus's text, or OpenMetrics with exemplars."""
        if self._refresh:
            await self._refresh()
        encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.write(encode(self._registry))
