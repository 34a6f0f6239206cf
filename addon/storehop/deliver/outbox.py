"""The outbox: accepted calls until they are delivered or dead, whatever engine keeps them (design §6.1).

A call is accepted within the engine's patience, or nobody ever sees it. Methods run on the event loop; behind them
one thread hands operations to the engine in batches, so that calls share a commit.

A verdict that can't be written now stays in the thread's mind until it can: its call is never handed out again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from storehop.deliver import operations as op
from storehop.deliver.batcher import Batcher
from storehop.deliver.claim import Claim, Which
from storehop.deliver.clock import uptime
from storehop.deliver.engine import Engine
from storehop.deliver.patience import Patience, Pause
from storehop.deliver.tickets import Listener, OutboxError, Ticket, Waiter
from storehop.model import S2SCall, Verdict

logger = logging.getLogger(__name__)

SETTLE_PAUSE_S = 0.01
"""How long a verdict waits for others to share a commit: of a delivered call, which a crash would send again."""
END_PATIENCE_S = 5.0
"""How long the end waits for an engine that hangs."""


class TooSlowError(OutboxError):
    """It was not stored in time, and never will be."""


class Outbox:
    """`holder`, without a colon, names this process in its leases. Must be made on a running event loop.

    Methods raise OutboxError: then nothing of it is stored.
    """

    def __init__(self, engine: Engine, holder: str) -> None:
        self.kind, self.where = engine.kind, engine.where
        self._engine, self.patience_s = engine, engine.patience_s
        self._holder, self._leases = holder, itertools.count()
        self._loop = asyncio.get_running_loop()
        self._batcher = Batcher(engine)
        self._patience = Patience(self._refuse)
        self._pause = Pause(SETTLE_PAUSE_S, self._flush)
        self._verdicts: list[Ticket] = []
        self._is_closed = False
        self.accepting: set[asyncio.Future[Any]] = set()
        """Clicks that are being stored: each goes when whoever stores it has heard what became of it."""

    @property
    def fault(self) -> str | None:
        """Why clicks can't be stored, or None."""
        return self._batcher.fault

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know while it works; see `Engine.remarks`."""
        return self._engine.remarks

    async def check(self) -> None:
        """Finds out whether the engine takes clicks again; only this ends a fault."""
        try:
            await self._ask(op.Probe())
        except OutboxError as error:
            logger.debug("the outbox is still unusable: %s", error)

    async def close(self) -> None:
        """Stores what waits and lets the engine go; one that hangs is left behind."""
        self._flush()
        self._is_closed = True
        if self.accepting:  # what a click leaves behind that is cancelled now must still be withdrawn
            await asyncio.wait(self.accepting, timeout=END_PATIENCE_S)
        self._batcher.end()
        try:
            await asyncio.wait_for(self._batcher.ended.wait(), END_PATIENCE_S)
        except TimeoutError:
            logger.warning("the outbox %s hangs: what waits for it is not written", self.where)

    # a call's way

    async def accept(
        self,
        call: S2SCall,
        lease_s: float,
        *,
        answer: op.Answer | None = None,
        retry: op.Answer | None = None,
        hold_s: float = 0.0,
    ) -> Claim | str:
        """Stores a call, or gives the text of the answer that the same click has had (see `operations.Accept`).

        Raises OutboxError within the engine's patience: then nobody ever sees the call.
        """
        if self._batcher.fault:
            raise OutboxError(self._batcher.fault)  # nothing may queue up before an engine that hangs
        now = uptime()
        future: asyncio.Future[op.Leased | str] = self._loop.create_future()
        ticket = self._put(
            op.Accept(call, f"{self._holder}:{next(self._leases)}", lease_s, answer, retry, hold_s),
            future,
            is_urgent=True,
        )
        self.accepting.add(future)
        try:
            result = await future
        except asyncio.CancelledError:
            self._batcher.withdraw(ticket)
            raise
        finally:
            self.accepting.discard(future)
        return result if isinstance(result, str) else Claim.of(result, now, hold_s + lease_s)

    async def amend(self, call: S2SCall, lease_s: float) -> Claim | None:
        """Puts a call in the place of the held one of the same id, of whatever process. None: it is held no more."""
        now = uptime()
        leased = await self._ask(op.Amend(call, f"{self._holder}:{next(self._leases)}", lease_s))
        return Claim.of(leased, now, lease_s) if leased else None

    async def claim(self, most: int, lease_s: float, **which: Unpack[Which]) -> list[Claim]:
        """Leases up to `most` due calls, newest first."""
        if not self._batcher.hands_out:
            return []
        now = uptime()
        leased = await self._ask(op.ClaimDue(most, f"{self._holder}:{next(self._leases)}", lease_s, **which))
        return [Claim.of(one, now, lease_s) for one in leased]

    async def extend(self, claim: Claim, lease_s: float) -> Claim | None:
        """The claim with a lease that ends `lease_s` from now; None where the call is another's, or gone."""
        now = uptime()
        is_ours = await self._ask(op.Extend(claim.call.id, claim.lease, lease_s))
        return claim._replace(until=now + lease_s) if is_ours else None

    async def settle(self, claim: Claim, verdict: Verdict, last: str | None) -> bool:
        """Stores what became of an attempt. False: the lease was lost, and whoever has it now decides.

        A fault of the engine is none of the caller's: the verdict is written when it is over.
        """
        future: asyncio.Future[bool] = self._loop.create_future()
        self._settle(claim, verdict, last, future)
        return await future

    def settle_soon(self, claim: Claim, verdict: Verdict, last: str | None, hear: Callable[[bool], None]) -> None:
        """As `settle`; whether the lease was the caller's, `hear` is told when it is stored."""
        self._settle(claim, verdict, last, Listener(hear))

    def _settle(self, claim: Claim, verdict: Verdict, last: str | None, waiter: Waiter) -> None:
        if self._is_closed:
            raise OutboxError("closed")
        if not self._verdicts:
            self._pause.begin()
        self._verdicts.append(Ticket(op.Settle(claim.call.id, claim.lease, verdict, last), waiter))

    # answers

    async def remember(self, answer: op.Answer) -> str | None:
        """Stores an answer; or the text of the one that its key has already."""
        return await self._ask_in_time(op.Remember(answer))

    async def recall(self, key: bytes) -> str | None:
        """The text of the answer with this key, while it counts."""
        return await self._ask_in_time(op.Recall(key))

    async def forget(self, key: bytes, text: str) -> bool:
        """Takes an answer away. False: another process was first."""
        return await self._ask_in_time(op.Forget(key, text))

    # marks

    async def mark(self, name: str, text: str) -> None:
        """Stores a small text without an end, in the place of the one of that name."""
        await self._ask(op.Mark(name, text))

    async def unmark(self, name: str) -> bool:
        """Takes a mark away. False: there was none."""
        return await self._ask(op.Unmark(name))

    async def marks(self) -> Mapping[str, str]:
        """All marks, by name. Alone it costs no commit and waits for no replica."""
        return await self._ask(op.Marks())

    # health, and people

    async def sweep(self, max_age_s: float) -> op.Swept:
        """Makes room, gives up what is too old, and says how the outbox stands.

        It gives up as many calls as a batch may hold: clicks, of all hosts, wait meanwhile.
        """
        return await self._ask(op.Sweep(max_age_s, self._engine.most))

    async def release(self, holder: str) -> int:
        """Makes due what a process that has ended had leased. Returns how many calls that were."""
        return await self._ask(op.Release(holder))

    async def stored(self, *, dead: bool | None = None, call_id: str = "") -> list[op.StoredCall]:
        """Stored calls, newest first; only the dead, only the pending, or all."""
        return await self._ask(op.ListCalls(dead, call_id))

    async def revive(self, call_ids: Sequence[str]) -> int:
        """Makes dead calls due now, as young as new ones. Returns how many of them were dead."""
        return await self._ask(op.Revive(tuple(call_ids)))

    async def purge(self, call_ids: Sequence[str]) -> int:
        """Deletes dead calls. Returns how many of them were dead."""
        return await self._ask(op.Purge(tuple(call_ids)))

    # tickets

    async def _ask[Result](self, operation: op.Operation[Result]) -> Result:
        future: asyncio.Future[Result] = self._loop.create_future()
        self._put(operation, future)
        return await future

    async def _ask_in_time[Result](self, operation: op.Operation[Result]) -> Result:
        """As `_ask`, where a user waits: nothing may queue up before an engine that hangs."""
        if self._batcher.fault:
            raise OutboxError(self._batcher.fault)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._put(operation, future, is_urgent=True)
        return await future

    def _put(self, operation: op.Operation[Any], waiter: Waiter, *, is_urgent: bool = False) -> Ticket:
        """Hands an operation to the thread, behind the verdicts so far. An urgent one fails after the patience."""
        if self._is_closed:
            raise OutboxError("closed")
        ticket = Ticket(operation, waiter)
        self._verdicts.append(ticket)
        self._flush()
        if is_urgent:
            self._patience.add(ticket, self.patience_s)
        return ticket

    def _flush(self) -> None:
        if self._verdicts:
            self._batcher.put(self._verdicts)
            self._verdicts = []

    def _refuse(self, ticket: Ticket) -> None:
        if self._batcher.abandon(ticket):
            slow = f"it takes longer than {self.patience_s:g} s to store a click"
            self._batcher.set_fault(slow)
            ticket.waiter.set_exception(TooSlowError(slow))
