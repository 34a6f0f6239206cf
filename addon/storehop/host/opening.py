"""The moment in which clients are let in."""

from __future__ import annotations

import asyncio

from storehop.host.addon import Storehop
from storehop.host.door import HeldPortLoop
from storehop.host.leaving import Leaving
from storehop.listening.presence import Presence

TURNS = 3
"""Of the event loop: a signal that came while the process was starting is heard by then."""


class Opening:
    """An addon that lets clients in when all others are there: the first click finds everything."""

    def __init__(self, loop: HeldPortLoop, storehop: Storehop, leaving: Leaving, presence: Presence | None) -> None:
        self._loop = loop
        self._leaving = leaving
        self._storehop = storehop
        self._presence = presence

    async def running(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if not self._storehop.is_serving or self._loop.door is None:
            return  # it could not start, and said why
        is_told_to_end = self._leaving.has_begun
        if is_told_to_end and self._presence and self._presence.takes_over:
            return  # who served before goes on
        self._loop.door.open()  # for who waits already: the kernel let clients in from the first moment on
        if self._presence and not is_told_to_end:
            self._presence.begin()

    def done(self) -> None:
        if self._presence:
            self._presence.close()
