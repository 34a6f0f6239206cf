"""The admin endpoints, on the event loop of the host (design §5): /healthz and /readyz."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

type Unready = Callable[[], list[str]]
"""Why traffic should not be sent here now; empty when all is well."""


class AdminServer:
    """Listens from the start; `close` ends it. Raises OSError where the address can't be had."""

    def __init__(self, address: str, unready: Unready) -> None:
        host, _, port = address.rpartition(":")
        sockets = bind_sockets(int(port), host.strip("[]"), family=socket.AF_UNSPEC)
        routes: list[Any] = [("/healthz", _Alive), ("/readyz", _Ready, {"unready": unready})]
        self._server = HTTPServer(Application(routes, log_function=_quiet))
        self._server.add_sockets(sockets)

    def close(self) -> None:
        self._server.stop()


def _quiet(_handler: RequestHandler) -> None:
    """Probes come every few seconds: no log line each."""


class _Plain(RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")


class _Alive(_Plain):
    def get(self) -> None:
        self.write("ok\n")


class _Ready(_Plain):
    def initialize(self, unready: Unready) -> None:
        self._unready = unready

    def get(self) -> None:
        reasons = self._unready()
        if reasons:
            self.set_status(503)
        self.write("".join(f"{reason}\n" for reason in reasons) or "ok\n")
