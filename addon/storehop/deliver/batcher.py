"""The outbox's thread: hands operations to the engine in batches, keeps its health, forgets no verdict.

While one batch is under way the next operations collect: a batch is as long as the engine is slow. While clicks come
densely it lasts COLLECT_S at the least; what comes alone waits so long at the most, right behind such a batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue

from storehop.deliver.clock import uptime
from storehop.deliver.debts import Debts, withdrawal, withdrawal_of
from storehop.deliver.engine import Engine, EngineError, FullError, UnknownError
from storehop.deliver.operations import Accept, Amend, ClaimDue, Probe, Settle, Sweep, Withdraw
from storehop.deliver.tickets import OutboxError, Ticket, batches, hand_over

logger = logging.getLogger(__name__)

AGAIN_S = 0.25
"""Between two attempts to write what a fault held up."""

COLLECT_S = 0.003
"""Between the begins of two batches while clicks come densely: more of them share a commit."""
DENSE = 3
"""Steps that came one by one and ran together, from which on more are expected soon."""
CALM_S = 1.0
"""After a fault: time in which nothing is claimed, so that holders write the verdicts that the fault held up."""
LAST_PAY_S = 2.0
"""How long the end waits until what is owed can be written."""

_LEASING = frozenset({Amend, ClaimDue})
"""Operations that hand calls out."""


class Batcher:
    """Runs tickets in the order in which they are put in. Must be made on a running event loop."""

    def __init__(self, engine: Engine) -> None:
        self.fault: str | None = None
        self._fault_since = 0.0
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._engine = engine
        self._queue: SimpleQueue[Sequence[Ticket] | None] = SimpleQueue()
        self.put = self._queue.put
        self._lock = threading.Lock()
        self._debts = Debts(engine)
        self._is_stuck, self._calm_until = False, 0.0
        self._begun, self._is_dense = 0.0, False
        self._thread = threading.Thread(target=self._work, name="storehop outbox", daemon=True)
        self._thread.start()

    # called on the loop

    def end(self) -> None:
        """Runs what is put in, then lets the engine go and sets `ended`."""
        self._queue.put(None)

    def abandon(self, ticket: Ticket) -> bool:
        """Nobody waits for it any more: what it stores is withdrawn. False: it is stored, and its result comes."""
        with self._lock:
            ticket.is_abandoned = not ticket.is_kept
            return ticket.is_abandoned

    def withdraw(self, ticket: Ticket) -> None:
        """As `abandon`, also where it is stored already."""
        if not self.abandon(ticket) and (debt := withdrawal(ticket.operation, ticket.result)):
            self.put([Ticket(debt, self._loop.create_future())])

    @property
    def hands_out(self) -> bool:
        """Whether calls may be claimed: where only clicks are refused, what is stored goes on."""
        return not self._is_stuck and time.monotonic() >= self._calm_until

    def set_fault(self, fault: str | None) -> None:
        """Called by the thread and on the loop, often in the same moment: what fails was slow, too."""
        with self._lock:
            before, self.fault = self.fault, fault
            if fault and not before:
                self._fault_since = uptime()
        if fault and not before:
            # A warning: mitmproxy ends by an error that is logged while it starts, and passing clicks is better.
            logger.warning("the outbox %s can't be used, clicks pass: %s", self._engine.where, fault)
        elif before and not fault:
            lasted_s = uptime() - self._fault_since
            logger.warning("the outbox %s works again after %.1f s", self._engine.where, lasted_s)

    # in the thread

    def _work(self) -> None:
        is_ending = False
        while not is_ending:
            tickets, is_ending = self._collect()
            for batch in batches(tickets, self._engine.most) or [tickets]:
                self._guarded(batch)
        try:
            self._pay_all()
            self._engine.close()
        except EngineError as error:
            logger.warning("the outbox %s can't be closed: %s", self._engine.where, error)
        finally:
            self._tell(self.ended.set)

    def _pay_all(self) -> None:
        """Writes all that is owed, or says how much is left after LAST_PAY_S."""
        end = time.monotonic() + LAST_PAY_S
        while self._debts:
            try:
                self._debts.pay()
            except EngineError as error:
                if time.monotonic() >= end:
                    unwritten = len(self._debts)
                    logger.warning(
                        "the outbox %s keeps %d verdicts unwritten: %s", self._engine.where, unwritten, error
                    )
                    return
                time.sleep(AGAIN_S)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended: this thread was left behind
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _collect(self) -> tuple[list[Ticket], bool]:
        """What is in the queue, at least something; and whether it is the last."""
        if self._is_dense and (early_s := self._begun + COLLECT_S - time.monotonic()) > 0:
            time.sleep(early_s)
        puts: list[Sequence[Ticket] | None] = []
        try:
            puts.append(self._queue.get(timeout=AGAIN_S if self._debts else None))
            while len(puts) < self._engine.most:
                puts.append(self._queue.get_nowait())
        except Empty:
            pass
        self._begun, self._is_dense = time.monotonic(), len(puts) >= DENSE
        return [ticket for tickets in puts if tickets for ticket in tickets], None in puts

    def _guarded(self, batch: list[Ticket]) -> None:
        """The thread's last guard: whatever goes wrong, it goes on, and somebody says so."""
        try:
            self._run(batch)
        except Exception as error:
            if not isinstance(error, EngineError):
                logger.exception("the outbox failed in our own code")
            self._meet(error)
            self._fail([ticket for ticket in batch if not ticket.is_kept], error)
        if self._engine.refusal:  # nobody has to lose a click to find out
            self.set_fault(self._engine.refusal)
        self._tell(hand_over, batch)

    def _run(self, batch: list[Ticket]) -> None:
        if self._debts:
            is_sweep = any(isinstance(ticket.operation, Sweep) for ticket in batch)
            with suppress(EngineError) if is_sweep else nullcontext():  # a Sweep makes the room that may be lacking
                self._debts.pay()
        live = [ticket for ticket in batch if not ticket.is_abandoned]
        if live:
            is_revocable = Accept in [type(ticket.operation) for ticket in live]
            with self._engine.exclusive() if is_revocable else nullcontext():
                self._store(live)
                with self._lock:
                    for ticket in live:
                        ticket.is_kept = not ticket.is_abandoned
                if late := [ticket for ticket in live if not ticket.is_kept]:
                    self._withdraw_abandoned(late)

    def _store(self, live: list[Ticket]) -> None:
        """All in one; where one is at fault by our own mistake, each alone, so that it harms no other."""
        operations = [ticket.operation for ticket in live]
        try:
            results = self._engine.run(operations)
        except EngineError as error:
            self._meet(error)
            self._fail(live, error)
            if isinstance(error, FullError):
                self._recover_from_fault(live)
        except Exception as error:  # noqa: BLE001  handed to whoever waits
            if len(live) == 1:
                self._fail(live, error)
                return
            for ticket in live:
                self._store([ticket])
        else:
            self._recover_from_fault(live)
            kinds = set(map(type, operations))
            if Probe in kinds:
                self.set_fault(None)  # here: the loop might hear of it after the next fault
            if self._debts and kinds & _LEASING:
                results = [
                    self._debts.without(result) if type(operation) in _LEASING else result
                    for operation, result in zip(operations, results, strict=True)
                ]
            for ticket, result in zip(live, results, strict=True):
                ticket.result = result

    def _withdraw_abandoned(self, late: list[Ticket]) -> None:
        """Takes back what was stored when nobody waited for it any more."""
        debts = [debt for ticket in late if (debt := withdrawal(ticket.operation, ticket.result))]
        if debts:
            for debt in debts:
                self._debts.add(debt)
            try:
                self._debts.pay()
            except EngineError as error:  # what is kept is stored: nothing may look as if it were not
                self._meet(error)

    def _meet(self, error: Exception) -> None:
        """Clicks pass; and nothing is claimed, if more than clicks is refused."""
        self._is_stuck = self._is_stuck or not isinstance(error, FullError)
        self.set_fault(str(error) if isinstance(error, EngineError) else f"a fault of our own: {error!r}")

    def _recover_from_fault(self, tried: list[Ticket]) -> None:
        """After a Probe, which writes, claims may begin in a while. A Sweep may have nothing to write."""
        if self._is_stuck and not self._debts and any(isinstance(one.operation, Probe) for one in tried):
            self._calm_until, self._is_stuck = time.monotonic() + CALM_S, False

    def _fail(self, tickets: Sequence[Ticket], error: Exception) -> None:
        """Nothing of them is stored, or nobody knows: verdicts stay in mind, clicks are withdrawn, the others fail."""
        is_open = isinstance(error, UnknownError)
        for ticket in tickets:
            if is_open and isinstance(ticket.operation, Accept):
                self._debts.add(withdrawal_of(ticket.operation), may_be_written=True)
            if isinstance(ticket.operation, Settle | Withdraw):
                self._debts.add(ticket.operation, may_be_written=is_open)
                ticket.result = True
            else:
                ticket.error = OutboxError(str(error)) if isinstance(error, EngineError) else error
