"""Stand-ins on this machine: an AppsFlyer that tells what came, and an ad stack that redirects to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from storehop.addresses import Address
from storehop.cli.received import ReceivedCall

ANY_PORT = Address("127.0.0.1", 0)
OK, FOUND = 200, 302


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: Address, handler: type[BaseHTTPRequestHandler]) -> None:
        place = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = place[0]
        super().__init__(place[4][:2], handler)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client went away."""


@contextmanager
def ad_stack(links: dict[str, str]) -> Iterator[int]:
    """An ad stack: answers each path of `links` with a redirect to its link, and a cookie. Yields its port."""

    class Handler(_QuietHandler):
        def do_GET(self) -> None:
            self.redirect(links[self.path], ("Set-Cookie", "visitor=7; Path=/; HttpOnly"))

    with _serving(ANY_PORT, Handler) as address:
        yield address.port


@contextmanager
def appsflyer(
    hear: Callable[[ReceivedCall], None], listen: Address = ANY_PORT, *, status: int = OK, delay_s: float = 0.0
) -> Iterator[Address]:
    """AppsFlyer: answers an S2S click with `status`, and redirects any other click to the store, as it does.

    `hear` is told of every request before it is answered, each in a thread of its connection's. Yields where it
    listens. Raises OSError where it can't listen there.
    """

    class Handler(_QuietHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.close_connection = True  # its body is not read
            self._answer()

        def _answer(self) -> None:
            call = ReceivedCall(self.command, self.path, tuple(self.headers.items()), status)
            is_browsers = status == OK and not call.is_s2s
            hear(call.answered(FOUND) if is_browsers else call)
            time.sleep(delay_s)
            if is_browsers:
                self.redirect(_store_url(call.path.strip("/")))
            else:
                self.reply(status)

    with _serving(listen, Handler) as address:
        yield address


def _store_url(app: str) -> str:
    if app.startswith("id"):
        return f"https://apps.apple.com/app/{app}?mt=8"
    return f"https://play.google.com/store/apps/details?id={app}&referrer=af_tranid%3DStandIn"


class _QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def redirect(self, location: str, *headers: tuple[str, str]) -> None:
        self.reply(FOUND, ("Location", location), *headers)

    def reply(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name upstream
        pass


@contextmanager
def _serving(listen: Address, handler: type[BaseHTTPRequestHandler]) -> Iterator[Address]:
    server = _Server(listen, handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Address(*server.socket.getsockname()[:2])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
