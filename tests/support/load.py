"""Load: many unique clicks on a few kept connections, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Self

from storehop.deliver.operations import ListCalls
from storehop.deliver.sqlite.engine import SqliteEngine
from tests.support.clients import connection, read_answer, request
from tests.support.scenes import path_of, play

APPSFLYER = "app.appsflyer.com"


@dataclass(slots=True)
class Clicks:
    """What the users saw, by click id."""

    direct: set[str] = field(default_factory=set)
    """Sent to the store."""
    passed: set[str] = field(default_factory=set)
    """Got the original link, from the ad stack."""
    cut: set[str] = field(default_factory=set)
    """Saw the connection end without an answer."""
    wrong: list[str] = field(default_factory=list)
    """Got anything else: an error of ours."""
    slowest_s: float = 0.0
    """How long the slowest answer took."""
    when: dict[str, float] = field(default_factory=dict)
    """When each click was answered, in seconds of the monotonic clock."""

    @classmethod
    def of(cls, parts: Iterable[Clicks]) -> Self:
        """All of them together."""
        whole = cls()
        for part in parts:
            whole.direct |= part.direct
            whole.passed |= part.passed
            whole.cut |= part.cut
            whole.wrong += part.wrong
            whole.slowest_s = max(whole.slowest_s, part.slowest_s)
            whole.when |= part.when
        return whole

    @property
    def answered(self) -> int:
        """How many users saw the store or the original link."""
        return len(self.direct) + len(self.passed)

    @property
    def all(self) -> int:
        """How many users clicked."""
        return self.answered + len(self.cut) + len(self.wrong)


@dataclass(slots=True)
class Load:
    """Clicks links of an ad stack that redirects each to AppsFlyer, until it is told to stop."""

    prefix: str
    """Every click id begins with it."""
    address: str = "127.0.0.1"
    clicks: Clicks = field(default_factory=Clicks)
    _numbers: count = field(default_factory=count)
    _stopped: bool = False

    async def run(self, port: int, *, connections: int = 4, rate: float | None = None, most: int | None = None) -> None:
        """Clicks until `stop`, or `most` times; `rate` clicks a second on all connections together, at the most."""
        pause = connections / rate if rate else 0.0
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._browse(port, pause, most))

    def stop(self) -> None:
        self._stopped = True

    def _next(self, most: int | None) -> str | None:
        number = next(self._numbers)
        return None if self._stopped or (most is not None and number >= most) else f"{self.prefix}{number}"

    async def _browse(self, port: int, pause: float, most: int | None) -> None:
        """One connection after the other, as browsers do when one breaks."""
        while not self._stopped:
            with suppress(OSError):
                async with connection(port, address=self.address) as (reader, writer):
                    due = time.monotonic()
                    while (click_id := self._next(most)) is not None:
                        stays = await self._click(reader, writer, click_id)
                        due = max(due + pause, time.monotonic())  # what is late is not made up for
                        await asyncio.sleep(due - time.monotonic())
                        if not stays:
                            raise ConnectionError
                    return
            await asyncio.sleep(0.02)

    async def _click(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, click_id: str) -> bool:
        """Whether the connection stays."""
        begin = time.monotonic()
        try:
            writer.write(request(path_of(click_id)))
            answer = await read_answer(reader)
        except (OSError, EOFError):
            self.clicks.cut.add(click_id)
            raise ConnectionError from None
        self.clicks.when[click_id] = time.monotonic()
        self.clicks.slowest_s = max(self.clicks.slowest_s, self.clicks.when[click_id] - begin)
        if answer.location == play(click_id):
            self.clicks.direct.add(click_id)
        elif answer.location == f"https://{APPSFLYER}{path_of(click_id)}":
            self.clicks.passed.add(click_id)
        else:
            self.clicks.wrong.append(answer.raw.decode("latin-1"))
        return "close" not in answer.all("Connection")


@dataclass(slots=True)
class Lag:
    """How long this process has been kept from its work, by others on this machine or by itself."""

    longest: float = 0.0
    """Seconds by which the event loop was late, at the most."""

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            due = time.monotonic() + 0.005
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.monotonic() - due)


async def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to hold in time. For what gives no event."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.05)
    return holds()


async def to_appsflyer(received, _reader, writer) -> AsyncIterator[None]:
    """A route of the ad stack: redirects every path to the attribution link of the same path."""
    location = f"Location: https://{APPSFLYER}{received.target}"
    writer.write(f"HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode())


def stored(folder: Path, *, dead: bool | None = False) -> list[str]:
    """The URLs of the calls that the outbox of a host holds: pending, dead, or (None) both."""
    engine = SqliteEngine(folder / "outbox.db")
    try:
        return [call.url for call in engine.run([ListCalls(dead)])[0]]
    finally:
        engine.close()


def pending(folder: Path, *, dead: bool | None = False) -> int:
    """How many they are."""
    return len(stored(folder, dead=dead))


def report(what: str, **figures: object) -> None:
    """A line of figures; pytest shows it only when asked."""
    print(f"\nfigures: {what}:", *(f"{name}={value}" for name, value in figures.items()))  # noqa: T201
