"""The rules of a running host: the last good ones, swapped in whole when their files change (design §4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from storehop.decide.rules import RuleSet
from storehop.rulefile import RuleFileError, read, summary
from storehop.rulefile.stamp import Stamp, is_current, stamp_of

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks at the files."""


class LiveRules:
    """The rules in use. `current` is replaced, never changed: a click keeps the one it began with."""

    def __init__(self, path: Path, rules: RuleSet, seen: Stamp) -> None:
        self.path = path
        self.current = rules
        self._seen = seen
        self._watcher: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()

    @classmethod
    def start(cls, path: Path) -> LiveRules:
        """Loads the rules for the first time. Raises RuleFileError with every fault."""
        loaded = read(path)
        if loaded.rules is None:
            raise RuleFileError(loaded.faults)
        return cls(path, loaded.rules, loaded.seen)

    def watch(self, done: Callable[[RuleSet | None], None]) -> None:
        """Looks at the files every second from now on; `done` gets new rules, or None where they can't be used."""
        self._watcher = asyncio.create_task(self._watch(done), name="storehop rule watcher")

    def stop(self) -> None:
        if self._watcher:
            self._watcher.cancel()

    def reload(self, done: Callable[[RuleSet | None], None]) -> None:
        """Reads the files now, whether they changed or not."""
        task = asyncio.create_task(self._reload(done), name="storehop rule reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def summary(self) -> str:
        return summary(self.current)

    async def _watch(self, done: Callable[[RuleSet | None], None]) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                if not await asyncio.to_thread(is_current, self._seen):
                    await self._reload(done)
            except Exception:  # whatever it is: the next change must not need a restart
                logger.exception("looking at the rules failed in our own code, the last good ones stay")

    async def _reload(self, done: Callable[[RuleSet | None], None]) -> None:
        """Reads in a thread, swaps on the loop. A faulty file is reported, and the last good rules stay."""
        try:
            loaded = await asyncio.to_thread(read, self.path)
        except Exception:  # whatever it is: it counts as a fault, and is read again when something changes
            self._seen = await asyncio.to_thread(_stamp_again, self._seen)
            done(None)
            logger.exception("reading the changed rules failed in our own code, the last good ones stay")
            return
        self._seen = loaded.seen
        if loaded.rules is None:
            faults = "\n".join(map(str, loaded.faults))
            done(None)
            logger.error("the changed rules can't be used, the last good ones stay:\n%s", faults)
        else:
            self.current = loaded.rules
            done(loaded.rules)
            logger.info("rules reloaded: %s", self.summary())


def _stamp_again(seen: Stamp) -> Stamp:
    return tuple(stamp_of(stamp[0]) for stamp in seen)
