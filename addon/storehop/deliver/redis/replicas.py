"""Whether our primary is the primary still: a replica that left it may have been promoted.

In a planned failover Sentinel promotes a replica first, and tells the old primary a second or two later. Meanwhile
the other replica goes on to acknowledge what the old primary takes, and all of that is lost. But a replica that is
promoted leaves: so whoever is missing in the reply to ROLE is asked what it is now, and whether it goes on with our
primary's changes. Who may be missing is known from the Sentinels or the cluster at first: whoever connects then is led
to the old primary, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from storehop.deliver.clock import uptime
from storehop.deliver.engine import EngineError
from storehop.deliver.redis.health import fields_of
from storehop.deliver.redis.link import Address, Link
from storehop.deliver.redis.place import Place

logger = logging.getLogger(__name__)

ASK_S = 0.05
"""How long a replica that left may take to let us in, and to reply …"""
FIRST_REPLY_S = 0.2
"""… but when it has just left it may be busy with its promotion, and clicks are lost that nobody holds back."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 60.0
"""Until one that does not answer is asked again: twice as long each time, for asking may take long."""


class Replicas:
    """Of one primary, as it tells them with each batch. `history` is the name of its changes.

    `is_still` asks others whether it is the primary, and they have told of `others`.
    """

    def __init__(
        self, place: Place, primary: Address, is_still: Callable[[Address], bool], others: Iterable[Address] = ()
    ) -> None:
        self.history = ""
        self._place = place
        self._primary = primary
        self._is_still = is_still
        self._seen: set[Address] = set()
        self._told = set(others) - {primary}
        self._silent: dict[Address, tuple[float, float]] = {}
        """Who does not answer: the next pause, and when this one ends."""

    def are_of_no_other(self, connected: Sequence[Address]) -> bool:
        """Whether none of those that were here before leads now."""
        self._seen.update(connected)
        for one in connected:
            self._silent.pop(one, None)
        return not any(self._leads(one) for one in (self._seen | self._told).difference(connected))

    def _leads(self, replica: Address) -> bool:
        pause_s, ends = self._silent.get(replica, (FIRST_PAUSE_S, 0.0))
        if uptime() < ends:
            return False
        try:
            info = self._info_of(replica, ASK_S if replica in self._silent else FIRST_REPLY_S)
        except EngineError as error:
            logger.debug("a replica of the outbox has gone: %s", error)
            self._silent[replica] = min(2 * pause_s, LONGEST_PAUSE_S), uptime() + pause_s
            return not self._is_still(self._primary)
        self._silent.pop(replica, None)
        is_promoted = info.get("role") == "master" and info.get("master_replid2") == self.history
        is_away = info.get("role") == "slave" and info.get("master_link_status") == "down"
        if not is_promoted and not is_away:  # it is a primary of before, or ours has another name for it
            self._told.discard(replica)
        return is_promoted

    def _info_of(self, replica: Address, reply_s: float) -> dict[str, str]:
        link = Link(replica, self._place, connect_s=ASK_S, reply_s=reply_s)
        try:
            return fields_of(link.ask("INFO", "replication"))
        finally:
            link.close()
