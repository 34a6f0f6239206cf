"""The admin endpoints, on the event loop of the host (design §5): /healthz, /readyz and /metrics."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

BACKLOG = 128

type Unready = Callable[[], list[str] | Awaitable[list[str]]]
"""Returns the reasons for which this process should get no traffic now; empty when all is well."""
type Refresh = Callable[[], Awaitable[None]]
"""Brings the registry's collectors up to date, before a scrape."""


class AdminServer:
    """Answers on these sockets from its creation until `close`. Raises OSError where it can't listen on one.

    `remark` is a further line of /readyz, whether this process is ready or not.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        unready: Unready,
        registry: CollectorRegistry,
        refresh: Refresh | None = None,
        remark: str = "",
    ) -> None:
        for one in sockets:
            one.setblocking(False)
            one.listen(BACKLOG)
        routes: list[Any] = [
            ("/healthz", _Alive),
            ("/readyz", _Ready, {"unready": unready, "remark": remark}),
            ("/metrics", _Metrics, {"registry": registry, "refresh": refresh}),
        ]
        self._server = HTTPServer(Application(routes, log_function=_quiet))
        self._server.add_sockets(sockets)

    def close(self) -> None:
        """Stops listening. Open requests still get their answers."""
        self._server.stop()


def _quiet(_handler: RequestHandler) -> None:
    """Logs nothing: probes come every few seconds."""


class _Plain(RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")


class _Alive(_Plain):
    def get(self) -> None:
        self.write("ok\n")


class _Ready(_Plain):
    def initialize(self, unready: Unready, remark: str) -> None:
        self._unready = unready
        self._remark = remark

    async def get(self) -> None:
        result = self._unready()
        reasons = await result if isawaitable(result) else result
        if reasons:
            self.set_status(503)
        lines = [*(reasons or ["ok"]), *filter(None, [self._remark])]
        self.write("".join(f"{line}\n" for line in lines))


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
