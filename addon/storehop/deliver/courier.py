"""The courier: takes a decided click's call, stores it, sends it at once, and again until it is delivered or dead.

A call is safe when `accept` returns. Its first attempt starts in the same moment, beside the answer and never before
it; one task follows it from there through every attempt. What a task does not follow (after a crash, another process's
end, or while its origin's breaker was open) recovery sends, newest first and paced.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress

from storehop.deliver.attempts import PUT_OFF, Attempts, Watcher
from storehop.deliver.breakers import Breakers
from storehop.deliver.claim import Claim
from storehop.deliver.clock import uptime
from storehop.deliver.operations import Answer
from storehop.deliver.outbox import Outbox
from storehop.deliver.policy import MAX_UNDER_WAY, Load, refusal
from storehop.deliver.recovery import Recovery
from storehop.deliver.tickets import OutboxError
from storehop.deliver.wire import Wire
from storehop.model import OutboxCounts, Reason, RetryIn, S2SCall
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

END_PATIENCE_S = 5.0
"""How long the end waits for an outbox that hangs."""


class NotAcceptedError(Exception):
    """The call could not be taken, so the click must pass. Carries the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Courier:
    """Delivers accepted calls, at most `delivery.concurrency` at a time over all `workers` of the process.

    Must be made on a running event loop. Takes the outbox and the wire over: `close` closes them.
    """

    def __init__(self, wire: Wire, outbox: Outbox, delivery: Delivery, watcher: Watcher, workers: int = 1) -> None:
        self._wire = wire
        self._outbox = outbox
        self._watcher = watcher
        self._workers = workers
        self._breakers = Breakers()
        self._attempts = Attempts(wire, outbox, self._breakers, watcher)
        self._recovery = Recovery(outbox, self._breakers)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fresh: list[tuple[Claim, bool, float]] = []
        self._pausing: Counter[str] = Counter()
        self._closing = asyncio.Event()
        self._is_over = False
        self.configure(delivery)
        self.start(self._recover(), "storehop recovery")

    def configure(self, delivery: Delivery) -> None:
        """Takes new settings; calls under way keep theirs. Raises ValueError, see `Wire.use`."""
        self._attempts.configure(delivery, max(1, delivery.concurrency // self._workers))

    @property
    def counts(self) -> OutboxCounts:
        """How the outbox stood at the last look."""
        swept = self._recovery.swept
        return OutboxCounts(swept.pending, swept.dead, swept.oldest_s)

    @property
    def open_breakers(self) -> tuple[str, ...]:
        """The origins that get no calls now."""
        return self._breakers.open

    def failed_s(self, origin: str, within_s: float) -> float:
        """How long of the last seconds this origin has failed; 0 where it gets calls."""
        return self._breakers.failed_s(origin, within_s)

    async def accept(
        self, call: S2SCall, *, answer: Answer | None = None, retry: Answer | None = None, hold_s: float = 0.0
    ) -> str | None:
        """Returns when the call is stored; its first attempt starts in the same moment.

        With `answer` it is only taken where the same click has had none: else that one's text is returned. With
        `hold_s` it starts so many seconds later, or as soon as it is amended; `retry` is what the browser's retry is
        answered. Raises NotAcceptedError: the click must pass, and nothing will be sent.
        """
        if reason := self._refusal(call.origin):
            raise NotAcceptedError(reason)
        breaker = self._breakers[call.origin]
        is_probe = breaker.is_open
        if not breaker.admit(uptime()):
            raise NotAcceptedError(Reason.S2S_DOWN)
        try:
            claim = await self._outbox.accept(call, self._attempts.lease_s, answer=answer, retry=retry, hold_s=hold_s)
        except OutboxError as error:
            raise NotAcceptedError(Reason.OUTBOX_DOWN) from error
        if isinstance(claim, str):
            return claim
        self._begin(claim, is_probe=is_probe, hold_s=hold_s)
        return None

    async def amend(self, call: S2SCall) -> bool:
        """Sends this at once in place of the held call of the same id. False: it has gone, as it was."""
        with suppress(OutboxError):  # then it goes as it is
            if claim := await self._outbox.amend(call, self._attempts.lease_s):
                self._begin(claim)
                return True
        return False

    def _refusal(self, origin: str) -> Reason | None:
        if self._closing.is_set():
            return Reason.OUTBOX_DOWN
        attempts, due, swept = self._attempts, self._recovery.due, self._recovery.swept
        pausing = sum(count for one, count in self._pausing.items() if not self._breakers[one].is_open)
        waiting, under_way = attempts.waiting + pausing, swept.pending - swept.due
        if not waiting and not due and under_way < MAX_UNDER_WAY:
            return None  # nothing is ahead of it: nearly always
        load = Load(
            waiting=waiting,
            due=due,
            call_s=attempts.call_s(origin),
            concurrency=attempts.concurrency,
            recovery_rate=attempts.delivery.recovery_rate,
            under_way=under_way,
        )
        return refusal(load)

    def start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Begins what must be over before the courier is closed."""
        task = self._loop.create_task(self._guarded(work, name), name=name)
        if not task.done():
            self._tasks.add(task)
        return task

    async def _guarded(self, work: Coroutine[None, None, None], name: str) -> None:
        """A task's own end costs less than a callback."""
        task = asyncio.current_task()
        assert task  # noqa: S101  it runs in one
        try:
            await work
        except Exception:
            logger.exception("%s failed in our own code", name)
        finally:
            self._tasks.discard(task)

    async def _recover(self) -> None:
        """Sends what no task follows, until the end."""
        pause_s = 0.0
        while await self._pause(pause_s):
            look = await self._recovery.look(self._attempts.delivery, self._attempts.lease_s)
            for claim in look.probes:
                self._begin(claim, is_probe=True)
            for claim in look.overdue:
                self._begin(claim)
            if look.expired:
                self._watcher.expired(look.expired)
            pause_s = look.pause_s

    # one call

    def _begin(self, claim: Claim, *, is_probe: bool = False, hold_s: float = 0.0) -> None:
        """Follows it in a moment, with all that share its commit: tasks are eager, and answers go first."""
        self._attempts.unsent[claim.lease] = claim
        if not self._fresh:
            self._loop.call_soon(self._begin_fresh)
        self._fresh.append((claim, is_probe, hold_s))

    def _begin_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        if self._is_over:
            return  # they were stored when nobody could wait for their delivery any more
        for claim, is_probe, hold_s in fresh:
            self.start(self._deliver(claim, is_probe=is_probe, hold_s=hold_s), claim.call.id)

    async def _deliver(self, claim: Claim, *, is_probe: bool, hold_s: float) -> None:
        """One call's way: attempt, verdict, pause, attempt, …"""
        if hold_s:
            await self._pause(hold_s)
        verdict = await self._attempts.make(claim, is_probe=is_probe, is_held=hold_s > 0)
        while isinstance(verdict, RetryIn) and verdict.is_spent:
            if uptime() + verdict.seconds >= claim.born + self._attempts.delivery.max_age:
                return  # it asks for more time than the click has
            again = await self._claim_in(verdict.seconds, claim.call)
            if again is None:
                return
            self._attempts.unsent[again.lease] = again
            verdict = await self._attempts.make(again)

    async def _claim_in(self, seconds: float, call: S2SCall) -> Claim | None:
        """Waits, then claims a call again; None where it is recovery's from now on."""
        self._pausing[call.origin] += 1
        try:
            is_time = await self._pause(seconds)
        finally:
            self._pausing[call.origin] -= 1
            self._pausing += Counter()  # forgets those of nobody
        if is_time and self._breakers[call.origin].may_send(uptime()):
            with suppress(OutboxError):
                claims = await self._outbox.claim(1, self._attempts.lease_s, ids=(call.id,))
                return claims[0] if claims else None
        return None

    async def _pause(self, seconds: float) -> bool:
        """Waits, and no longer than until the end. Whether there is no end yet."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return True
        return False

    # the end

    async def close(self, grace_s: float) -> None:
        """Takes nothing more, finishes the calls under way for at most `grace_s` seconds, and lets go of the rest.

        What was not sent by then is free for another process at once; what was under way, when its lease ends.
        """
        self._closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._fresh or self._tasks or self._outbox.accepting:
                    await asyncio.sleep(0)  # what is fresh becomes a task
                    if under_way := self._tasks | self._outbox.accepting:
                        await asyncio.wait(under_way)
        self._is_over = True
        await asyncio.sleep(0)  # what has not begun could not be cancelled in its own way
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if self._outbox.accepting:
            await asyncio.wait(self._outbox.accepting, timeout=END_PATIENCE_S)
        with suppress(TimeoutError, OutboxError):
            unsent = [self._outbox.settle(claim, PUT_OFF, None) for claim in self._attempts.unsent.values()]
            await asyncio.wait_for(asyncio.gather(*unsent), END_PATIENCE_S)
        try:
            await self._outbox.close()
        finally:
            await self._wire.close()
