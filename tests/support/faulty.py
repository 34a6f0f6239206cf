"""An AppsFlyer that has a bad day: the stand-in for outages."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from weakref import WeakSet

from tests.support.standins import Received, _Server, response


class FaultyAppsFlyer(_Server):
    """Answers 200 and counts click ids; `fault` makes it fail in one of the ways below."""

    FAULTS = ("refuse", "hang", "500", "503", "429", "reset", "garbage", "certificate")

    def __init__(self) -> None:
        super().__init__()
        self.accepted: Counter[str] = Counter()
        """How often each click id was answered with 200."""
        self.seen: Counter[str] = Counter()
        """How often each click id came, whatever it was answered."""
        self.when: dict[str, float] = {}
        """When each click id was accepted, in seconds of the monotonic clock."""
        self.callers: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        """When each click id came, and from which address."""
        self.fault: str | None = None
        """One of FAULTS; or `flaky`, `later`, `slow`, `hold`, `rst` and `fin`, which are said below."""
        self._used: WeakSet[asyncio.StreamWriter] = WeakSet()
        self._chance = random.Random(14)

    async def respond(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault in {"rst", "fin"} and writer in self._used:  # closed as it is used again, unread
            (writer.transport.abort if self.fault == "rst" else writer.close)()
            return
        self._used.add(writer)
        click_id = dict(request.params)["clickid"]
        self.seen[click_id] += 1
        self.callers[click_id].append((time.monotonic(), writer.get_extra_info("peername")[0]))
        await self._take_time()
        if reader.at_eof():  # the caller waits no more
            return
        if self._is_unlucky(click_id):
            writer.write(response("503 Service Unavailable", *(["Retry-After: 3"] if self.fault == "later" else [])))
            return
        match self.fault:
            case None | "slow" | "flaky" | "later" | "rst" | "fin":
                self.accepted[click_id] += 1
                self.when[click_id] = time.monotonic()
                writer.write(response("200 OK"))
            case "hang":
                await asyncio.sleep(3600)
            case "reset":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
                writer.transport.abort()
            case "garbage":
                writer.write(b"\x00\xff\x13\x37 this is no HTTP\r\n\r\n")
                writer.close()
            case "503":
                writer.write(response("503 Service Unavailable", "Retry-After: 3"))
            case "429":
                writer.write(response("429 Too Many Requests"))
            case status:
                writer.write(response(f"{status} Broken"))

    async def _take_time(self) -> None:
        if self.fault == "slow":
            await asyncio.sleep(1.0)
        while self.fault == "hold":  # answered when it is over
            await asyncio.sleep(0.02)

    def _is_unlucky(self, click_id: str) -> bool:
        """One in ten: `flaky` at any attempt, `later` at the first, and it is told when to come again."""
        is_its_turn = self.fault == "flaky" or (self.fault == "later" and self.seen[click_id] == 1)
        return is_its_turn and self._chance.random() < 0.1
