"""Recovery: looks at what is stored, gives up what is too old, and claims what no task follows (design §6).

That is what came due while its origin's breaker was open, after a restart, or after another process's end. It goes
newest first, and at most `recovery_rate` calls a second for the whole outbox.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

from storehop.deliver.breakers import Breakers
from storehop.deliver.claim import Claim
from storehop.deliver.clock import uptime
from storehop.deliver.operations import Swept
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

BUSY_LOOK_S, IDLE_LOOK_S = 0.1, 0.8
"""Between two looks: while something is due, and while nothing is. What a killed process had is sent within two seconds
and the time that a call may take: its lease lasts one of them longer than that.
"""
OVERDUE_S = 0.5
"""How long a call must be due until recovery takes it: it may have a task, or a verdict on its way into the outbox."""


@dataclass(slots=True)
class Look:
    """What one look at the outbox came to."""

    probes: list[Claim] = field(default_factory=list)
    """Each asks whether an origin is back whose breaker is open."""
    overdue: list[Claim] = field(default_factory=list)
    """To be sent now."""
    expired: tuple[str, ...] = ()
    """Ids of the calls that got too old."""
    pause_s: float = IDLE_LOOK_S
    """How much later the next look is due."""


class Recovery:
    """`swept` is how the outbox stood at the last look, `due` how much of it is to be sent: nothing where all that is
    due goes to origins that are down.
    """

    def __init__(self, outbox: Outbox, breakers: Breakers) -> None:
        self._outbox = outbox
        self._breakers = breakers
        self._next_sweep = 0.0
        self._remarks: tuple[str, ...] = ()
        self.swept = Swept((), 0, 0, 0, 0, None)
        self.due = 0

    async def look(self, delivery: Delivery, lease_s: float) -> Look:
        """One look at the outbox. Raises nothing: a fault leaves the rest to the next look."""
        look = Look()
        try:
            if self._outbox.fault:
                await self._outbox.check()
            if uptime() >= self._next_sweep:
                look.expired = await self._sweep(delivery.max_age)
            for origin in self._breakers.open:
                look.probes += await self._probe(origin, lease_s)
            if self.swept.due:
                look.overdue = await self._overdue(delivery.recovery_rate, lease_s)
            self.due = self.swept.due if look.overdue or not self._breakers.open else 0
        except OutboxError as error:
            logger.debug("recovery waits for the outbox: %s", error)
        except Exception:  # whatever it is: what is stored must not wait for a restart
            logger.exception("looking at the outbox failed in our own code")
        self._say_remarks()
        if self._outbox.fault:  # a shared one may have another primary any moment
            look.pause_s = min(IDLE_LOOK_S, self._outbox.patience_s)
        elif look.probes or look.overdue or look.expired or self.due:
            look.pause_s = BUSY_LOOK_S
        return look

    def _say_remarks(self) -> None:
        """Each once when it comes and when it goes. During a fault nobody knows whether one goes."""
        if self._outbox.fault:
            return
        before, self._remarks = self._remarks, self._outbox.remarks
        for remark in self._remarks:
            if remark not in before:
                logger.warning("the outbox %s: %s", self._outbox.where, remark)
        for remark in before:
            if remark not in self._remarks:
                logger.info("the outbox %s: no longer: %s", self._outbox.where, remark)

    async def _sweep(self, max_age_s: float) -> tuple[str, ...]:
        """Makes room, gives up what is too old, and counts."""
        self.swept = swept = await self._outbox.sweep(max_age_s)
        if swept.dropped:
            logger.warning("deleted the %d oldest dead letters: they may fill half of max_outbox", swept.dropped)
        if not swept.expired:  # else there may be more
            self._next_sweep = uptime() + IDLE_LOOK_S - BUSY_LOOK_S
        return swept.expired

    async def _probe(self, origin: str, lease_s: float) -> list[Claim]:
        """A stored call to this origin, if it is time to ask."""
        breaker = self._breakers[origin]
        claims = await self._outbox.claim(1, lease_s, only=origin) if breaker.may_send(uptime()) else []
        if claims:
            breaker.admit(uptime())
        return claims

    async def _overdue(self, rate: float, lease_s: float) -> list[Claim]:
        most, but = math.ceil(rate * IDLE_LOOK_S), self._breakers.open
        return await self._outbox.claim(most, lease_s, but=but, overdue_s=OVERDUE_S, rate=rate)
