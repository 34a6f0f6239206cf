"""How an outbox stays healthy, and what people do with it: room, age, probes, marks, dead letters."""

from __future__ import annotations

import json
import sqlite3

from storehop.deliver.operations import ListCalls, Mark, Marks, Probe, Purge, Revive, StoredCall, Sweep, Swept, Unmark
from storehop.deliver.sqlite.statements import Now
from storehop.model import DeadReason

_PROBE_BYTES = 16 * 1024
"""Of the write that finds out whether the disk takes a large click again."""
_ALL_PAGES = 2**30
"""More than any file has."""
# Bytes of the file that a row takes: one above about 2 KB has its pages for itself (4 KB each).
_FILLS = "CASE WHEN size > 1400 THEN (size + 4695) / 4096 * 4096 ELSE size + 600 END"


def bound(db: sqlite3.Connection, max_bytes: int) -> bool:
    """Keeps the file within its bound. Returns whether it is full: clicks may fill seven eighths of it.

    While it is full the bound is off: verdicts need a little room, and only by them does it get empty again. There are
    no more of them than calls.
    """
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    most = max(1, max_bytes // page_bytes)
    is_full: bool = pages - free > most - most // 8
    db.execute(f"PRAGMA max_page_count = {_ALL_PAGES if is_full else most}")
    return is_full


def make_room(db: sqlite3.Connection, uptime: float, max_dead_bytes: int | None) -> int:
    """Deletes answers that count no more, and the oldest dead letters beyond the bound. Returns how many of these."""
    db.execute("DELETE FROM answers WHERE until <= ?", (uptime,))
    if max_dead_bytes is None:
        return 0
    dead = "FROM calls INDEXED BY calls_dead_size WHERE state = 'dead'"
    (filled,) = db.execute(f"SELECT coalesce(sum({_FILLS}), 0) {dead}").fetchone()
    surplus = filled - max_dead_bytes
    if surplus <= 0:
        return 0
    oldest = []
    for row, fills in db.execute(f"SELECT rowid, {_FILLS} {dead} ORDER BY dead_at"):
        if surplus <= 0:
            break
        oldest.append((row,))
        surplus -= fills
    db.executemany("DELETE FROM calls WHERE rowid = ?", oldest)
    return len(oldest)


def expire(db: sqlite3.Connection, now: Now, operation: Sweep, dropped: int) -> Swept:
    """Gives up the calls that nobody holds and that are too old, oldest first; and counts what is left."""
    rows = db.execute(
        "UPDATE calls SET state = 'dead', dead_at = ?, reason = ?, due_at = NULL, holder = NULL, lease_until = NULL,"
        " lease = NULL, is_held = 0 WHERE rowid IN (SELECT rowid FROM calls INDEXED BY calls_alive"
        " WHERE state <> 'dead' AND born <= ? AND (state = 'due' OR lease_until <= ?) ORDER BY born LIMIT ?)"
        " RETURNING id",
        (now.wall, DeadReason.TOO_OLD, now.uptime - operation.max_age_s, now.uptime, operation.most),
    ).fetchall()
    pending, oldest, due = db.execute(
        "SELECT count(*), min(born), total(CASE state WHEN 'due' THEN due_at ELSE lease_until END <= ?)"
        " FROM calls INDEXED BY calls_alive WHERE state <> 'dead'",
        (now.uptime,),
    ).fetchone()
    (dead,) = db.execute("SELECT count(*) FROM calls WHERE state = 'dead'").fetchone()
    oldest_s = None if oldest is None else max(0.0, now.uptime - oldest)
    return Swept(tuple(row[0] for row in rows), dropped, pending, int(due), dead, oldest_s)


def probe(db: sqlite3.Connection, _now: Now, _operation: Probe) -> None:
    """Writes as much as a large click and takes it away again."""
    db.execute("UPDATE machine SET probe = zeroblob(?)", (_PROBE_BYTES,))
    db.execute("UPDATE machine SET probe = NULL")


# marks


def mark(db: sqlite3.Connection, _now: Now, operation: Mark) -> None:
    """Stores a text under a name."""
    db.execute("INSERT OR REPLACE INTO marks (name, text) VALUES (?, ?)", (operation.name, operation.text))


def unmark(db: sqlite3.Connection, _now: Now, operation: Unmark) -> bool:
    """Deletes a mark."""
    return db.execute("DELETE FROM marks WHERE name = ?", (operation.name,)).rowcount == 1


def marks(db: sqlite3.Connection, _now: Now, _operation: Marks) -> dict[str, str]:
    """All marks."""
    return dict(db.execute("SELECT name, text FROM marks ORDER BY name").fetchall())


# for people


def stored(db: sqlite3.Connection, now: Now, operation: ListCalls) -> list[StoredCall]:
    """Stored calls, newest first."""
    rows = db.execute(
        "SELECT id, rule, url, state, max(0.0, ? - created_at), attempts, last, reason FROM calls"
        " WHERE (? IS NULL OR (state = 'dead') = ?) AND (? = '' OR id = ?) ORDER BY created_at DESC, rowid DESC",
        (now.wall, operation.dead, operation.dead, operation.call_id, operation.call_id),
    )
    return [StoredCall(*row) for row in rows]


def revive(db: sqlite3.Connection, now: Now, operation: Revive) -> int:
    """Makes dead calls due now, as young as new ones."""
    done = db.execute(
        "UPDATE calls SET state = 'due', due_at = ?, born = ?, dead_at = NULL, reason = NULL, attempts = 0"
        " WHERE id IN (SELECT value FROM json_each(?)) AND state = 'dead'",
        (now.uptime, now.uptime, json.dumps(operation.call_ids)),
    )
    return done.rowcount


def purge(db: sqlite3.Connection, _now: Now, operation: Purge) -> int:
    """Deletes dead calls."""
    done = db.execute(
        "DELETE FROM calls WHERE id IN (SELECT value FROM json_each(?)) AND state = 'dead'",
        (json.dumps(operation.call_ids),),
    )
    return done.rowcount
