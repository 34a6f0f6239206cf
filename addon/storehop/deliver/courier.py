"""The courier: takes a decided click's call, stores it, sends it at once, and again until it is delivered or dead.

A call is safe when `accept` returns. Its first attempt starts in the same moment, beside the answer and never
before it. What is stored and due (after a failure, a crash, or another process's end) goes out newest first and
paced. While a host fails its breaker is open: new clicks for it pass, stored ones wait without spending attempts.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Protocol

from storehop.deliver.breaker import Breaker
from storehop.deliver.clock import Clock
from storehop.deliver.ledger import Ledger
from storehop.deliver.outbox import NewCall, Note, Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.deliver.retry import Moment, is_healthy, judge
from storehop.deliver.wire import UnsendableError, Wire
from storehop.deliver.writer import HANGS, PATIENCE, TooSlowError, Writer
from storehop.model import (
    Claim,
    Dead,
    DeadReason,
    Delivered,
    Failure,
    Fault,
    OutboxCounts,
    Outcome,
    Reason,
    RetryAt,
    S2SCall,
    Settled,
    Verdict,
)
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

MAX_PENDING = 10_000
"""Calls in memory; above it clicks pass."""
BACKLOG = 5.0
"""Seconds that a new call may expect to wait for its turn; above it clicks pass, for AppsFlyer can't keep up."""
LEASE_MARGIN = 1.0
"""Seconds that a lease is longer than a call may take."""
DEAD_LETTER = 4608
"""Bytes that a dead letter fills, at the most: a row above about 2 KB has a page of SQLite's for itself, 4 KB."""
TICK = 0.1
"""Seconds between two looks at the outbox while there is something to send again."""
IDLE = 1.0
"""Seconds between two looks for what others left behind."""


