"""One attempt at a call: in its turn, under a lease that outlasts it, judged, and settled (design §6)."""

from __future__ import annotations

import logging
import math
import random
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from storehop.deliver.breakers import Breakers
from storehop.deliver.claim import Claim
from storehop.deliver.clock import uptime
from storehop.deliver.outbox import Outbox
from storehop.deliver.policy import DELIVERED, Moment, is_taken, judge
from storehop.deliver.slots import Slots
from storehop.deliver.tickets import OutboxError
from storehop.deliver.wire import UnsendableError, Wire
from storehop.model import Dead, DeadReason, Failure, Fault, Outcome, Reply, RetryIn, Settled, Verdict
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

PUT_OFF = RetryIn(0.0, is_spent=False)
"""The verdict on a call that was not sent: any process may send it at once."""
LEASE_MARGIN_S = 1.0
"""How much longer a lease is than a call may take."""
MEAN_OVER = 16
"""Calls that count in the mean duration, about."""


class Watcher(Protocol):
    """Hears on the event loop what becomes of calls. Raises nothing."""

    def settled(self, settled: Settled) -> None:
        """One attempt is over."""

    def expired(self, call_ids: tuple[str, ...]) -> None:
        """These calls got too old to be sent."""


@dataclass(slots=True)
class _UnderWay:
    """A call that is being sent; its newest claim settles it."""

    claim: Claim
    begin: float


