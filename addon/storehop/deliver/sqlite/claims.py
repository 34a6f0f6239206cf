"""Who may send what is due: claims, newest first, and recovery's one budget for all processes."""

from __future__ import annotations

import json
import sqlite3

from storehop.deliver.operations import ClaimDue, Leased
from storehop.deliver.sqlite.statements import Now, holder_of
from storehop.model import S2SCall

BUDGET_S = 0.2
"""Time whose share of a rate may be claimed at once."""

_IS_DUE = "((state = 'due' AND due_at <= :due) OR (state = 'leased' AND lease_until <= :due))"
_BY_ID = f"SELECT id FROM calls WHERE id IN (SELECT value FROM json_each(:ids)) AND {_IS_DUE}"  # noqa: S608
# From the newest on, as far as it takes: sorting all that is due would hold up new clicks.
_NEWEST = f"SELECT id FROM calls INDEXED BY calls_alive WHERE state <> 'dead' AND {_IS_DUE}"  # noqa: S608
_TO = (
    " AND (:only = '' OR host = :only) AND host NOT IN (SELECT value FROM json_each(:but))"
    " ORDER BY born DESC LIMIT :most"
)


def claim(db: sqlite3.Connection, now: Now, operation: ClaimDue) -> list[Leased]:
    """Leases calls that are due."""
    budget = _budget(db, now, operation.rate) if operation.rate else float(operation.most)
    values = {
        "due": now.uptime - operation.overdue_s,
        "ids": json.dumps(operation.ids),
        "only": operation.only,
        "but": json.dumps(operation.but),
        "most": min(operation.most, int(budget)),
    }
    rows = db.execute((_NEWEST if operation.ids is None else _BY_ID) + _TO, values).fetchall()
    leased = [_lease(db, now, operation, call_id, place) for place, (call_id,) in enumerate(rows)]
    if operation.rate and leased:
        db.execute("UPDATE machine SET budget = ?, budget_at = ?", (budget - len(leased), now.uptime))
    return leased


def _budget(db: sqlite3.Connection, now: Now, rate: float) -> float:
    """Calls that may be claimed now: a bucket that fills at `rate`, and holds no more than BUDGET_S of it."""
    budget, at = db.execute("SELECT budget, budget_at FROM machine").fetchone()
    return float(min(max(1.0, rate * BUDGET_S), budget + rate * max(0.0, now.uptime - at)))


def _lease(db: sqlite3.Connection, now: Now, operation: ClaimDue, call_id: str, place: int) -> Leased:
    lease = f"{operation.lease}.{place}"
    row = db.execute(
        "UPDATE calls SET state = 'leased', due_at = NULL, holder = ?, lease = ?, lease_until = ?, is_held = 0"
        " WHERE id = ? RETURNING id, host, url, headers, rule, attempts, born",
        (holder_of(lease), lease, now.uptime + operation.lease_s, call_id),
    ).fetchone()
    call_id, origin, url, headers, rule, attempts, born = row
    pairs = tuple((name, value) for name, value in json.loads(headers))
    call = S2SCall(call_id, origin, url.removeprefix(origin), pairs, rule)
    return Leased(call, lease, attempts + 1, max(0.0, now.uptime - born))
