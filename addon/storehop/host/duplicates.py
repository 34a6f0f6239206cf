"""The same click again within ten seconds gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cachetools import TTLCache

from storehop.model import Click, Decision, Direct, Pass, Reason

WINDOW = 10.0
"""Seconds in which a reload, a double tap or a browser's retry is the same click."""
MOST = 100_000
"""Clicks that are remembered; about 200 bytes each."""


class Duplicates:
    """Remembers answers by a hash of link, client address and User-Agent, so it keeps no personal data."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._answered: TTLCache[bytes, str | Pass] = TTLCache(MOST, WINDOW, timer=clock)
        self._under_way: dict[bytes, asyncio.Future[Decision]] = {}

    async def once(self, click: Click, direct: Direct, act: Callable[[Direct, bytes], Awaitable[Decision]]) -> Decision:
        """`act(direct, key)` for the first of equal clicks; the others get its answer. `key` is what they share.

        That holds for a click that had to pass, too: AppsFlyer has counted it by the old redirect. A failure of
        `act` is such a pass; it is raised for the first click.
        """
        key = _key_of(click, direct.client_ip)
        if known := self._answered.get(key):
            return known if isinstance(known, Pass) else replace(direct, location=known)
        if first := self._under_way.get(key):
            return await asyncio.shield(first)
        self._under_way[key] = asyncio.get_running_loop().create_future()
        decision: Decision = Pass(Reason.ERROR)  # stands where `act` fails or is cancelled
        try:
            decision = await act(direct, key)
        finally:
            self._answered[key] = decision.location if isinstance(decision, Direct) else decision
            self._under_way.pop(key).set_result(decision)
        return decision


def _key_of(click: Click, client_ip: str) -> bytes:
    """What makes two clicks the same, without the personal data in it."""
    who = f"{click.link}\n{client_ip}\n{click.headers.get('user-agent', '')}"
    return hashlib.blake2b(who.encode(errors="surrogateescape"), digest_size=16).digest()
