"""Which engine keeps an outbox: told by its path or URL."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from storehop.deliver.engine import Engine, EngineWatcher
from storehop.deliver.redis.credentials import credentials_of
from storehop.deliver.redis.place import Place
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.options import RunOptions
from storehop.settings import Delivery
from storehop.state import is_shared, outbox_file


@dataclass(frozen=True, slots=True)
class SharedOutbox:
    """What flags say of a shared outbox; None: nothing, so that the rules count."""

    name: str | None = None
    replicas: int | None = None
    wait: float | None = None
    """In seconds."""
    password_file: Path | None = None

    @classmethod
    def of(cls, options: RunOptions) -> Self:
        return cls(options.outbox_name, options.outbox_replicas, options.outbox_wait, options.outbox_password_file)

    def over(self, delivery: Delivery) -> Delivery:
        """The rules' settings, and in their place what is said here."""
        return replace(
            delivery,
            outbox_name=delivery.outbox_name if self.name is None else self.name,
            outbox_replicas=delivery.outbox_replicas if self.replicas is None else self.replicas,
            outbox_wait=delivery.outbox_wait if self.wait is None else self.wait,
        )


_NOTHING_SAID = SharedOutbox()


def terms_of(delivery: Delivery) -> str:
    """What a shared outbox is asked for, in words."""
    count, milliseconds = delivery.outbox_replicas, delivery.outbox_wait * 1000
    replicas = f"{count} replica{'' if count == 1 else 's'} within {milliseconds:g} ms" if count else "no replica"
    return f"asks for {replicas}"


def check_location(location: str) -> None:
    """Raises ValueError that says what was expected, and no credential, where this is no path or URL of an outbox."""
    if is_shared(location):
        Place.from_url(location)
    else:
        outbox_file(location)


def engine_for(
    location: str,
    delivery: Delivery | None = None,
    watcher: EngineWatcher | None = None,
    *,
    shared: SharedOutbox = _NOTHING_SAID,
    tidies: bool = False,
) -> Engine:
    """The engine of the outbox that a path or URL names. It connects to nothing yet.

    `watcher` hears how a shared engine does. With `tidies` it is for somebody who looks at an outbox or tidies it up:
    a file that is none stays where it is, and no bound of the file is his. Credentials that the URL does not have come
    from the environment, now.

    Raises ValueError that says what was expected, and no credential.
    """
    settings = shared.over(delivery or Delivery())
    if is_shared(location):
        return _redis_engine(location, settings, watcher, shared.password_file)
    return SqliteEngine(
        outbox_file(location),
        power_safe=settings.power_safe,
        max_bytes=None if tidies else settings.max_outbox,
        sets_aside=not tidies,
    )


def _redis_engine(url: str, settings: Delivery, watcher: EngineWatcher | None, password_file: Path | None) -> Engine:
    place = Place.from_url(url, credentials_of(os.environ, password_file))
    try:
        from storehop.deliver.redis.engine import RedisEngine  # noqa: PLC0415  its library is an extra
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "redis":
            raise ValueError(f"the outbox {place} needs the extra: pip install 'storehop[redis]'") from None
        raise
    return RedisEngine(place, settings, watcher)