class NotAcceptedError(Exception):
    """The call could not be taken, so the click must pass. Carries the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Watcher(Protocol):
    """Is told on the event loop what becomes of calls."""

    def settled(self, settled: Settled) -> None:
        """One attempt is over."""

    def expired(self, call_ids: list[str]) -> None:
        """These calls got too old to be sent."""


class Courier:
    """Delivers accepted calls, at most `delivery.concurrency` at a time, and tells its watcher.

    `holder` is a name for this process's leases.
    """

    def __init__(
        self,
        wire: Wire,
        writer: Writer,
        clock: Clock,
        delivery: Delivery,
        watcher: Watcher,
        holder: str | None = None,
    ) -> None:
        self._wire = wire
        self._writer = writer
        self._clock = clock
        self._watcher = watcher
        self._holder = holder or str(uuid.uuid4())
        self._breakers: dict[str, Breaker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent_at: dict[str, float] = {}
        self._duration = 0.0
        self._ledger = Ledger(writer, self._holder, watcher.settled, self._is_due_at)
        self._next_due = math.inf
        self._wake = asyncio.Event()
        self._storing = 0
        self._held: dict[str, tuple[Claim, asyncio.Future[Claim]]] = {}
        self._is_closing = False
        self.counts = OutboxCounts(0, 0, None)
        self._counted_at = -math.inf
        self._delivery = delivery
        self._max_outbox = delivery.max_outbox  # what the file was opened with counts, whatever is reloaded
        self._slots = asyncio.Semaphore(delivery.concurrency)
        self._recovery = asyncio.create_task(self._recover(), name="storehop recovery")
        self._recovery.add_done_callback(_report)

    def configure(self, delivery: Delivery) -> None:
        """Takes new settings; calls under way keep theirs."""
        if delivery.concurrency != self._delivery.concurrency:
            self._slots = asyncio.Semaphore(delivery.concurrency)
        try:
            self._wire.use(delivery.proxy)
        except ValueError as error:
            logger.error("delivery.proxy: %s; calls leave as before", error)  # noqa: TRY400  no traceback needed
        self._delivery = delivery

    @property
    def fault(self) -> str | None:
        """Why clicks can't be stored, or None."""
        return self._writer.fault

    @property
    def open_breakers(self) -> list[str]:
        return [host for host, breaker in self._breakers.items() if breaker.is_open]

    async def accept(self, call: S2SCall, hold: float = 0.0, note: Note | None = None) -> str | None:
        """Returns when the call is committed; its first attempt starts in the same moment.

        With `hold` it starts so many seconds later, or as soon as the call is amended.
        With `note` it is only taken where the same click has had no answer: else that answer is returned, and
        nothing is stored. Raises NotAcceptedError: the click must pass, and nothing will be sent.
        """
        if self._is_closing or self._writer.fault or len(self._tasks) + self._storing >= MAX_PENDING:
            raise NotAcceptedError(Reason.OUTBOX_DOWN)
        if self._expected_wait() > BACKLOG:
            raise NotAcceptedError(Reason.S2S_DOWN)
        host = call.origin
        breaker = self._breaker(host)
        is_probe = breaker.is_open
        if not breaker.admit(self._clock.uptime()):
            raise NotAcceptedError(Reason.S2S_DOWN)
        claim = await self._store(call, host, note)
        if isinstance(claim, str):
            return claim
        held = self._hold_back(claim, hold) if hold else None
        self._start(claim, is_probe=is_probe, held=held)
        return None

    def held(self, call_id: str) -> Claim | None:
        """The call, where it waits and can be amended."""
        claim, _ = self._held.get(call_id, (None, None))
        return claim

    def amend(self, call: S2SCall, lease_until: float, done: Callable[[], None]) -> None:
        """Sends this in place of the call of the same id that a process holds under that lease, at once.

        `done` is called when it is stored; never, where the other one has gone already.
        """
        self._run(self._amend(call, lease_until, done), f"amend {call.id}")

    async def _amend(self, call: S2SCall, lease_until: float, done: Callable[[], None]) -> None:
        """Stores the amended call before it goes, so that a retry is the same bytes."""
        claim, sent = self._held.pop(call.id, (None, None))
        amended, lease = None, self._delivery.timeout + LEASE_MARGIN
        try:
            with suppress(OutboxError):
                amended = await self._writer.run(lambda outbox: outbox.amend(call, lease_until, self._holder, lease))
        finally:  # whatever went wrong: what is stored goes as it is
            if claim and sent and not sent.done():
                sent.set_result(amended or claim)
        if amended:
            done()
            if claim is None:
                self._start(amended, is_probe=False)  # another process held it

    def _hold_back(self, claim: Claim, seconds: float) -> asyncio.Future[Claim]:
        """What is to be sent, when it is time."""
        loop = asyncio.get_running_loop()
        sent = loop.create_future()
        self._held[claim.call.id] = (claim, sent)
        loop.call_later(seconds, self._let_go, claim.call.id)
        return sent

    def _let_go(self, call_id: str) -> None:
        claim, sent = self._held.pop(call_id, (None, None))
        if claim and sent and not sent.done():
            sent.set_result(claim)

    async def _store(self, call: S2SCall, host: str, note: Note | None) -> Claim | str:
        """Commits the call. A disk that takes too long lets the click pass, and the call is taken back."""
        new = NewCall(call, host, self._holder, self._delivery.timeout + LEASE_MARGIN, note)
        self._storing += 1
        try:
            late, undo = partial(self._take_back, note), partial(self._undo, note)
            return await self._writer.submit_item(Outbox.take_all, new, PATIENCE, late, undo)
        except TooSlowError:
            self._writer.hold_back(f"a commit took longer than {PATIENCE:g} s")
            raise NotAcceptedError(Reason.OUTBOX_DOWN) from None
        except OutboxError as error:
            raise NotAcceptedError(Reason.OUTBOX_DOWN) from error
        finally:
            self._storing -= 1

    def _undo(self, note: Note | None, outbox: Outbox, claim: Claim | str) -> None:
        """Its click passed while it was being stored: it must never be sent, and the same click passes as well."""
        if isinstance(claim, Claim):
            outbox.settle(claim, self._holder, Delivered(), None)
            if note:
                outbox.change_note(note.key, Reason.OUTBOX_DOWN)

    def _take_back(self, note: Note | None, claim: Claim | str) -> None:
        """As `_undo`, where that failed, or where the click passed in the very moment of the commit."""
        if isinstance(claim, Claim):
            with suppress(OutboxError):
                self._writer.post(lambda outbox: self._undo(note, outbox, claim), _ignore)
            self._ledger.take_back(claim)
            self._wake.set()

    def _expected_wait(self) -> float:
        """Seconds until a new call would be sent, as calls went of late and as the oldest one goes that is under way.

        Accepting more than is sent in time would fill the outbox with clicks that die of old age.
        """
        waiting = len(self._tasks) - len(self._sent_at) - len(self._held)  # a held call waits on purpose
        if waiting <= 0:
            return 0.0
        oldest = self._clock.uptime() - next(iter(self._sent_at.values()), math.inf)
        return waiting * max(self._duration, oldest) / self._delivery.concurrency

    def _breaker(self, host: str) -> Breaker:
        return self._breakers.setdefault(host, Breaker())

    # one call

    def _start(self, claim: Claim, *, is_probe: bool, held: asyncio.Future[Claim] | None = None) -> None:
        self._run(self._deliver(claim, held, is_probe=is_probe), f"deliver {claim.call.id}")

    def _run(self, what: Coroutine[None, None, None], name: str) -> None:
        """What must be over before the courier is closed."""
        task = asyncio.create_task(what, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)

    async def _deliver(self, claim: Claim, held: asyncio.Future[Claim] | None, *, is_probe: bool) -> None:
        await asyncio.sleep(0)  # mitmproxy starts tasks eagerly: let the answer go first
        is_ours = True
        if held:
            before, claim = claim, await held
            is_ours = claim is not before  # else another process may have amended it
        delivery = self._delivery
        async with self._slots:
            ready = await self._ready(claim, delivery, is_probe=is_probe, is_ours=is_ours)
            if ready is None:
                return
            self._sent_at[claim.call.id] = begin = self._clock.uptime()
            try:
                outcome = await self._wire.send(ready.call, delivery.timeout)
            except UnsendableError as error:
                logger.error("call %s can't be sent: %s", ready.call.id, error)  # noqa: TRY400  no traceback needed
                self._settle(ready, Dead(DeadReason.UNSENDABLE))
                return
            except Exception:  # a mistake of ours must spend an attempt, or it would be repeated without end
                logger.exception("sending %s failed in our own code", ready.call.id)
                outcome = Failure(Fault.PROTOCOL, maybe_sent=True)
            finally:
                self._sent_at.pop(claim.call.id, None)
                self._duration += (self._clock.uptime() - begin - self._duration) / 16  # the mean of the last ones
        now = self._clock.uptime()
        self._breaker(claim.host).record(now, healthy=is_healthy(outcome))
        deadline = ready.born + delivery.max_age
        moment = Moment(ready.attempt, now, self._clock.wall(), deadline, random.random())  # noqa: S311  jitter
        self._settle(ready, judge(outcome, moment, retry_ambiguous=delivery.retry_ambiguous), outcome)

    async def _ready(self, claim: Claim, delivery: Delivery, *, is_probe: bool, is_ours: bool) -> Claim | None:
        """The claim, with a lease that is ours and outlasts the attempt; None where it must not be sent now."""
        now = self._clock.uptime()
        breaker = self._breaker(claim.host)
        if self._is_closing or (breaker.is_open and not is_probe):
            # It waited for a slot in vain: back into the outbox, without an attempt spent.
            self._settle(claim, RetryAt(now, spent=False))
            return None
        if now - claim.born >= delivery.max_age:
            self._settle(claim, Dead(DeadReason.TOO_OLD))
            return None
        if is_ours and claim.lease_until - now >= delivery.timeout + LEASE_MARGIN / 2:
            return claim
        lease = delivery.timeout + LEASE_MARGIN
        try:
            renewed = await self._writer.run(lambda outbox: outbox.renew(claim, self._holder, lease))
        except OutboxError:
            return None  # the lease lapses, and the call is found again
        if renewed and renewed.lease_until - self._clock.uptime() < delivery.timeout:
            return None  # as well: the commit took so long that it would lapse while the call is under way
        return renewed

    def _settle(self, claim: Claim, verdict: Verdict, outcome: Outcome | None = None) -> None:
        self._ledger.settle(claim, verdict, outcome, self._clock.uptime() - claim.born)

    # what is stored

    def _is_due_at(self, when: float) -> None:
        self._next_due = min(self._next_due, when)
        self._wake.set()

    async def _recover(self) -> None:
        """Sends again what is due, newest first, at most `recovery_rate` calls a second."""
        allowance, before = 1.0, self._clock.uptime()
        while True:
            rate, now = self._delivery.recovery_rate, self._clock.uptime()
            allowance, before = min(max(1.0, rate * TICK), allowance + rate * (now - before)), now
            try:
                allowance -= await self._look(int(allowance))
            except OutboxError as error:
                logger.debug("recovery waits for the outbox: %s", error)
            except Exception:  # whatever it is: what is stored must not wait for a restart
                logger.exception("looking at the outbox failed in our own code")
            await self._until_due()

    async def _until_due(self) -> None:
        """Waits for the next call that is due, and a second at the most."""
        await asyncio.sleep(TICK)
        end = self._clock.uptime() + IDLE
        while (wait := min(self._next_due, end) - self._clock.uptime()) > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)

    async def _look(self, most: int) -> int:
        """One look at the outbox: up to `most` due calls are sent. Returns how many were."""
        self._next_due = math.inf
        if self._writer.fault:
            await self._writer.check()
        self._ledger.write_again()  # under a fault too: what goes makes room
        await self._expire()
        sent = 0
        for host in self.open_breakers:
            sent += await self._probe(host)
        claims = await self._claim(max(0, most - sent), but=tuple(self.open_breakers))
        for claim in claims:
            self._start(claim, is_probe=False)
        return sent + len(claims)

    async def _expire(self) -> None:
        """Gives up what is too old; once a second, sees how the outbox stands and keeps dead letters in bounds."""
        max_age, now = self._delivery.max_age, self._clock.uptime()
        if expired := await self._writer.run(lambda outbox: outbox.expire(max_age)):
            self._watcher.expired(expired)
        if now - self._counted_at >= IDLE:
            self._counted_at = now
            self.counts = await self._writer.run(Outbox.counts)
            await self._writer.run(Outbox.forget_notes)
            most = self._max_outbox // 2 // DEAD_LETTER
            if self.counts.dead > most and (gone := await self._writer.run(lambda outbox: outbox.trim(most))):
                logger.warning("deleted the %s oldest dead letters: they may fill half of max_outbox", gone)

    async def _probe(self, host: str) -> int:
        """One stored call asks whether an open breaker's host is back."""
        breaker = self._breaker(host)
        if not breaker.may_send(self._clock.uptime()):
            return 0
        claims = await self._claim(1, only=host)
        for claim in claims:
            breaker.admit(self._clock.uptime())
            self._start(claim, is_probe=True)
        return len(claims)

    async def _claim(self, most: int, *, only: str = "", but: tuple[str, ...] = ()) -> list[Claim]:
        if most <= 0 or self._is_closing:
            return []
        lease, holder = self._delivery.timeout + LEASE_MARGIN, self._holder
        claims, due = await self._writer.run(
            lambda outbox: (outbox.claim(most, holder, lease, only=only, but=but), outbox.next_due()),
        )
        if not self.open_breakers:
            self._next_due = min(self._next_due, due)
        # A verdict of ours that could not be written yet stands: sending again would count the click twice.
        return [claim for claim in claims if not self._ledger.has_verdict(claim)]

    async def close(self, grace: float) -> None:
        """Takes nothing more, finishes the calls under way for at most `grace` seconds, and lets go of the rest.

        What was not sent by then is free for another process at once; what was under way, when its lease ends.
        """
        for call_id in list(self._held):
            self._let_go(call_id)
        await asyncio.sleep(0)  # these start while anything still may
        self._is_closing = True
        self._recovery.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ledger.written(), HANGS)
        self._ledger.write_again()
        await self._writer.close()
        await asyncio.sleep(0)  # what became of the last verdicts is told by now
        await self._wire.close()


def _report(task: asyncio.Task[None]) -> None:
    """Logs an exception that nobody waits for."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s failed in our own code", task.get_name(), exc_info=error)


def _ignore(_result: object, _error: BaseException | None) -> None:
    """Nobody waits for it."""
