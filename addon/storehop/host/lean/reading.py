"""Brings a connection's bytes to who handles them as soon as they are there.

asyncio's streams keep them until a task reads: a future, a task's step and a turn of the loop for each piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

MOST_UNSENT_BYTES = 65536
"""Of what a peer has not taken yet; from a quarter of it on it is not slow any more. As asyncio's own."""
MOST_A_TURN_BYTES = 131_072
"""Of one connection, before others have their turn; uvloop would go on 32 times, 8 MB, for who sends fast."""


class Congestion:
    """Why none of one client's connections is read now: a peer takes too little, or it is the turn of others."""

    def __init__(self) -> None:
        self._reasons: set[object] = set()
        self._paused: set[asyncio.Transport] = set()

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def begin(self, reason: object) -> None:
        self._reasons.add(reason)

    def end(self, reason: object) -> None:
        self._reasons.discard(reason)
        if not self._reasons:
            paused, self._paused = self._paused, set()
            for transport in paused:
                if not transport.is_closing():
                    transport.resume_reading()

    def pause(self, transport: asyncio.Transport) -> None:
        """Until there is no reason any more."""
        if not transport.is_closing() and transport not in self._paused:
            transport.pause_reading()
            self._paused.add(transport)

    def end_turn(self) -> None:
        """Reading goes on when the loop has turned."""
        turn = object()
        self.begin(turn)
        asyncio.get_running_loop().call_soon(self.end, turn)


class Reading(asyncio.Protocol):
    """Takes the bytes; all else is for the protocol that was there before, which asyncio's streams made."""

    def __init__(
        self,
        transport: asyncio.Transport,
        streams: asyncio.Protocol,
        receive: Callable[[bytes], None],
        congestion: Congestion,
    ) -> None:
        self._transport = transport
        self._streams = streams
        self._receive = receive
        self._congestion = congestion
        if transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            congestion.begin(self)

    @classmethod
    def begin(
        cls, transport: asyncio.WriteTransport, receive: Callable[[bytes], None], congestion: Congestion
    ) -> Reading:
        """From now on; what the streams' reader has already stays there."""
        both = cast("asyncio.Transport", transport)
        both.set_write_buffer_limits(MOST_UNSENT_BYTES)  # uvloop's own would wait until all is sent
        reading = cls(both, cast("asyncio.Protocol", both.get_protocol()), receive, congestion)
        both.set_protocol(reading)
        return reading

    def data_received(self, data: bytes) -> None:
        self._receive(data)
        if len(data) > MOST_A_TURN_BYTES:
            self._congestion.end_turn()
        if self._congestion:
            self._congestion.pause(self._transport)

    def eof_received(self) -> bool | None:
        return self._streams.eof_received()

    def pause_writing(self) -> None:
        self._congestion.begin(self)
        self._streams.pause_writing()

    def resume_writing(self) -> None:
        self._streams.resume_writing()
        self._congestion.end(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.connection_lost(exc)
        self._congestion.end(self)
