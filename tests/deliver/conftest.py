"""An engine that can be stopped and broken, and processes on one outbox."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest

from storehop.deliver.engine import EngineError
from storehop.deliver.outbox import Outbox
from storehop.deliver.sqlite.engine import SqliteEngine

SOON_S = 60.0
"""Time in which whatever a test waits for has happened."""


class GatedEngine:
    """A real engine behind a gate: `close_gate` stops its thread before a batch, `error` is raised instead of one."""

    def __init__(self, engine):
        self._engine = engine
        self._gate = threading.Event()
        self._gate.set()
        self.waits = threading.Event()
        self.error = None
        self.is_closed = False
        self.batches = []
        self.kind, self.where, self.most, self.patience_s = engine.kind, engine.where, engine.most, SOON_S
        self.remarks = engine.remarks

    @property
    def refusal(self):
        return self._engine.refusal

    def close_gate(self):
        self.waits.clear()
        self._gate.clear()

    def open_gate(self):
        self._gate.set()

    @contextmanager
    def exclusive(self):
        with self._engine.exclusive():
            yield

    def run(self, batch):
        if not self._gate.is_set():
            self.waits.set()
            self._gate.wait(SOON_S)
        self.batches.append(list(batch))
        if self.error:
            raise self.error
        return self._engine.run(batch)

    def close(self):
        self._engine.close()
        self.is_closed = True


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def engine(path):
    return GatedEngine(SqliteEngine(path))


@pytest.fixture
async def outbox(engine):
    made = Outbox(engine, "one")
    yield made
    engine.error = None
    engine.open_gate()
    if not made._is_closed:
        await made.close()


@pytest.fixture
async def other(path):
    """Another process's outbox, over the same file."""
    made = Outbox(SqliteEngine(path), "other")
    yield made
    await made.close()


@pytest.fixture
def disk_full():
    return EngineError("database or disk is full")


@dataclass
class AppsFlyer:
    """Takes every click, apart from the statuses that it must answer first."""

    port: int = 0
    targets: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """0 is no answer."""
    retry_after: float = 0.0
    """What answers ask for, where it is not 0."""
    was_called: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.targets.append(head.split(b" ", 2)[1].decode())
                self.was_called.set()
                status = self.statuses.pop(0) if self.statuses else 200
                if status == 0:
                    continue
                wait = b"Retry-After: %d\r\n" % self.retry_after if self.retry_after else b""
                writer.write(b"HTTP/1.1 %d Said\r\n%sContent-Length: 0\r\n\r\n" % (status, wait))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def serving():
    made = AppsFlyer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for writer in made.writers:
        writer.close()
    await server.wait_closed()


@pytest.fixture
async def appsflyer():
    async with serving() as made:
        yield made


@pytest.fixture
async def other_appsflyer():
    async with serving() as made:
        yield made
