"""Brings a connection's bytes to who handles them as soon as they are there.

asyncio's streams keep them until a task reads: a future, a task's step and a turn of the loop for each piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast


class Congestion:
    """Which connections of one client have a peer that takes too little: meanwhile none of them is read."""

    def __init__(self) -> None:
        self._slow: set[Reading] = set()
        self._paused: set[asyncio.Transport] = set()

    def __bool__(self) -> bool:
        return bool(self._slow)

    def begin(self, slow: Reading) -> None:
        self._slow.add(slow)

    def end(self, slow: Reading) -> None:
        self._slow.discard(slow)
        if not self._slow:
            for transport in self._paused:
                transport.resume_reading()
            self._paused.clear()

    def pause(self, transport: asyncio.Transport) -> None:
        """Until none is slow any more."""
        transport.pause_reading()
        self._paused.add(transport)


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
        _, most = transport.get_write_buffer_limits()
        if transport.get_write_buffer_size() > most:
            congestion.begin(self)

    @classmethod
    def begin(cls, transport: asyncio.WriteTransport, receive: Callable[[bytes], None], congestion: Congestion) -> None:
        """From now on; what the streams' reader has already stays there."""
        both = cast("asyncio.Transport", transport)
        both.set_protocol(cls(both, cast("asyncio.Protocol", both.get_protocol()), receive, congestion))

    def data_received(self, data: bytes) -> None:
        self._receive(data)
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
