"""Stand-ins for the demo: an ad stack that redirects to AppsFlyer, and an AppsFlyer that redirects to the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class ReceivedClick:
    """An S2S click as the stand-in AppsFlyer received it."""

    path: str
    """Path and query, as on the wire."""
    headers: tuple[tuple[str, str], ...]


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def ad_stack(links: dict[str, str]) -> Iterator[int]:
    """An ad stack: answers each path of `links` with a redirect to its link, and a cookie. Yields its port."""

    class Handler(_QuietHandler):
        def do_GET(self) -> None:
            self.redirect(links[self.path], ("Set-Cookie", "visitor=7; Path=/; HttpOnly"))

    with _serving(Handler) as port:
        yield port


@contextmanager
def appsflyer(received_clicks: SimpleQueue[ReceivedClick]) -> Iterator[int]:
    """AppsFlyer: redirects a click to the store; puts a click with redirect=false into the queue. Yields its port."""

    class Handler(_QuietHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if parse_qs(url.query).get("redirect") == ["false"]:
                received_clicks.put(ReceivedClick(self.path, tuple(self.headers.items())))
                self.reply(200)
            else:
                self.redirect(_store_url(url.path.strip("/")))

    with _serving(Handler) as port:
        yield port


def _store_url(app: str) -> str:
    if app.startswith("id"):
        return f"https://apps.apple.com/app/{app}?mt=8"
    return f"https://play.google.com/store/apps/details?id={app}&referrer=af_tranid%3DStandIn"


class _QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def redirect(self, location: str, *headers: tuple[str, str]) -> None:
        self.reply(302, ("Location", location), *headers)

    def reply(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name upstream
        pass


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
