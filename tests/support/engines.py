"""Engines as the conformance suite needs them: clients of one outbox, time that moves, crashes, a full file.

A further engine joins by one class like these, added to KITS.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from storehop.deliver.sqlite.engine import SqliteEngine
from tests.support.clocks import HandClock
from tests.support.memory_engine import MemoryEngine, MemoryOutbox


class MemoryKit:
    """Clients of one outbox in memory."""

    def __init__(self):
        self.clock = HandClock()
        self.outbox = MemoryOutbox(self.clock)

    def client(self):
        return MemoryEngine(self.outbox)

    def crash(self, _client):
        """What it had stored stays."""

    def reboot(self, seconds):
        """All clients are gone, and so is what an engine counted by uptime: here by hand."""
        self.clock.reboot(seconds)
        self.outbox.answers.clear()
        self.outbox.budget = (0.0, self.clock.up)
        for row in self.outbox.calls.values():
            row.born = self.clock.up - max(0.0, self.clock.unix - row.created_at)
            if row.state != "dead":
                row.state, row.lease, row.until, row.is_held = "due", None, self.clock.up, False

    def fill_up(self):
        self.outbox.capacity = len(self.outbox.calls)

    def make_room(self):
        self.outbox.capacity = None

    def close(self):
        """Nothing is open."""


class SqliteKit:
    """Clients of one file."""

    def __init__(self):
        self.clock = HandClock()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "outbox.db"
        self._clients = []
        self._max_pages = None

    def client(self):
        client = SqliteEngine(self.path, power_safe=False, clock=self.clock)
        self._clients.append(client)
        self._bound(client)
        return client

    def crash(self, client):
        """As a killed process: its connection is gone, and nothing else happens."""
        client._drop()

    def reboot(self, seconds):
        """All clients are gone."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.clock.reboot(seconds)

    def fill_up(self):
        """The file may not grow, and has no free page."""
        with sqlite3.connect(self.path) as db:
            self._max_pages = db.execute("PRAGMA page_count").fetchone()[0]
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
        client._db.execute(f"PRAGMA max_page_count = {self._max_pages}")

    def close(self):
        for client in self._clients:
            client.close()
        self._folder.cleanup()


KITS = {"memory": MemoryKit, "sqlite": SqliteKit}
