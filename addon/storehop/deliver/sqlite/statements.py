"""What each operation does to the tables. Every function is one step inside a transaction that the caller opens.

Many calls go in one statement where they can: each statement lets go of the interpreter, and has to wait for its turn
again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from json.encoder import encode_basestring as _quoted
from typing import NamedTuple

from storehop.deliver.operations import (
    Accept,
    Amend,
    Answer,
    Extend,
    Forget,
    Leased,
    Release,
    Settle,
    Withdraw,
)
from storehop.model import Dead, Delivered, RetryIn, S2SCall, Verdict

_HELD_BY = "id = ? AND lease = ? AND holder = ? AND state = 'leased'"
"""The holder as well: a process of an older version leases again without a token."""
_COLUMNS = "id, host, url, headers, rule, created_at, born, attempts, state, holder, lease_until, lease, is_held"
_ROW = "(?, ?, ?, ?, ?, ?, ?, 0, 'leased', ?, ?, ?, ?)"
_UNLEASE = "holder = NULL, lease_until = NULL, lease = NULL, is_held = 0"


class Now(NamedTuple):
    """One moment, by both clocks, in seconds."""

    uptime: float
    wall: float


# a call's way in


def accept(db: sqlite3.Connection, now: Now, new: Sequence[Accept]) -> list[Leased | str]:
    """Stores the calls whose clicks nobody has answered yet; of the others, the answer that they had."""
    earlier = remember(db, now, [one.answer for one in new if one.answer])
    if earlier.count(None) == len(earlier):
        _insert(db, now, new)
        return [Leased(one.call, one.lease, 1, 0.0) for one in new]
    following = iter(earlier)
    texts = [next(following) if one.answer else None for one in new]
    _insert(db, now, [one for one, text in zip(new, texts, strict=True) if text is None])
    pairs = zip(new, texts, strict=True)
    return [Leased(one.call, one.lease, 1, 0.0) if text is None else text for one, text in pairs]


def _insert(db: sqlite3.Connection, now: Now, new: Sequence[Accept]) -> None:
    if not new:
        return
    uptime, wall = now
    values: list[str | float] = []
    for one in new:
        call, lease, hold_s = one.call, one.lease, one.hold_s
        values += (
            *(call.id, call.origin, call.origin + call.target, headers_text(call), call.rule, wall, uptime),
            *(holder_of(lease), uptime + hold_s + one.lease_s, lease, hold_s > 0),
        )
    rows = ", ".join([_ROW] * len(new))
    db.execute(f"INSERT INTO calls ({_COLUMNS}) VALUES {rows}", values)  # noqa: S608  marks
    retries = [(one.retry.key, now.uptime + one.retry.seconds, one.retry.text) for one in new if one.retry]
    if retries:
        db.executemany("INSERT OR REPLACE INTO answers (key, until, answer) VALUES (?, ?, ?)", retries)


def withdraw(db: sqlite3.Connection, _now: Now, operation: Withdraw) -> bool:
    """Deletes a call, and lets its answer say otherwise."""
    deleted = db.execute(
        f"DELETE FROM calls WHERE {_HELD_BY}",  # noqa: S608  a constant
        (operation.call_id, operation.lease, holder_of(operation.lease)),
    )
    if deleted.rowcount and (own := operation.answer):
        db.execute("UPDATE answers SET answer = ? WHERE key = ? AND answer = ?", (operation.text, own.key, own.text))
    return deleted.rowcount == 1


def amend(db: sqlite3.Connection, now: Now, operation: Amend) -> Leased | None:
    """Puts a call in the place of the held one, as long as it is its first holder's."""
    call, lease = operation.call, operation.lease
    row = db.execute(
        "UPDATE calls SET host = ?, url = ?, headers = ?, holder = ?, lease = ?, lease_until = ?, is_held = 0"
        " WHERE id = ? AND is_held = 1 AND state = 'leased' AND holder = substr(lease, 1, instr(lease, ':') - 1)"
        " RETURNING attempts, born, rule",
        (
            *(call.origin, call.url, headers_text(call), holder_of(lease), lease),
            *(now.uptime + operation.lease_s, call.id),
        ),
    ).fetchone()
    return Leased(call, lease, row[0] + 1, max(0.0, now.uptime - row[1])) if row else None


# a call's way on


def extend(db: sqlite3.Connection, now: Now, operation: Extend) -> bool:
    """Moves a lease's end, and ends a hold."""
    done = db.execute(
        f"UPDATE calls SET lease_until = ?, is_held = 0 WHERE {_HELD_BY}",  # noqa: S608  a constant
        (now.uptime + operation.lease_s, operation.call_id, operation.lease, holder_of(operation.lease)),
    )
    return done.rowcount == 1


