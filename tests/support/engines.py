"""Engines as the conformance suite needs them: clients of one outbox, time that moves, crashes, faults, a full file.

A further engine joins by one `EngineKit`, added to KITS. What its kit can't do, it says in a flag: the laws that need
it are skipped, and the machine leaves it out.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import tempfile
import time
from pathlib import Path

from storehop.deliver.engine import Engine
from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Place
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.settings import Delivery
from tests.support.clocks import HandClock
from tests.support.hurried import HurriedEngine
from tests.support.memory_engine import MemoryEngine
from tests.support.memory_outbox import MemoryOutbox
from tests.support.redis_servers import shared_server


class EngineKit:
    """One empty outbox. Seconds are the engine's own, whatever they take by the clock on the wall."""

    can_move_time = True
    """By hand: exactly, at once, and the wall clock apart. Else `pass_time` waits."""
    can_reboot = True
    can_fill_up = True
    can_break_down = True
    is_exclusive = True
    """Whether `exclusive` keeps the others away; where not, leases alone do."""
    edge_s = 0.1
    """How near to a moment a test may act."""
    burst_s = 0.25
    """Time whose share of a rate the engine may hand out at once."""
    keeps_rates = True
    """Whether claims with a rate come near it, however a second of the suite is counted."""

    def __init__(self) -> None:
        self.clock = HandClock()

    def client(self) -> Engine:
        """A further process's engine."""
        raise NotImplementedError

    def crash(self, client: Engine) -> None:
        """The client's process is killed."""
        raise NotImplementedError

    def now(self) -> float:
        return self.clock.up

    def wall(self) -> float:
        return self.clock.unix

    def pass_time(self, seconds: float) -> None:
        self.clock.pass_time(seconds)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.clock.unix += seconds

    def is_about(self, expected: float | None, actual: float | None) -> bool:
        """Whether a duration that the engine counted is right."""
        return expected == actual

    def reboot(self, seconds: float) -> None:
        """The machine starts again, and its clients are gone."""
        raise NotImplementedError

    def fill_up(self) -> None:
        """There is hardly any room left: the next 200 calls are more than it takes."""
        raise NotImplementedError

    def make_room(self) -> None:
        """There is room without end."""
        raise NotImplementedError

    def break_down(self) -> None:
        """Nothing can be stored."""
        raise NotImplementedError

    def mend(self) -> None:
        """It can again."""
        raise NotImplementedError

    def close(self) -> None:
        """Leaves nothing behind."""


class MemoryKit(EngineKit):
    """Clients of one outbox in memory."""

    engine: type[MemoryEngine] = MemoryEngine

    def __init__(self):
        super().__init__()
        self.outbox = MemoryOutbox(self.clock)

    def client(self):
        return self.engine(self.outbox)

    def crash(self, client):
        """What it had stored stays."""

    def reboot(self, seconds):
        self.clock.reboot(seconds)
        self.outbox.reboot()

    def fill_up(self):
        self.outbox.capacity = len(self.outbox.calls)

    def make_room(self):
        self.outbox.capacity = None

    def break_down(self):
        self.outbox.fault = "broken"

    def mend(self):
        self.outbox.fault = None


class SqliteKit(EngineKit):
    """Clients of one file."""

    def __init__(self):
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "outbox.db"
        self._clients = []
        self._max_pages = None
        self._intruder = None

    def client(self):
        return self._engine(self.clock)

    def _engine(self, clock):
        engine = SqliteEngine(self.path, power_safe=False, clock=clock)
        self._clients.append(engine)
        self._bound(engine)
        return engine

    def crash(self, client):
        """As a killed process: its files are closed, and nothing else happens."""
        client.close()
        self._clients.remove(client)

    def reboot(self, seconds):
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.clock.reboot(seconds)

    def fill_up(self):
        """The file may have no more pages than it has."""
        db = sqlite3.connect(self.path)
        self._max_pages = db.execute("PRAGMA page_count").fetchone()[0]
        self._page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
        db.close()
        for client in self._clients:
            self._bound(client)

    def make_room(self):
        self._max_pages = 2**30
        for client in self._clients:
            self._bound(client)
        self._max_pages = None

    def _bound(self, client):
        if self._max_pages is None:
            return
        client.run([])
        client._max_bytes = self._max_pages * self._page_bytes
        client._check_bounds(client._db)

    def break_down(self):
        """Somebody who does not know our lock has the file for himself."""
        for client in self._clients:
            client.run([])
            client._db.execute("PRAGMA busy_timeout = 0")  # a test does not wait for what will not come
        self._intruder = sqlite3.connect(self.path, isolation_level=None)
        self._intruder.execute("BEGIN IMMEDIATE")

    def mend(self):
        self._intruder.close()

    def close(self):
        for client in self._clients:
            client.close()
        self._folder.cleanup()


