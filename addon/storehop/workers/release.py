"""What a dead worker had leased is due at once: nobody has to wait for the leases to end."""

from __future__ import annotations

import logging
from contextlib import closing

from storehop.deliver.clock import SystemClock
from storehop.deliver.outbox import Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.state import outbox_file

logger = logging.getLogger(__name__)


def release(outbox: str, holder: str) -> None:
    """Releases the calls that `holder` leased from the outbox at this path or URL. Logs how many, or what went wrong.

    Waits as long as another process holds the outbox's lock.
    """
    try:
        with closing(Outbox.open(outbox_file(outbox), SystemClock())) as opened, opened.transaction():
            released = opened.release(holder)
    except OutboxError as error:
        logger.warning("the clicks of a worker wait for their leases to end: %s", error)
    else:
        if released:
            logger.warning("%d clicks of the worker that ended are delivered by the others", released)