def settle(db: sqlite3.Connection, now: Now, settled: Sequence[Settle]) -> list[bool]:
    """Writes verdicts, where the lease is still the caller's."""
    if all(isinstance(one.verdict, Delivered) for one in settled):
        return _deliver(db, settled)
    return [_settle(db, now, one) for one in settled]


def _settle(db: sqlite3.Connection, now: Now, operation: Settle) -> bool:
    change, values = _change(now, operation.verdict, operation.last)
    done = db.execute(
        f"{change} WHERE {_HELD_BY}", (*values, operation.call_id, operation.lease, holder_of(operation.lease))
    )
    return done.rowcount == 1


def _deliver(db: sqlite3.Connection, settled: Sequence[Settle]) -> list[bool]:
    """As `_settle` does, for calls that were all delivered."""
    ids, leases = [one.call_id for one in settled], [one.lease for one in settled]
    holders = list({holder_of(lease) for lease in leases})
    # A lease is one call's alone: so ids and leases need not stand in pairs, which would take no index.
    deleted = db.execute(
        f"DELETE FROM calls WHERE id IN ({_marks(ids)}) AND lease IN ({_marks(leases)})"  # noqa: S608  marks
        f" AND holder IN ({_marks(holders)}) AND state = 'leased' RETURNING id, lease",
        (*ids, *leases, *holders),
    ).fetchall()
    if len(deleted) == len(settled):
        return [True] * len(settled)
    pairs = set(deleted)
    results = []
    for one in settled:
        results.append((one.call_id, one.lease) in pairs)
        pairs.discard((one.call_id, one.lease))
    return results


def _change(now: Now, verdict: Verdict, last: str | None) -> tuple[str, tuple[float | str | None, ...]]:
    update = f"UPDATE calls SET {_UNLEASE}, attempts = attempts + ?, last = coalesce(?, last)"  # noqa: S608  a constant
    match verdict:
        case Delivered():
            return "DELETE FROM calls", ()
        case RetryIn(seconds, is_spent):
            return f"{update}, state = 'due', due_at = ?", (int(is_spent), last, now.uptime + seconds)
        case Dead(reason):
            return f"{update}, state = 'dead', dead_at = ?, reason = ?", (1, last, now.wall, reason)


def release(db: sqlite3.Connection, now: Now, operation: Release) -> int:
    """Makes due what a holder has leased."""
    done = db.execute(
        f"UPDATE calls SET state = 'due', due_at = ?, {_UNLEASE} WHERE state = 'leased' AND holder = ?",  # noqa: S608
        (now.uptime, operation.holder),
    )
    return done.rowcount


# answers


def remember(db: sqlite3.Connection, now: Now, answers: Sequence[Answer]) -> list[str | None]:
    """Stores answers; for each, the text of the one with its key that counts already. The first of two counts."""
    if not answers:
        return []
    values = [value for key, text, seconds in answers for value in (key, now.uptime + seconds, text)]
    insert = f"INSERT INTO answers (key, until, answer) VALUES {', '.join(['(?, ?, ?)'] * len(answers))}"  # noqa: S608
    try:
        db.execute(insert, values)
    except sqlite3.IntegrityError:  # nothing of it happened: one of them is there, or was
        return _remember_new(db, now, answers, insert, values)
    return [None] * len(answers)


def _remember_new(
    db: sqlite3.Connection, now: Now, answers: Sequence[Answer], insert: str, values: list[bytes | float | str]
) -> list[str | None]:
    rows = db.execute(
        f"{insert} ON CONFLICT (key) DO UPDATE SET until = excluded.until, answer = excluded.answer"
        " WHERE until <= ? RETURNING key",
        [*values, now.uptime],
    )
    new = {key for (key,) in rows}
    earlier: list[str | None] = []
    for answer in answers:
        earlier.append(None if answer.key in new else recall(db, now, answer.key))
        new.discard(answer.key)
    return earlier


def recall(db: sqlite3.Connection, now: Now, key: bytes) -> str | None:
    """An answer's text, while it counts."""
    row = db.execute("SELECT answer FROM answers WHERE key = ? AND until > ?", (key, now.uptime)).fetchone()
    return str(row[0]) if row else None


def forget(db: sqlite3.Connection, _now: Now, operation: Forget) -> bool:
    """Deletes an answer."""
    deleted = db.execute("DELETE FROM answers WHERE key = ? AND answer = ?", (operation.key, operation.text))
    return deleted.rowcount == 1


def holder_of(lease: str) -> str:
    """The process that a lease was given to."""
    return lease.partition(":")[0]


def headers_text(call: S2SCall) -> str:
    """Headers as they are stored: as json.dumps writes them, in a quarter of its time."""
    pairs = [f"[{_quoted(name)}, {_quoted(value)}]" for name, value in call.headers]
    return f"[{', '.join(pairs)}]"


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
