"""Load: wrk where it is installed, else a generator of our own; and clients that time every answer.

All of it runs in the benchmark's own process or in wrk's, on other cores than the proxy where there are any.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.bench.traffic import ATTRIBUTION, STORE, Kind, requests, templates

CONNECTIONS = 16
STALL = 30.0
"""Seconds that a first answer may take on a machine that does other things: of nothing there is no rate."""
FEWEST = 2
"""Answers of which there are percentiles."""
SCRIPT = Path(__file__).with_name("click.lua")
LENGTH = b"content-length:"
LOCATION = b"location:"


@dataclass(slots=True)
class Answers:
    """How many answers of each sort came in `seconds`."""

    seconds: float
    direct: int = 0
    """The user was sent to the store."""
    passed: int = 0
    """The user got the attribution link: storehop let the click pass."""
    plain: int = 0
    """200."""
    failed: int = 0
    """Anything else, and connections that broke."""

    @property
    def number(self) -> int:
        return self.direct + self.passed + self.plain + self.failed

    def count(self, answer: bytes) -> None:
        """Counts a response, given by its head."""
        if answer[9:12] == b"200":
            self.plain += 1
        elif (target := _field(answer, LOCATION)).startswith(STORE):
            self.direct += 1
        elif target.startswith(ATTRIBUTION):
            self.passed += 1
        else:
            self.failed += 1


def _field(head: bytes, name: bytes) -> bytes:
    """A header's value; empty where it is missing."""
    at = head.lower().find(b"\r\n" + name)
    return head[at + 2 + len(name) : head.find(b"\r\n", at + 2)].strip() if at >= 0 else b""


async def by_wrk(port: int, kind: Kind, prefix: str, seconds: float) -> Answers:
    """As many requests as 16 connections carry. wrk counts whole seconds."""
    with NamedTemporaryFile("w", suffix=".requests", newline="") as file:
        file.write("\0".join(templates(kind)))
        file.flush()
        load = ["-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", SCRIPT, f"http://127.0.0.1:{port}"]
        process = await asyncio.create_subprocess_exec(
            "wrk",
            *load,
            "--",
            file.name,
            prefix,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    line = next((line for line in output.decode().splitlines() if line.startswith("ANSWERS ")), None)
    if line is None:
        raise RuntimeError(f"wrk ended with {process.returncode}:\n{output.decode()}")
    return Answers(**json.loads(line.removeprefix("ANSWERS ")))


async def by_hand(port: int, kind: Kind, prefix: str, seconds: float) -> Answers:
    """As `by_wrk`, without wrk; it carries some 10,000 requests a second."""
    asked, answers, loop = requests(kind, prefix), Answers(0.0), asyncio.get_running_loop()
    begin = loop.time()

    def answered(connection: _Connection, head: bytes) -> None:
        answers.count(head)
        if loop.time() - begin < seconds:
            connection.ask(next(asked)[1])

    connections = [await _connect(port, answered) for _ in range(CONNECTIONS)]
    try:
        for connection in connections:
            connection.ask(next(asked)[1])
        await asyncio.sleep(seconds)
        await until(lambda: answers.number > 0, STALL)
        answers.seconds = loop.time() - begin
    finally:
        answers.failed += sum(connection.is_lost for connection in connections)
        for connection in connections:
            connection.close()
    return answers


@dataclass(slots=True)
class Timed:
    """When each click was asked and answered with the store, in seconds of the monotonic clock."""

    asked: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)

    @property
    def latencies(self) -> list[float]:
        """Seconds."""
        return [at - self.asked[click_id] for click_id, at in self.answered.items()]


