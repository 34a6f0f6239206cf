"""Which engine keeps an outbox: told by its path or URL."""

from __future__ import annotations

from storehop.deliver.engine import Engine
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.settings import Delivery
from storehop.state import outbox_file


def engine_for(location: str, delivery: Delivery | None = None) -> Engine:
    """The engine of the outbox that a path or URL names. Raises ValueError that says what was expected.

    Without `delivery` it is for somebody who looks at an outbox or tidies it up: a file that is none stays where it is,
    and no bound of the file is his.
    """
    settings = delivery or Delivery()
    return SqliteEngine(
        outbox_file(location),
        power_safe=settings.power_safe,
        max_bytes=delivery.max_outbox if delivery else None,
        sets_aside=delivery is not None,
    )
