"""Places for calls that are sent at the same time."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """So many calls at a time, in the order in which they ask. One that is free is a number: no task waits for it."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Takes a free one. False: there is none."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Takes the next one that is released to the caller."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Gives one back: to whoever has waited longest."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
