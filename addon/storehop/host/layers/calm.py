"""HTTP/2 within bounds for frames that ask for an answer: one client's flood must not take the others' time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import h2.events
from h2.config import H2Configuration
from h2.exceptions import DenialOfServiceError
from hyperframe.frame import Frame, PingFrame, SettingsFrame
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

MAX_QUESTIONS = 100
"""So many PING and SETTINGS frames may come within WINDOW_S (RFC 9113 §10.5). Browsers send one, if any."""
WINDOW_S = 10.0


class CalmConnection(BufferedH2Connection):
    """hyper-h2's connection, which a flood of questions ends with ENHANCE_YOUR_CALM in the middle of what was read.

    One read holds 4,000 PINGs, and answering them all takes a third of a second.
    """

    def __init__(self, config: H2Configuration, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(config)
        self._clock = clock
        self._questions = 0
        self._window_begin = clock()

    def _receive_frame(self, frame: Frame) -> list[h2.events.Event]:
        if isinstance(frame, (PingFrame, SettingsFrame)) and "ACK" not in frame.flags:
            self._count_question()
        received: list[h2.events.Event] = super()._receive_frame(frame)
        return received

    def _count_question(self) -> None:
        self._questions += 1
        if self._questions <= MAX_QUESTIONS:
            return
        now = self._clock()
        if now - self._window_begin < WINDOW_S:
            raise DenialOfServiceError("too many PING and SETTINGS frames")
        self._window_begin, self._questions = now, 1
