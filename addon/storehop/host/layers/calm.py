"""HTTP/2 within bounds for frames that cost time: one client's flood must not take the others' time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import h2.events
from h2.config import H2Configuration
from h2.exceptions import DenialOfServiceError
from hyperframe.frame import Frame, PingFrame, PriorityFrame, SettingsFrame
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

MAX_QUESTIONS = 100
"""So many PING and SETTINGS frames may come within WINDOW_S (RFC 9113 §10.5). Browsers send one, if any."""
MAX_PRIORITIES = 1000
"""So many PRIORITY frames instead: nobody answers them, but old browsers send one for each picture."""
WINDOW_S = 10.0
_COSTS: dict[type[Frame], float] = {
    PingFrame: 1 / MAX_QUESTIONS,
    SettingsFrame: 1 / MAX_QUESTIONS,
    PriorityFrame: 1 / MAX_PRIORITIES,
}
_ALL = 1 + 1e-9  # sums of such parts


class CalmConnection(BufferedH2Connection):
    """hyper-h2's connection, which a flood ends with ENHANCE_YOUR_CALM in the middle of what was read.

    One read holds 4,000 PINGs, and answering them all takes a third of a second.
    """

    def __init__(self, config: H2Configuration, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(config)
        self._clock = clock
        self._spent = 0.0
        self._window_begin = clock()

    def _receive_frame(self, frame: Frame) -> list[h2.events.Event]:
        cost = _COSTS.get(type(frame))
        if cost and "ACK" not in frame.flags:
            self._spend(cost)
        received: list[h2.events.Event] = super()._receive_frame(frame)
        return received

    def _spend(self, cost: float) -> None:
        self._spent += cost
        if self._spent <= _ALL:
            return
        now = self._clock()
        if now - self._window_begin < WINDOW_S:
            raise DenialOfServiceError("too many PING, SETTINGS or PRIORITY frames")
        self._window_begin, self._spent = now, cost
