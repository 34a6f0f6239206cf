"""Whether our primary is the primary still: a replica that left it may have been promoted.

In a planned failover Sentinel promotes a replica first, and tells the old primary a second or two later. Meanwhile
the other replica goes on to acknowledge what the old primary takes, and all of that is lost. But a replica that is
promoted leaves: so whoever is missing in the reply to ROLE is asked what it is now.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from storehop.deliver.engine import EngineError
from storehop.deliver.redis.link import Address, Link
from storehop.deliver.redis.place import Place

logger = logging.getLogger(__name__)

ASK_S = 0.05
"""How long a replica that left may take to let us in, and to reply."""


class Replicas:
    """Of one primary, as it tells them with each batch. `is_still` asks others whether it is the primary."""

    def __init__(self, place: Place, primary: Address, is_still: Callable[[Address], bool]) -> None:
        self._place = place
        self._primary = primary
        self._is_still = is_still
        self._known: set[Address] = set()

    def are_of_no_other(self, connected: Sequence[Address]) -> bool:
        """Whether none of those that were here before leads now."""
        left = self._known.difference(connected)
        self._known.update(connected)
        return all(self._follows(one) for one in left)

    def _follows(self, replica: Address) -> bool:
        try:
            link = Link(replica, self._place, connect_s=ASK_S, reply_s=ASK_S)
            try:
                return bool(link.ask("ROLE")[0] != "master")
            finally:
                link.close()
        except EngineError as error:
            logger.debug("a replica of the outbox has gone: %s", error)
            self._known.discard(replica)  # it is not asked again, which may take long each time
            return self._is_still(self._primary)
