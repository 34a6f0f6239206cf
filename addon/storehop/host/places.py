"""Places for connections to the upstream: one for each client, and more for HTTP/2's streams while files last.

mitmproxy makes a connection for each stream of a client that speaks HTTP/2. A stream that finds no place waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOST = 100
"""Of one client at a time: one for each of its streams (hyper-h2 allows 100). mitmproxy has 5, and a load balancer that
speaks HTTP/2 with us has many users on one connection."""


class Places:
    """Of one process. A client takes two files, its own and one to the upstream; each further one is an extra."""

    def __init__(self, clients: Callable[[], int], files: int) -> None:
        """`clients` returns how many are in; `files` are there for all of them and for the upstream."""
        self._clients = clients
        self._files = files
        self._extras = 0
        self._waiting: dict[asyncio.Future[None], Share] = {}
        """In the order in which they came."""

    def has_room(self, coming: int) -> bool:
        """Whether so many more clients find files, each with its connection to the upstream."""
        return 2 * (self._clients() + coming) + self._extras <= self._files

    @property
    def _has_extra(self) -> bool:
        """Half of the files at the most are extras, so that clients can always come in."""
        return self._extras < self._files // 2 and 2 * self._clients() + self._extras < self._files

    async def take(self, share: Share) -> None:
        """Returns when the client has one more place."""
        if self._give(share):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = share
        try:
            await turn
        except asyncio.CancelledError:
            if self._waiting.pop(turn, None) is None:  # its turn had just come
                self.give_back(share)
            raise

    def give_back(self, share: Share) -> None:
        share.taken -= 1
        if share.taken:
            self._extras -= 1
        self.hand_out()

    def hand_out(self) -> None:
        """To who waits; also where a client has left."""
        has_extra = self._has_extra
        for turn, share in list(self._waiting.items()):
            if (share.taken and not has_extra) or turn.done():
                continue
            if self._give(share):
                del self._waiting[turn]
                turn.set_result(None)
            has_extra = self._has_extra

    def _give(self, share: Share) -> bool:
        if share.taken:
            if share.taken >= MOST or not self._has_extra:
                return False
            self._extras += 1
        share.taken += 1
        return True


class Share:
    """What one client has of them. mitmproxy enters it as it would its semaphore, once for each connection."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.taken = 0

    async def __aenter__(self) -> None:
        await self._places.take(self)

    async def __aexit__(self, *_: object) -> None:
        self._places.give_back(self)
