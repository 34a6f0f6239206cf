"""A batch of operations, run in its order: neighbours of one kind go together, as far as one statement takes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from storehop.deliver import operations as op
from storehop.deliver.sqlite import claims, statements, upkeep
from storehop.deliver.sqlite.statements import Now

READS = frozenset({op.ListCalls, op.Marks, op.Recall})
"""Operations that change nothing."""

type _Run = Callable[[sqlite3.Connection, Now, Sequence[Any]], Sequence[Any]]
"""Runs operations of one kind; gives their results."""


def run_all(db: sqlite3.Connection, now: Now, batch: Sequence[op.Operation[Any]]) -> list[Any]:
    """The results of a batch, inside a transaction that the caller opens."""
    results: list[Any] = []
    for kind, neighbours in groupby(batch, type):
        results += _RUN[kind](db, now, list(neighbours))
    return results


def _each(step: Callable[[sqlite3.Connection, Now, Any], Any]) -> _Run:
    """Operations that take a statement each."""
    return lambda db, now, operations: [step(db, now, one) for one in operations]


_RUN: dict[type[op.Operation[Any]], _Run] = {
    op.Accept: statements.accept,
    op.Withdraw: _each(statements.withdraw),
    op.Amend: _each(statements.amend),
    op.ClaimDue: _each(claims.claim),
    op.Extend: _each(statements.extend),
    op.Settle: statements.settle,
    op.Remember: lambda db, now, operations: statements.remember(db, now, [one.answer for one in operations]),
    op.Recall: _each(lambda db, now, one: statements.recall(db, now, one.key)),
    op.Forget: _each(statements.forget),
    op.Probe: _each(upkeep.probe),
    op.Release: _each(statements.release),
    op.Mark: _each(upkeep.mark),
    op.Unmark: _each(upkeep.unmark),
    op.Marks: _each(upkeep.marks),
    op.ListCalls: _each(upkeep.stored),
    op.Revive: _each(upkeep.revive),
    op.Purge: _each(upkeep.purge),
}
"""The closed list, a Sweep apart, which has transactions of its own."""
