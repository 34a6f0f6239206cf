"""An outbox of the version before: what it holds is delivered."""

from __future__ import annotations

import sqlite3
import time
from importlib import resources
from pathlib import Path

from storehop.deliver.sqlite.clock import SystemClock
from tests.support.processes import start_sidecar
from tests.support.scenes import RULES, write_rules
from tests.support.standins import AdStack, AppsFlyer

VERSION = 2
"""Of the schema that the version before had."""


def older_outbox(path: Path, origin: str) -> None:
    """A due call, and one whose lease has lapsed, as the version before wrote them."""
    clock = SystemClock()
    scripts = resources.files("storehop.deliver.sqlite") / "schema"
    with sqlite3.connect(path) as db:
        for number in range(1, VERSION + 1):
            db.executescript((scripts / f"{number}.sql").read_text())
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("UPDATE machine SET boot_id = ?", (clock.boot_id,))
        now = clock.uptime()
        for name, state, due_at, holder, until in (
            ("due", "due", now, None, None),
            ("leased", "leased", None, "an-old-process", now),
        ):
            db.execute(
                "INSERT INTO calls (id, host, url, headers, rule, created_at, born, attempts, state, due_at, holder,"
                " lease_until) VALUES (?, ?, ?, '[[\"User-Agent\", \"ua\"]]', 'games', ?, ?, 0, ?, ?, ?, ?)",
                (name, origin, f"{origin}/x?clickid={name}", time.time(), now, state, due_at, holder, until),
            )
    db.close()


async def test_an_outbox_of_the_version_before_is_delivered(tmp_path, ads: AdStack, appsflyer: AppsFlyer):
    """Its pending calls arrive, the due one and the one that a process of then had leased."""
    older_outbox(tmp_path / "outbox.db", f"http://127.0.0.1:{appsflyer.port}")
    rules = write_rules(tmp_path, RULES, appsflyer)
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, tmp_path)
    arrived = {dict((await appsflyer.next_click()).params)["clickid"] for _ in range(2)}
    await host.process.stop()

    assert {"due", "leased"} == arrived
