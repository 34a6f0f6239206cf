"""HTTP/2 within bounds for frames that cost time: one client's flood must not take the others' time.

A megabyte holds 100,000 small frames, which take more than a second. Each kind has a bound, and each frame takes that
part of one budget, so the bounds hold for any mix. What an honest client sends in answer to us, or together with much
that is useful, is earned before and takes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.exceptions import DenialOfServiceError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

WINDOW_S = 10.0
"""All bounds are for so long (RFC 9113 §10.5)."""
MAX_QUESTIONS = 100
"""PING and SETTINGS, with their ACKs. Browsers and gRPC send one in some seconds; we ask once, for one ACK."""
MAX_OTHERS = 1000
"""Frames that say nothing to us: PRIORITY (old browsers: one for each picture), PRIORITY_UPDATE and reserved types
(browsers: one for each request), and DATA that is empty, or padding alone, and no end (some libraries flush so)."""
MAX_SMALL_DATA = 5000
"""DATA of less than SMALL_BYTES that is no end: 500 messages a second of an upload that streams. Each large one (from
LARGE_BYTES) earns a small one: some libraries send a message's length in a frame of its own."""
MAX_UPDATES = 2000
"""WINDOW_UPDATE beyond what our answers earn: for each piece of a body four, the most that libraries send for a frame
that the window cuts in two, and one for each UPDATE_BYTES: Go's sends two for each 4 KB."""
MAX_RESETS = 200
"""RST_STREAM beyond one for each answer: a browser leaves a page with 100 open streams, twice."""
SMALL_BYTES = 256
LARGE_BYTES = 1024
UPDATE_BYTES = 2048
_UPDATES_FOR_A_PIECE = 4
_BOUNDS: dict[type[Frame], int] = {
    PingFrame: MAX_QUESTIONS,
    SettingsFrame: MAX_QUESTIONS,
    WindowUpdateFrame: MAX_UPDATES,
    RstStreamFrame: MAX_RESETS,
}
_FREE = frozenset({HeadersFrame, ContinuationFrame})
"""Requests; hyper-h2 bounds how many are open, and how many pieces a head has."""
_ALL = 1 + 1e-9  # sums of such parts


class CalmConnection(BufferedH2Connection):
    """hyper-h2's connection, which a flood ends with ENHANCE_YOUR_CALM in the middle of what was read."""

    def __init__(self, config: H2Configuration, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(config)
        self._clock = clock
        self._spent = 0.0
        self._window_begin = clock()
        self._earned: Counter[type[Frame]] = Counter()

    def send_headers(self, stream_id: int, headers: Iterable[Any], *args: Any, **options: Any) -> None:
        self._earned[RstStreamFrame] += 1
        super().send_headers(stream_id, headers, *args, **options)

    def send_data(self, stream_id: int, data: Any, end_stream: bool = False, pad_length: None = None) -> None:
        if len(data) <= self.max_outbound_frame_size:  # else it comes again in pieces
            self._earned[WindowUpdateFrame] += _UPDATES_FOR_A_PIECE + len(data) // UPDATE_BYTES
        super().send_data(stream_id, data, end_stream, pad_length)

    def _receive_frame(self, frame: Frame) -> list[h2.events.Event]:
        self._charge(frame)
        if isinstance(frame, ExtensionFrame):
            return []  # of an unknown type (RFC 9113 §5.5); mitmproxy would log each
        received: list[h2.events.Event] = super()._receive_frame(frame)
        for event in received:
            if isinstance(event, h2.events.StreamReset) and not event.remote_reset:
                self._spend(RstStreamFrame, MAX_RESETS)  # by us, as this frame was wrong: it costs as much
        return received

    def _charge(self, frame: Frame) -> None:
        kind = type(frame)
        if isinstance(frame, DataFrame):
            self._charge_data(frame)
        elif kind not in _FREE:
            self._spend(kind, _BOUNDS.get(kind, MAX_OTHERS))

    def _charge_data(self, frame: DataFrame) -> None:
        size = len(frame.data)
        if size >= LARGE_BYTES:
            self._earned[DataFrame] += 1
        elif size < SMALL_BYTES and "END_STREAM" not in frame.flags:
            self._spend(DataFrame, MAX_SMALL_DATA if size else MAX_OTHERS)

    def _spend(self, kind: type[Frame], bound: int) -> None:
        if self._earned[kind]:
            self._earned[kind] -= 1
            return
        cost = 1 / bound
        self._spent += cost
        if self._spent <= _ALL:
            return
        now = self._clock()
        if now - self._window_begin < WINDOW_S:
            raise DenialOfServiceError("too many frames that do nothing")
        self._window_begin, self._spent = now, cost
