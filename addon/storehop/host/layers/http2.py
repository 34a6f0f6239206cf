"""HTTP/2 with a client, within the bounds of `head`. hyper-h2 has most bounds itself, and ends the connection."""

from __future__ import annotations

from http import HTTPStatus
from logging import DEBUG
from math import inf

import h2.events
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._events import (
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from storehop.host.layers import head
from storehop.host.layers.calm import CalmConnection
from storehop.host.layers.head import Fields, Gate, Refused
from storehop.host.layers.link import Link, Look, Phase
from storehop.host.layers.waits import status_of

LEAVING_S = 1.0
"""From the GOAWAY that announces an end to the end, without a stream: requests may be on their way (RFC 9113 §6.8)."""
_ENDS = (ResponseEndOfMessage, ResponseProtocolError)
"""Of an answer. A GOAWAY comes behind it: for clients by hyper-h2 that is the end even of what is under way."""
NO_LAST_STREAM = 2**31 - 1
"""In a GOAWAY: all streams that are under way will be answered."""


class Http2Server(_http2.Http2Server):
    """Ends a connection whose heads are too large, and answers 400 to a request that HTTP/1.1 can't express."""

    def __init__(self, context: Context, gate: Gate, link: Link) -> None:
        super().__init__(context)
        self._gate = gate
        self._link = link
        self._is_leaving = False
        self._ending: set[int] = set()
        """Streams whose answers have come to their end, of which a part may wait for the client's window."""
        self.h2_conn = CalmConnection(self.h2_conf)
        # hyper-h2 buffers whole frames; mitmproxy would allow 128 KB each.
        self.h2_conn.local_settings.max_frame_size = head.MAX_HEAD_BYTES
        self.h2_conn.max_inbound_frame_size = head.MAX_HEAD_BYTES
        self.h2_conn.local_settings.acknowledge()

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, Look):
            yield from self._look(event)
            return
        if isinstance(event, ResponseProtocolError) and self._refuse(event.stream_id, status_of(event)):
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        else:
            yield from super()._handle_event(event)
        if isinstance(event, (ResponseHeaders, ResponseData)):
            return
        if isinstance(event, _ENDS):
            self._ending.add(event.stream_id)
        if self._has_sent_an_end() and self._link.terms.is_retiring and not self._is_leaving:
            yield from self._leave()
        open_head = self._open_head()
        if open_head > head.MAX_HEAD_BYTES:
            yield from self._end("a head is too large")
        self._tell_phase(open_head)

    def _has_sent_an_end(self) -> bool:
        """Whether the last byte of an answer has gone since somebody asked."""
        sent = self._ending - self.h2_conn.stream_buffers.keys()
        self._ending -= sent
        return bool(sent)

    def _tell_phase(self, open_head: int) -> None:
        if open_head:
            self._link.begin_head()
        elif self.h2_conn.open_inbound_streams:
            self._link.begin_request()
        elif self._link.phase is Phase.BUSY:
            self._link.rest(LEAVING_S if self._is_leaving else inf)

    def _look(self, look: Look) -> CommandGenerator[None]:
        if self._link.phase is Phase.BUSY or not (look.ends_idle or self._link.is_overdue):
            return
        if self._link.phase is Phase.IDLE and not (look.ends_idle or self._is_leaving):
            yield from self._leave()
            self._link.rest(LEAVING_S)
        elif not self._open_head() or self._link.is_overdue:
            self.h2_conn.close_connection()
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
            yield from self.close_connection("its time is over")

    def done(self, event: events.Event) -> CommandGenerator[None]:
        if not isinstance(event, Look):
            yield from super().done(event)

    def _leave(self) -> CommandGenerator[None]:
        """Announces the end. hyper-h2 would end the connection with its own GOAWAY, so we write this one ourselves."""
        self._is_leaving = True
        frame = GoAwayFrame(0, last_stream_id=NO_LAST_STREAM, error_code=ErrorCodes.NO_ERROR)
        yield commands.SendData(self.conn, frame.serialize())

    def _open_head(self) -> int:
        """Bytes of a head that still lacks CONTINUATION frames; hyper-h2 would buffer 64 frames of it."""
        if self.h2_conn.state_machine.state is ConnectionState.CLOSED:
            return 0
        return sum(len(frame.data) for frame in self.h2_conn.incoming_buffer._headers_buffer)  # noqa: SLF001

    def protocol_error(self, message: str, error_code: int = ErrorCodes.PROTOCOL_ERROR) -> CommandGenerator[None]:
        """Ends the connection with one GOAWAY, hyper-h2's where it has made one, and without a word of the inside."""
        yield commands.Log(message, DEBUG)
        if self.h2_conn.state_machine.state is not ConnectionState.CLOSED:
            self.h2_conn.close_connection(error_code)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        yield from self.close_connection(message)

    def _end(self, why: str) -> CommandGenerator[None]:
        yield from self.protocol_error(why, ErrorCodes.ENHANCE_YOUR_CALM)

    def handle_h2_event(self, event: h2.events.Event) -> CommandGenerator[bool]:
        if isinstance(event, h2.events.RequestReceived):
            if head.lines_of(event.headers) > head.MAX_HEAD_LINES:
                yield from self._end("a head has too many lines")
                return True
            try:
                event.headers = list(self._admit(event.headers))
            except Refused as refused:
                yield commands.Log(f"refused with {refused.status}: {refused}", DEBUG)
                self._refuse(event.stream_id, refused.status)
                return False
        if isinstance(event, h2.events.StreamReset):
            # Read together with its request's end, mitmproxy takes the stream for ended, and lets the request go on.
            self.streams.setdefault(event.stream_id, _http2.StreamState.HEADERS_RECEIVED)
        return (yield from super().handle_h2_event(event))

    def _admit(self, fields: Fields) -> Fields:
        pseudo_headers = dict(fields[:5])
        head.check_request_line(pseudo_headers.get(b":method", b""), pseudo_headers.get(b":path", b"/"))
        return self._gate.admit(fields, pseudo_headers.get(b":authority", b""), needs_host=False)

    def _refuse(self, stream_id: int, status: int | None) -> bool:
        """Answers with `status`, without a word about our software. False where the stream takes no answer any more."""
        if status is None or not self.is_open_for_us(stream_id):
            return False
        if self.h2_conn.streams[stream_id].state_machine.headers_sent:
            return False
        body = f"{status} {HTTPStatus(status).phrase}\n".encode()
        self.h2_conn.send_headers(stream_id, [(b":status", b"%d" % status), (b"content-type", b"text/plain")])
        self.h2_conn.send_data(stream_id, body, end_stream=True)
        return True