class Attempts:
    """Makes attempts, at most `concurrency` at a time. `delivery` may be replaced; an attempt keeps the one it has.

    `waiting` counts the calls that wait for a slot, `unsent` are the claims that nobody has begun to send, by
    lease.
    """

    def __init__(self, wire: Wire, outbox: Outbox, breakers: Breakers, watcher: Watcher) -> None:
        self._wire = wire
        self._outbox = outbox
        self._breakers = breakers
        self._watcher = watcher
        self._slots = Slots(0)
        self._under_way: dict[str, _UnderWay] = {}
        self._mean_s: defaultdict[str, float] = defaultdict(float)
        self.concurrency = 0
        self.delivery = Delivery()
        self.lease_s = 0.0
        """How long a claim's lease must be."""
        self.waiting = 0
        self.unsent: dict[str, Claim] = {}

    def configure(self, delivery: Delivery, concurrency: int) -> None:
        """Takes new settings. Raises ValueError where the environment names no usable proxy: the old ones stay."""
        self._wire.use(delivery.proxy)
        self.delivery, self.lease_s = delivery, delivery.timeout + LEASE_MARGIN_S
        if concurrency != self.concurrency:
            self.concurrency, self._slots = concurrency, Slots(concurrency)

    def call_s(self, origin: str) -> float:
        """How long a call to `origin` takes: as the last ones did, or as long as the oldest one is under way.

        That one may go to another origin, with which it shares the slots; where it is down, few calls go there.
        """
        begun = (one.begin for one in self._under_way.values() if not self._breakers[one.claim.call.origin].is_open)
        return max(self._mean_s[origin], uptime() - next(begun, math.inf))

    async def make(self, claim: Claim, *, is_probe: bool = False, is_held: bool = False) -> Verdict | None:
        """Sends a call once, when a slot is free, and settles it. None: another process has it now.

        `is_probe` lets it through an open breaker; `is_held` says that a browser's retry may have amended it.
        """
        if under_way := self._under_way.get(claim.call.id):
            self.unsent.pop(claim.lease, None)
            if not is_held:  # what was held is amended now; the rest lapsed as it was sent, since the machine slept
                under_way.claim = claim
            return None
        delivery, outcome = self.delivery, None
        slots = self._slots
        if not slots.take():
            await self._wait_for(slots)
        try:
            ready = await self._extended(claim, delivery) if is_held or _is_short(claim, delivery) else claim
            self.unsent.pop(claim.lease, None)
            if ready is None:
                return None
            verdict = self._refused(ready, delivery, is_probe=is_probe)
            if verdict is None:
                ready, outcome = await self._send(ready, delivery)
        finally:
            slots.release()
        if verdict is None:
            verdict = self._judged(ready, outcome, delivery)
        return await self._settle(ready, verdict, outcome)

    async def _wait_for(self, slots: Slots) -> None:
        self.waiting += 1
        try:
            await slots.wait()
        finally:
            self.waiting -= 1

    async def _extended(self, claim: Claim, delivery: Delivery) -> Claim | None:
        """The claim with a lease that outlasts the attempt; None where it is lost, or would end too soon."""
        extended = None
        with suppress(OutboxError):  # then the lease lapses, and the call is found again
            extended = await self._outbox.extend(claim, delivery.timeout + LEASE_MARGIN_S)
        is_long_enough = extended is not None and extended.until - uptime() >= delivery.timeout
        return extended if is_long_enough else None

    def _refused(self, claim: Claim, delivery: Delivery, *, is_probe: bool) -> Verdict | None:
        """Why a call must not be sent now, as the verdict; None: it may."""
        if not is_probe and self._breakers[claim.call.origin].is_open:
            return PUT_OFF  # it waited for a slot in vain
        return Dead(DeadReason.TOO_OLD) if uptime() - claim.born >= delivery.max_age else None

    async def _send(self, claim: Claim, delivery: Delivery) -> tuple[Claim, Outcome | None]:
        """The claim that counts now, and what came of the call; None where its bytes make no request."""
        call, outcome = claim.call, None
        under_way = self._under_way[call.id] = _UnderWay(claim, uptime())
        try:
            outcome = await self._wire.send(call, delivery.timeout)
        except UnsendableError as error:
            logger.error("call %s can't be sent: %s", call.id, error)  # noqa: TRY400  no traceback needed
        except Exception:  # a mistake of ours must spend an attempt, or it would be repeated without end
            logger.exception("sending %s failed in our own code", call.id)
            outcome = Failure(Fault.PROTOCOL, maybe_sent=True)
        finally:
            del self._under_way[call.id]
            self._mean_s[call.origin] += (uptime() - under_way.begin - self._mean_s[call.origin]) / MEAN_OVER
        return under_way.claim, outcome

    def _judged(self, claim: Claim, outcome: Outcome | None, delivery: Delivery) -> Verdict:
        if outcome is None:
            return Dead(DeadReason.UNSENDABLE)
        self._breakers.record(claim.call.origin, outcome)
        if is_taken(outcome):
            return DELIVERED
        left_s = claim.born + delivery.max_age - uptime()
        moment = Moment(claim.attempt, left_s, time.time(), random.random())  # noqa: S311  jitter
        return judge(outcome, moment, retry_ambiguous=delivery.retry_ambiguous)

    async def _settle(self, claim: Claim, verdict: Verdict, outcome: Outcome | None) -> Verdict | None:
        """The verdict; one that leaves the call to its task once it is stored, and None where the lease was lost."""
        settled = Settled(claim.call, outcome, verdict, claim.attempt, uptime() - claim.born)
        last = _in_a_word(outcome)
        if not isinstance(verdict, RetryIn):
            self._outbox.settle_soon(claim, verdict, last, partial(self._stored, settled))
            return verdict
        is_ours = await self._outbox.settle(claim, verdict, last)
        self._stored(settled, is_ours)
        return verdict if is_ours else None

    def _stored(self, settled: Settled, is_ours: bool) -> None:
        if is_ours:
            self._watcher.settled(settled)
        else:
            logger.warning("the lease of click=%s was lost: whoever has it now decides", settled.call.id)


def _is_short(claim: Claim, delivery: Delivery) -> bool:
    """Whether the lease may end before an attempt does."""
    return claim.until - uptime() < delivery.timeout + LEASE_MARGIN_S / 2


def _in_a_word(outcome: Outcome | None) -> str | None:
    match outcome:
        case None:
            return None
        case Reply(status):
            return str(status)
        case Failure(fault):
            return str(fault)
