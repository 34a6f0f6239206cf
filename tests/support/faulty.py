"""An AppsFlyer that has a bad day: the stand-in for outages."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

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
        self.fault: str | None = None

    async def respond(self, request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        click_id = dict(request.params)["clickid"]
        self.seen[click_id] += 1
        match self.fault:
            case None:
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