async def at_rate(port: int, kind: Kind, prefix: str, rate: float, seconds: float) -> Timed:
    """Clicks at random moments, `rate` a second on average, however long the answers take (an open loop).

    A connection carries one request at a time; where none is free another one is opened, as browsers would. A click
    whose connection breaks has no answer.
    """
    asked, timed, free = requests(kind, prefix), Timed(), []
    under_way: dict[_Connection, str] = {}
    chance = random.Random(7)

    def answered(connection: _Connection, head: bytes) -> None:
        click_id = under_way.pop(connection)
        if _field(head, LOCATION).startswith(STORE):
            timed.answered[click_id] = time.monotonic()
        free.append(connection)

    connections = [await _connect(port, answered) for _ in range(CONNECTIONS)]
    free.extend(connections)
    moment = begin = time.monotonic()
    while moment < begin + seconds or len(timed.asked) < FEWEST:
        moment += chance.expovariate(rate)
        if (wait := moment - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        while free and free[-1].is_lost:  # idle for so long that the proxy closed it
            free.pop()
        if not free:
            connections.append(await _connect(port, answered))
            free.append(connections[-1])
        connection = free.pop()
        under_way[connection], request = next(asked)
        timed.asked[under_way[connection]] = time.monotonic()
        connection.ask(request)
    await until(lambda: all(connection.is_lost for connection in under_way), STALL)
    for connection in connections:
        connection.close()
    return timed


class Crowd:
    """Clients that keep their connections: each has had an answer, and is silent."""

    def __init__(self, port: int, kind: Kind, prefix: str) -> None:
        self.answers = Answers(0.0)
        self._port = port
        self._requests = requests(kind, prefix)
        self._connections: list[_Connection] = []

    async def grow(self, number: int) -> None:
        """So many more come, a few at a time, and have their first answer."""
        for few in batched(range(number), CONNECTIONS):
            came = [await _connect(self._port, self._answered) for _ in few]
            self._connections += came
            await self._ask(came)

    async def ask_again(self) -> None:
        """Each has one more answer, if its connection still stands."""
        for few in batched(self._connections, CONNECTIONS):
            await self._ask(few)

    async def _ask(self, few: Iterable[_Connection]) -> None:
        asking = [connection for connection in few if not connection.is_lost]
        wanted = self.answers.number + len(asking)
        for connection in asking:
            connection.ask(next(self._requests)[1])
        await until(lambda: self.answers.number >= wanted, STALL)

    def _answered(self, _connection: _Connection, head: bytes) -> None:
        self.answers.count(head)

    def leave(self) -> None:
        for connection in self._connections:
            connection.close()


async def until(holds: Callable[[], bool], seconds: float) -> None:
    """Waits until this holds, or so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.005)


class _Connection(asyncio.Protocol):
    """One request after the other; hands each answer's head to `answered` when the whole answer is there."""

    def __init__(self, answered: Callable[[_Connection, bytes], None]) -> None:
        self._answered = answered
        self._seen = b""
        self._is_closed = False
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> None:
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if end and len(body) >= int(_field(head + b"\r\n", LENGTH) or 0):
            self._seen = b""
            self._answered(self, head + b"\r\n")

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_lost = not self._is_closed

    def close(self) -> None:
        self._is_closed = True
        self._transport.close()


async def _connect(port: int, answered: Callable[[_Connection, bytes], None]) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: _Connection(answered), "127.0.0.1", port)
    return connection


def one_by_one(port: int, kind: Kind, prefix: str, seconds: float) -> list[float]:
    """Light load: one connection, one request at a time, by plain blocking calls. Returns seconds an answer."""
    taken: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=STALL) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        for _, request in requests(kind, prefix):
            begin = time.perf_counter()
            if begin >= end and len(taken) >= FEWEST:
                break
            connection.sendall(request)
            _read_answer(connection)
            taken.append(time.perf_counter() - begin)
    return taken


def _read_answer(connection: socket.socket) -> None:
    seen = b""
    while True:
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionError("the connection was closed")
        seen += data
        head, end, body = seen.partition(b"\r\n\r\n")
        if end and len(body) >= int(_field(head + b"\r\n", LENGTH) or 0):
            return
