"""HTTP/2 with a client, within the bounds of `head`. hyper-h2 has most bounds itself, and ends the connection."""

from __future__ import annotations

from http import HTTPStatus
from logging import DEBUG

import h2.events
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._events import ResponseProtocolError

from storehop.host.layers import head
from storehop.host.layers.head import Fields, Gate, Refused


class Http2Server(_http2.Http2Server):
    """Ends a connection whose heads are too large, and answers 400 to a request that HTTP/1.1 can't express."""

    def __init__(self, context: Context, gate: Gate) -> None:
        super().__init__(context)
        self._gate = gate
        # hyper-h2 buffers whole frames; mitmproxy would allow 128 KB each.
        self.h2_conn.local_settings.max_frame_size = head.MAX_HEAD_BYTES
        self.h2_conn.max_inbound_frame_size = head.MAX_HEAD_BYTES
        self.h2_conn.local_settings.acknowledge()

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, ResponseProtocolError) and self._refuse(event.stream_id, event.code.http_status_code()):
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
            return
        yield from super()._handle_event(event)
        if isinstance(event, events.DataReceived) and self._open_head() > head.MAX_HEAD_BYTES:
            yield from self._end("a head is too large")

    def _open_head(self) -> int:
        """Bytes of a head that still lacks CONTINUATION frames; hyper-h2 would buffer 64 frames of it."""
        if self.h2_conn.state_machine.state is ConnectionState.CLOSED:
            return 0
        return sum(len(frame.data) for frame in self.h2_conn.incoming_buffer._headers_buffer)  # noqa: SLF001

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
