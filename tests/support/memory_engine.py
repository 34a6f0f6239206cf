"""A plain engine in memory: the protocol's reference, and the proof that the conformance suite is nobody's own.

Slow and obvious. Processes are clients of one `MemoryOutbox`; what a batch did is undone where one of it fails.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import Dead, DeadReason, Delivered, RetryIn
from tests.support.memory_outbox import MemoryOutbox, StoredCall


class MemoryEngine:
    """One client."""

    kind = where = "memory"
    most = 500
    patience_s = 1.0
    remarks: tuple[str, ...] = ()
    refusal = None

    def __init__(self, outbox: MemoryOutbox) -> None:
        self.outbox = outbox

    @contextmanager
    def exclusive(self):
        self._check_writer()
        self.outbox.writer = self
        try:
            yield
        finally:
            self.outbox.writer = None

    def close(self):
        """Nothing is open."""

    def run(self, batch):
        with self._alone():
            self._check_writer()
            self.now, self.wall = self.outbox.clock.up, self.outbox.clock.unix
            if any(isinstance(one, op.Sweep) for one in batch):
                self._make_room()
            return self._all_or_nothing(batch)

    def _alone(self):
        return self.outbox.lock

    def _all_or_nothing(self, batch):
        outbox = self.outbox
        before = deepcopy((outbox.calls, outbox.answers, outbox.marks, outbox.budget))
        try:
            results = [getattr(self, f"_{type(one).__name__.lower()}")(one) for one in batch]
            self._check_fault()
        except BaseException:
            outbox.calls, outbox.answers, outbox.marks, outbox.budget = before
            raise
        return results

    def _check_fault(self) -> None:
        if self.outbox.fault:
            raise EngineError(self.outbox.fault)

    def _check_writer(self) -> None:
        if self.outbox.writer not in {None, self}:
            raise EngineError("another process writes")

    # a call's way in

    def _accept(self, one: op.Accept) -> op.Leased | str:
        if one.answer and (earlier := self._remember(op.Remember(one.answer))):
            return earlier
        self._check_room()
        until = self.now + one.hold_s + one.lease_s
        row = StoredCall(one.call, self.wall, self.now, "leased", one.lease, until, one.hold_s > 0)
        assert one.call.id not in self.outbox.calls
        self.outbox.calls[one.call.id] = row
        if one.retry:
            self.outbox.answers[one.retry.key] = one.retry.text, self.now + one.retry.seconds
        return op.Leased(one.call, one.lease, 1, 0.0)

    def _check_room(self) -> None:
        if self.outbox.capacity is not None and len(self.outbox.calls) >= self.outbox.capacity:
            raise EngineError("it is full")

    def _withdraw(self, one: op.Withdraw) -> bool:
        if not self._holds(one):
            return False
        del self.outbox.calls[one.call_id]
        own = one.answer
        text, until = self.outbox.answers.get(own.key, (None, 0.0)) if own else (None, 0.0)
        if own and own.text == text:  # else it counts no more: this is another click's
            self.outbox.answers[own.key] = one.text, until
        return True

    def _amend(self, one: op.Amend) -> op.Leased | None:
        row = self.outbox.calls.get(one.call.id)
        if row is None or not row.is_held:
            return None
        row.call = one.call
        return self._lease(row, one.lease, one.lease_s)

    # a call's way on

    def _claimdue(self, one: op.ClaimDue) -> list[op.Leased]:
        most = min(one.most, int(self._budget(one.rate))) if one.rate else one.most
        due = [row for row in self.outbox.calls.values() if self._is_due(row, one)]
        newest = sorted(due, key=lambda row: row.born, reverse=True)[:most]
        if one.rate and newest:
            self.outbox.budget = self._budget(one.rate) - len(newest), self.now
        return [self._lease(row, f"{one.lease}.{place}", one.lease_s) for place, row in enumerate(newest)]

    def _budget(self, rate: float) -> float:
        calls, at = self.outbox.budget
        return min(max(1.0, rate * 0.2), calls + rate * (self.now - at))

    def _is_due(self, row: StoredCall, one: op.ClaimDue) -> bool:
        is_time = row.state != "dead" and row.until <= self.now - one.overdue_s
        is_wanted = one.ids is None or row.call.id in one.ids
        return is_time and is_wanted and one.only in {"", row.call.origin} and row.call.origin not in one.but

    def _lease(self, row: StoredCall, lease: str, lease_s: float) -> op.Leased:
        row.state, row.lease, row.until, row.is_held = "leased", lease, self.now + lease_s, False
        return op.Leased(row.call, lease, row.attempts + 1, self.now - row.born)

    def _holds(self, one: Any) -> bool:
        row = self.outbox.calls.get(one.call_id)
        return row is not None and row.state == "leased" and row.lease == one.lease

    def _extend(self, one: op.Extend) -> bool:
        if not self._holds(one):
            return False
        row = self.outbox.calls[one.call_id]
        row.until, row.is_held = self.now + one.lease_s, False
        return True

    def _settle(self, one: op.Settle) -> bool:
        if not self._holds(one):
            return False
        row = self.outbox.calls[one.call_id]
        row.lease, row.is_held, row.last = None, False, one.last or row.last
        match one.verdict:
            case Delivered():
                del self.outbox.calls[one.call_id]
            case RetryIn(seconds, is_spent):
                row.state, row.until, row.attempts = "due", self.now + seconds, row.attempts + is_spent
            case Dead(reason):
                row.state, row.reason, row.attempts = "dead", str(reason), row.attempts + 1
        return True

    # answers and marks

    def _remember(self, one: op.Remember) -> str | None:
        if (earlier := self._recall(op.Recall(one.answer.key))) is not None:
            return earlier
        self.outbox.answers[one.answer.key] = one.answer.text, self.now + one.answer.seconds
        return None

    def _recall(self, one: op.Recall) -> str | None:
        text, until = self.outbox.answers.get(one.key, (None, 0.0))
        return text if until > self.now else None

    def _forget(self, one: op.Forget) -> bool:
        return self.outbox.answers.get(one.key, ("", 0.0))[0] == one.text and bool(self.outbox.answers.pop(one.key))

    def _mark(self, one: op.Mark) -> None:
        self.outbox.marks[one.name] = one.text

    def _unmark(self, one: op.Unmark) -> bool:
        return self.outbox.marks.pop(one.name, None) is not None

    def _marks(self, _one: op.Marks) -> dict[str, str]:
        return dict(self.outbox.marks)

    # health and people

    def _make_room(self) -> None:
        self.outbox.answers = {key: one for key, one in self.outbox.answers.items() if one[1] > self.now}
        dead = [name for name, row in self.outbox.calls.items() if row.state == "dead"]
        self._dropped = dead[: max(0, len(dead) - (self.outbox.capacity or len(dead) * 2) // 2)]
        for name in self._dropped:
            del self.outbox.calls[name]

    def _sweep(self, one: op.Sweep) -> op.Swept:
        pending = [row for row in self.outbox.calls.values() if row.state != "dead"]
        old = [row for row in pending if row.until <= self.now or row.state == "due"]
        old = sorted((row for row in old if self.now - row.born >= one.max_age_s), key=lambda row: row.born)[: one.most]
        for row in old:
            row.state, row.lease, row.is_held, row.reason = "dead", None, False, str(DeadReason.TOO_OLD)
        pending = [row for row in pending if row.state != "dead"]
        due = sum(row.until <= self.now for row in pending)
        oldest_s = max((self.now - row.born for row in pending), default=None)
        dead = len(self.outbox.calls) - len(pending)
        ids = tuple(row.call.id for row in old)
        return op.Swept(ids, len(self._dropped), len(pending), due, dead, oldest_s)

    def _probe(self, _one: op.Probe) -> None:
        self._check_room()

    def _release(self, one: op.Release) -> int:
        rows = [row for row in self.outbox.calls.values() if (row.lease or "").startswith(f"{one.holder}:")]
        for row in rows:
            row.state, row.lease, row.until, row.is_held = "due", None, self.now, False
        return len(rows)

    def _listcalls(self, one: op.ListCalls) -> list[op.StoredCall]:
        rows = [row for row in reversed(self.outbox.calls.values()) if one.call_id in {"", row.call.id}]
        return [
            op.StoredCall(
                *(row.call.id, row.call.rule, row.call.url, row.state, max(0.0, self.wall - row.created_at)),
                *(row.attempts, row.last, row.reason),
            )
            for row in sorted(rows, key=lambda row: -row.created_at)
            if one.dead in {None, row.state == "dead"}
        ]

    def _dead(self, call_ids: tuple[str, ...]) -> list[str]:
        return [
            name
            for name in dict.fromkeys(call_ids)
            if name in self.outbox.calls and self.outbox.calls[name].state == "dead"
        ]

    def _revive(self, one: op.Revive) -> int:
        for name in (names := self._dead(one.call_ids)):
            row = self.outbox.calls[name]
            row.state, row.until, row.born, row.reason, row.attempts = "due", self.now, self.now, None, 0
        return len(names)

    def _purge(self, one: op.Purge) -> int:
        for name in (names := self._dead(one.call_ids)):
            del self.outbox.calls[name]
        return len(names)
