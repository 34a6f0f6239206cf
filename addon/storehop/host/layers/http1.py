"""HTTP/1.1 with a client, within the bounds of `head`: we check each head before mitmproxy's own reader gets it."""

from __future__ import annotations

from http import HTTPStatus
from logging import DEBUG

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders, ResponseHeaders, ResponseProtocolError

from storehop.host.layers import head
from storehop.host.layers.head import Gate, Refused
from storehop.host.layers.link import Link, Look, Phase
from storehop.host.layers.waits import status_of

MAX_AHEAD_BYTES = 1024 * 1024
"""A client may send so much of its next requests before it has its answer."""
LINGER_S = 1.0
"""A refused client may go on sending for so long; we read and drop it, so that the answer arrives (RFC 9112 §9.6)."""
MAX_LINGER_BYTES = 1024 * 1024
"""We read and drop so much of it."""


class Http1Server(_http1.Http1Server):
    """Refuses heads while they arrive: 431 for one that is too large, 400 for one that servers read differently.

    408 where one is too late. A client that has sent its FIN still gets its answers.
    """

    def __init__(self, context: Context, gate: Gate, link: Link) -> None:
        super().__init__(context)
        self._gate = gate
        self._link = link
        self._linger_bytes = 0

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, Look):
            return self._look(event)
        return super()._handle_event(event)

    def _look(self, look: Look) -> CommandGenerator[None]:
        if self._link.phase is Phase.BUSY:
            return
        if not self.buf and (look.ends_idle or self._link.is_overdue):
            self.state = self.done
            yield commands.CloseConnection(self.conn)
        elif self._link.is_overdue:
            yield from self._refuse(HTTPStatus.REQUEST_TIMEOUT, "too late")

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        if not isinstance(event, events.DataReceived):
            yield commands.CloseConnection(self.conn)
            return
        try:
            request = self._next_request(event.data)
            if request is None:
                if self.buf:
                    self._link.begin_head()
                return
            size = http1.expected_http_body_size(request)
        except Refused as refused:
            yield from self._refuse(refused.status, str(refused))
            return
        except ValueError:  # from mitmproxy's readers
            yield from self._refuse(HTTPStatus.BAD_REQUEST, "no HTTP")
            return
        self.request = request
        self._link.begin_request()
        yield from self.begin(request, size, event)

    def begin(self, request: http.Request, size: int | None, event: events.Event) -> CommandGenerator[None]:
        """Announces a request, then reads its body of `size` bytes: None in chunks. `event` brought the head."""
        self.body_reader = _Chunked() if size is None else _http1.make_body_reader(size)
        self.state = self.read_body
        yield ReceiveHttp(RequestHeaders(self.stream_id, request, size == 0))
        yield from self.state(event)

    def _next_request(self, new_bytes: bytes) -> http.Request | None:
        lines = head.extract_lines(self.buf, new_bytes)
        if lines is None:
            return None
        request = self.read_head(lines)
        data = request.data
        head.check_request_line(data.method, data.path)
        needs_host = data.http_version != b"HTTP/1.0"
        fields = self._gate.admit(data.headers.fields, data.authority, needs_host=needs_host)
        if fields is not data.headers.fields:
            data.headers.fields = tuple(fields)
        return request

    def read_head(self, lines: list[bytes]) -> http.Request:
        """Raises ValueError."""
        return http1.read_request_head(lines)

    def wait(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.DataReceived) and len(self.buf) > MAX_AHEAD_BYTES:
            event = events.ConnectionClosed(self.conn)  # we can't serve such a client
        elif self._has_sent_all:
            self._link.has_sent_all = True
            return
        yield from super().wait(event)

    @property
    def _has_sent_all(self) -> bool:
        """Whether the client has sent its FIN, or its end of TLS, and may still read (RFC 9112 §9.6)."""
        return self.conn.state is ConnectionState.CAN_WRITE

    def make_pipe(self) -> CommandGenerator[None]:
        self._link.is_tunnel = True
        yield from super().make_pipe()

    def mark_done(self, *, request: bool = False, response: bool = False) -> CommandGenerator[None]:
        yield from super().mark_done(request=request, response=response)
        if self.state != self.read_headers:
            return
        if self._has_sent_all:
            self.state = self.done
            yield commands.CloseConnection(self.conn)
            return
        self._link.rest()
        if self.buf:
            self._link.begin_head()

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        if isinstance(event, ResponseHeaders):
            if self._link.terms.is_retiring and event.response.status_code >= HTTPStatus.OK:
                event.response.headers["Connection"] = "close"
            return super().send(event)
        if isinstance(event, ResponseProtocolError) and not self.response:
            status = status_of(event)
            if status is not None and self.conn.state & ConnectionState.CAN_WRITE:
                return self._refuse(status, event.code.name)
        return super().send(event)

    def _refuse(self, status: HTTPStatus, why: str) -> CommandGenerator[None]:
        """Sends the refusal and reads on for LINGER_S: after a close at once, a reset could destroy the answer."""
        self._link.begin_request()  # how long it may linger is said here
        yield commands.Log(f"refused with {status}: {why}", DEBUG)
        yield commands.SendData(self.conn, answer(status))
        yield commands.CloseTcpConnection(self.conn, half_close=True)
        yield commands.RequestWakeup(LINGER_S)
        self.state = self.linger

    def linger(self, event: events.Event) -> CommandGenerator[None]:
        self._linger_bytes += len(self.buf)
        self.buf.maybe_extract_at_most(len(self.buf))
        if not isinstance(event, events.DataReceived) or self._linger_bytes > MAX_LINGER_BYTES:
            self.state = self.done
            yield commands.CloseConnection(self.conn)


class _Chunked(ChunkedReader):
    """Drops trailers, which mitmproxy can't forward (RFC 9110 §6.5.1 allows it); bounds trailers and extensions."""

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        if not self._reading_trailer:
            message = super().__call__(buf)
        else:
            message = None if buf.maybe_extract_lines() is None else h11.EndOfMessage()
        if message is None and len(buf) > head.MAX_HEAD_BYTES:
            raise h11.RemoteProtocolError("the trailers or a chunk's extensions are too large")
        return message


def answer(status: HTTPStatus, why: str = "") -> bytes:
    """The bytes of a refusal; `why` is for people. They do not say which software we are."""
    body = (f"{status.value} {status.phrase}" + (f": {why}\n" if why else "\n")).encode()
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    fields = b"Content-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    return line + fields + body