class RealTimeKit(SqliteKit):
    """As an engine whose clock nobody can set: a second of the suite takes a tenth of one."""

    can_move_time = False
    keeps_rates = False
    can_reboot = False
    edge_s = 3.0
    burst_s = 2.5
    _second_s = 0.1

    def client(self):
        return HurriedEngine(self._engine(None), self._second_s)

    def crash(self, client):
        super().crash(client.engine)

    def now(self):
        return time.monotonic() / self._second_s

    def pass_time(self, seconds):
        time.sleep(seconds * self._second_s)

    def is_about(self, expected, actual):
        """Not too short; a busy machine makes it longer."""
        if expected is None or actual is None:
            return expected is actual
        return expected - 0.1 <= actual <= expected + 600.0


class RedisKit(EngineKit):
    """Clients of one outbox on a real server.

    A second of the suite is a thousand of the server's. So its clock, which goes on meanwhile, hardly matters; it is
    moved by what the script has stored of it.
    """

    version = "7.0"
    can_reboot = False
    is_exclusive = False
    keeps_rates = False  # its budget is of at least a call, and for a fifth of a second of the server's
    _second_s = 1000.0
    _numbers = itertools.count()

    def __init__(self):
        super().__init__()
        self.server = shared_server(self.version)
        self.redis = self.server.client()
        self.name = f"kit-{os.getpid()}-{next(self._numbers)}"
        self._clients = []
        self._max_bytes = None

    def client(self):
        settings = Delivery(outbox_replicas=0, outbox_name=self.name)
        engine = RedisEngine(Place.from_url(self.server.url), settings)
        engine._max_bytes = self._max_bytes
        engine.run([])
        client = HurriedEngine(engine, self._second_s)
        self._clients.append(client)
        return client

    def crash(self, client):
        """As a killed process: its connection is gone, and nothing else happens."""
        client.engine.close()
        self._clients.remove(client)

    def pass_time(self, seconds):
        super().pass_time(seconds)
        self._move(seconds * self._second_s * 1000)

    def jump(self, seconds):
        """Somebody sets the server's clock back: its time goes on. Forward can't be told from time that passes."""
        if seconds < 0:
            self.redis.hincrby(self._state, "ahead", round(seconds * 1000))

    def _move(self, ms):
        """The script's clock goes on from `seen`, with the server's."""
        seconds, micros = self.redis.time()
        clock = seconds * 1000 + micros // 1000
        seen, ahead = (int(value or 0) for value in self.redis.hmget(self._state, "seen", "ahead"))
        now = round((clock if clock >= seen else max(clock + ahead, seen)) + ms)
        self.redis.hset(self._state, mapping={"seen": now, "ahead": now - clock})

    @property
    def _state(self):
        return f"{{{self.name}}}:state"

    def is_about(self, expected, actual):
        """But for the time that the suite takes."""
        if expected is None or actual is None:
            return expected is actual
        return abs(expected - actual) < 0.1

    def fill_up(self):
        used = sum(int(value or 0) for value in self.redis.hmget(self._state, "pending", "dead"))
        self._bound(max_bytes=used * 8 // 7)

    def make_room(self):
        self._bound(max_bytes=None)

    def _bound(self, max_bytes):
        self._max_bytes = max_bytes
        for client in self._clients:
            client.engine._max_bytes = max_bytes

    def break_down(self):
        """It lacks the replica that it asks for."""
        self.redis.config_set("min-replicas-to-write", 1)

    def mend(self):
        self.redis.config_set("min-replicas-to-write", 0)

    def close(self):
        for client in self._clients:
            client.engine.close()
        keys = list(self.redis.scan_iter(f"{{{self.name}}}:*", count=1000))
        if keys:
            self.redis.delete(*keys)
        self.redis.close()


class RedisOfTheWheelKit(RedisKit):
    version = "8.2"


class RedisInRealTimeKit(RedisKit):
    """A second of the suite takes a tenth of one."""

    can_move_time = False
    edge_s = 3.0
    burst_s = 2.5
    _second_s = 0.1
    now, pass_time, is_about = RealTimeKit.now, RealTimeKit.pass_time, RealTimeKit.is_about


KITS = {
    "memory": MemoryKit,
    "sqlite": SqliteKit,
    "real time": RealTimeKit,
    "redis 7.0": RedisKit,
    "redis 8.2": RedisOfTheWheelKit,
    "redis in real time": RedisInRealTimeKit,
}
