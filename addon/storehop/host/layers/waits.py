"""How long a client's requests wait for the upstream: for a connection, and for the head of an answer.

A request that waits too long ends with TOO_LATE, which clients get as 504. Bodies have no limit, in neither direction.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from math import inf
from weakref import WeakKeyDictionary

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RegisterHttpConnection,
)
from mitmproxy.proxy.layers.http._base import StreamId
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseHeaders,
    ResponseProtocolError,
)

from storehop.host.layers.link import Link

TOO_LATE = "the upstream took too long"
"""The error of such a flow."""
MAX_ATTEMPTS = 5
"""Connections to the upstream that mitmproxy makes for a client at a time. A request that is taken back can leave the
others that wait, but no attempt can be taken back that mitmproxy has not begun."""


def status_of(error: ResponseProtocolError) -> HTTPStatus | None:
    """What a client is told of this error; None: its connection or stream just ends."""
    if error.message == TOO_LATE:
        return HTTPStatus.GATEWAY_TIMEOUT
    status = error.code.http_status_code()
    return None if status is None else HTTPStatus(status)


class PatientHttpLayer(HttpLayer):
    """Mitmproxy's HTTP layer, whose patience with the upstream has an end: see `Limits.connect` and `.first_byte`."""

    def __init__(self, context: Context, link: Link) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._link = link
        self._silent: dict[StreamId, float] = {}
        """Requests that were sent to their end, with the time until which the head of an answer must come."""
        self._late: set[Connection] = set()
        """Attempts that were given up and have not ended yet."""
        self._taken_back: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        """Streams whose client wants no answer any more, with the reason."""

    def event_to_child(self, child: Layer, event: events.Event) -> CommandGenerator[None]:
        return self.instead(child, event) or self.to_child(child, event)

    def to_child(self, child: Layer, event: events.Event) -> CommandGenerator[None]:
        """As `event_to_child`, with nothing noted and nothing in its place."""
        handled: CommandGenerator[None] = super().event_to_child(child, event)
        return handled

    def instead(self, child: Layer, event: events.Event) -> CommandGenerator[None] | None:
        """Notes what an event tells about waits. Returns what happens in its place; None: it takes its way."""
        if type(event) not in _NOTED:
            return None
        if isinstance(event, ResponseHeaders):
            self._silent.pop(event.stream_id, None)
        elif isinstance(event, RequestEndOfMessage) and not isinstance(child, HttpStream):
            self._silent[event.stream_id] = self._expect_within(self._link.terms.limits.first_byte)
        elif isinstance(event, RequestProtocolError) and isinstance(child, HttpStream):
            return self._take_back(child, event)
        elif isinstance(event, RequestHeaders) and not isinstance(child, HttpStream):
            _frame(event, self.context.client.alpn, child.context.server.alpn)
        elif isinstance(event, RequestData) and not event.data:
            return _nothing()  # in chunks, it would be the end of the body
        return None

    def _take_back(self, stream: HttpStream, event: RequestProtocolError) -> CommandGenerator[None]:
        """Ends a request whose client wants it no more. A stream that waits hears of nothing else, so its wait ends."""
        self._taken_back[stream] = event.message
        yield from self.to_child(stream, event)
        if self.context.client.alpn != b"h2":
            return  # its connection ends, and with it all that was opened for it
        for waiting in self.waiting_for_establishment.values():
            for command in [command for command in waiting if self.command_sources[command] is stream]:
                waiting.remove(command)
                yield from self._fail(command, event.message)

    def _fail(self, command: GetHttpConnection, why: str) -> CommandGenerator[None]:
        stream = self.command_sources.pop(command)
        yield from self.event_to_child(stream, GetHttpConnectionCompleted(command, (None, why)))

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> CommandGenerator[None]:
        if why := self._taken_back.get(self.command_sources[event]):
            return self._fail(event, why)
        if not reuse and (under_way := self._under_way(event)):
            under_way.append(event)
            return _nothing()
        self._expect_within(self._link.terms.limits.connect)
        got: CommandGenerator[None] = super().get_connection(event, reuse=reuse)
        return got

    def _under_way(self, event: GetHttpConnection) -> list[GetHttpConnection] | None:
        """Where this request may wait, as an attempt of its own would wait, too; None: it gets one."""
        suitable = [
            waiting
            for connection, waiting in self.waiting_for_establishment.items()
            if event.connection_spec_matches(connection)
        ]
        return min(suitable, key=len) if len(suitable) >= MAX_ATTEMPTS else None

    def register_connection(self, command: RegisterHttpConnection) -> CommandGenerator[None]:
        if command.connection in self._late:
            self._late.discard(command.connection)
            command.err = command.err and TOO_LATE
        is_wanted = bool(self.waiting_for_establishment[command.connection])
        yield from super().register_connection(command)
        if not is_wanted and not command.err:
            yield commands.CloseConnection(command.connection)

    def _expect_within(self, seconds: float) -> float:
        """The time in so many seconds, when somebody is to look at the latest."""
        until = self._link.clock() + seconds
        self._link.upstream_deadline = min(self._link.upstream_deadline, until)
        return until

    def end_waits(self) -> CommandGenerator[None]:
        """Ends what has waited too long, and finds out when the next will have."""
        now = self._link.clock()
        self._link.upstream_deadline = inf
        for connection in list(self.waiting_for_establishment):
            if self._seconds_left(connection) <= 0 and connection not in self._late:
                self._late.add(connection)
                yield commands.CloseConnection(connection)
        for stream_id in [stream_id for stream_id, until in self._silent.items() if until <= now]:
            del self._silent[stream_id]
            yield from self._give_up(stream_id)
        if self._silent:
            self._link.upstream_deadline = min(self._link.upstream_deadline, next(iter(self._silent.values())))

    def _seconds_left(self, connection: Connection) -> float:
        """For this connection to be there. Its time begins with its attempt: mitmproxy makes five of a client at once.

        The wall clock may jump: then one attempt ends too early, or a moment later.
        """
        limit = self._link.terms.limits.connect
        begun = connection.timestamp_start
        left = limit - (time.time() - begun if begun else 0.0)
        self._expect_within(min(max(left, 0.0), limit))
        return left

    def _give_up(self, stream_id: StreamId) -> CommandGenerator[None]:
        """Lets the upstream's connection go, or its stream, and tells the client."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.flow.response:
            return  # its client has left, or the answer came before the request's end
        upstream = self.connections.get(stream.context.server)
        if upstream:
            yield from self.event_to_child(upstream, RequestProtocolError(stream_id, TOO_LATE, ErrorCode.CANCEL))
        yield from self.event_to_child(
            stream, ResponseProtocolError(stream_id, TOO_LATE, ErrorCode.GENERIC_SERVER_ERROR)
        )


_NOTED = frozenset({ResponseHeaders, RequestEndOfMessage, RequestProtocolError, RequestHeaders, RequestData})


def _nothing() -> CommandGenerator[None]:
    yield from ()


def _frame(event: RequestHeaders, spoken: bytes | None, asked: bytes | None) -> None:
    """Lets an HTTP/1.1 server find the end of a body that HTTP/2 ends by a flag (RFC 9112 §6.3).

    mitmproxy forwards it without a word about its length: the server would read it as the next request.
    """
    headers = event.request.headers
    if spoken == b"h2" != asked and not event.end_stream and "content-length" not in headers:
        headers["Transfer-Encoding"] = "chunked"
