"""What a fault held up: verdicts and withdrawals, owed until they are written.

Without them a call would be sent that has been, or whose click passed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from storehop.deliver.engine import Engine, EngineError, NoRoomError
from storehop.deliver.operations import Accept, Leased, Operation, Settle, Withdraw
from storehop.model import Delivered, Reason

logger = logging.getLogger(__name__)

type Debt = Settle | Withdraw


class Debts:
    """Belongs to the outbox's thread. Counts what is owed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._owed: dict[str, Debt] = {}
        self._may_be_written: set[str] = set()
        """Of these: no answer came."""

    def __len__(self) -> int:
        return len(self._owed)

    def add(self, debt: Debt, *, may_be_written: bool = False) -> None:
        """Keeps it in mind."""
        self._owed[debt.call_id] = debt
        if may_be_written:
            self._may_be_written.add(debt.call_id)

    def pay(self) -> None:
        """Writes a batch of what deletes a call, then one of the rest, which may need the room. Raises EngineError."""
        deleting = [debt for debt in self._owed.values() if _deletes(debt)]
        rest = [debt for debt in self._owed.values() if not _deletes(debt)]
        for part in (deleting[: self._engine.most], rest[: self._engine.most]):
            if part:
                self._write(part)

    def _write(self, debts: Sequence[Debt]) -> None:
        """All in one. Where there is too little room for that, in halves: a claim of these calls by another process
        needs less. Where one is at fault by our own mistake, each alone, so that it harms no other.
        """
        try:
            results = self._engine.run(debts)
        except NoRoomError:
            if len(debts) == 1:
                raise
            half = len(debts) // 2
            self._write(debts[:half])
            self._write(debts[half:])
            return
        except EngineError:
            raise
        except Exception:
            if len(debts) > 1:
                for debt in debts:
                    self._write([debt])
                return
            logger.exception("a verdict can't be written by our own fault: its call may be sent again")
            results = [True]  # it must not stop the outbox for good
        for debt, is_ours in zip(debts, results, strict=True):
            del self._owed[debt.call_id]
            was_open = debt.call_id in self._may_be_written
            self._may_be_written.discard(debt.call_id)
            if not is_ours and isinstance(debt, Settle) and not was_open:
                logger.warning(
                    "the lease of click=%s was lost during a fault: whoever has it now decides", debt.call_id
                )

    def without(self, result: Any) -> Any:
        """What was leased, without calls whose verdict is not written yet: it is written by the new lease."""
        if isinstance(result, list):
            return [leased for leased in result if not self._owes(leased)]
        return None if result is None or self._owes(result) else result

    def _owes(self, leased: Leased) -> bool:
        debt = self._owed.get(leased.call.id)
        if debt:
            self._owed[leased.call.id] = replace(debt, lease=leased.lease)
        return debt is not None


def withdrawal(operation: Operation[Any], result: Any) -> Withdraw | None:
    """What takes back a stored call whose click passes."""
    if not isinstance(operation, Accept) or not isinstance(result, tuple):
        return None
    return withdrawal_of(operation)


def withdrawal_of(accepted: Accept) -> Withdraw:
    """What takes back a call that was to be accepted."""
    return Withdraw(accepted.call.id, accepted.lease, accepted.answer, Reason.OUTBOX_DOWN)


def _deletes(debt: Debt) -> bool:
    return isinstance(debt, Withdraw) or isinstance(debt.verdict, Delivered)
