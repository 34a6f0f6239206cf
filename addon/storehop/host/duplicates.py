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
        self._answered: TTLCache[bytes, str] = TTLCache(MOST, WINDOW, timer=clock)
        self._under_way: dict[bytes, asyncio.Future[Decision]] = {}

    async def once(self, click: Click, direct: Direct, act: Callable[[Direct], Awaitable[Decision]]) -> Decision:
        """`act(direct)` for the first of equal clicks; the others get its answer. What passed is not kept."""
        key = _key(click, direct.client_ip)
        if location := self._answered.get(key):
            return replace(direct, location=location)
        if first := self._under_way.get(key):
            return await asyncio.shield(first)
        self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            decision = await act(direct)
        except asyncio.CancelledError:
            self._finish(key, Pass(Reason.ERROR))  # those that wait were not cancelled: they pass
            raise
        except Exception as error:
            self._finish(key, error)
            raise
        if isinstance(decision, Direct):
            self._answered[key] = decision.location
        self._finish(key, decision)
        return decision

    def _finish(self, key: bytes, result: Decision | Exception) -> None:
        waiting = self._under_way.pop(key)
        if isinstance(result, Exception):
            waiting.set_exception(result)
            waiting.exception()  # fetched, so that nobody waiting is no warning
        else:
            waiting.set_result(result)


def _key(click: Click, client_ip: str) -> bytes:
    who = f"{click.link}\n{client_ip}\n{click.headers.get('user-agent', '')}"
    return hashlib.blake2b(who.encode(errors="surrogateescape"), digest_size=16).digest()
