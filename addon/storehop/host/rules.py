"""The rules of a running host: the last good ones, swapped in whole when their files change (design §4).

A change goes live only when two looks half a second apart found the same, to the byte: a file that is still being
written is never read as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from time import sleep

from storehop.background import in_background
from storehop.decide.rules import RuleSet
from storehop.rulefile import Loaded, RuleFault, RuleFileError, files, read, summary

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks at the files."""
PATIENCE = 60
"""Looks that found something else each time, after which somebody is told."""
START_LOOKS = 20
"""Looks that a start has to find the same twice."""

type Done = Callable[[RuleSet | None], None]


class LiveRules:
    """The rules in use. `current` is replaced, never changed: a click keeps the one it began with."""

    def __init__(self, path: Path, rules: RuleSet, loaded: Loaded) -> None:
        self.path = path
        self.current = rules
        self._seen = loaded.seen
        self._warnings = loaded.warnings
        self._asked = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    def start(cls, path: Path) -> LiveRules:
        """Loads the rules for the first time. Raises RuleFileError with every fault.

        Files that changed just now are looked at twice, as every change; others cost no wait.
        """
        loaded = read(path)
        for _ in range(START_LOOKS):
            if all(look.age > INTERVAL for look in loaded.seen):
                break
            sleep(INTERVAL)
            if files.found_again(loaded.seen):
                break
            loaded = read(path)
        else:
            changing = RuleFault(path, 1, 1, "changes all the time: expected files that stay as they are")
            raise RuleFileError((changing,))
        if loaded.rules is None:
            raise RuleFileError(loaded.faults)
        return cls(path, loaded.rules, loaded)

    def watch(self, done: Done) -> None:
        """Looks at the files from now on; `done` gets new rules, or None where they can't be used."""
        self._warn()
        self._watcher = asyncio.create_task(self._watch(done), name="storehop rule watcher")

    def stop(self) -> None:
        if self._watcher:
            self._watcher.cancel()

    def reload(self) -> None:
        """Reads the files now, whether they changed or not."""
        self._asked.set()

    def summary(self) -> str:
        return summary(self.current)

    async def _watch(self, done: Done) -> None:
        """One look at a time, so that what was read first is never taken last."""
        while True:
            asked = await self._due()
            try:
                if asked or await self._changed():
                    await self._reload(done, asked=asked)
            except Exception:  # whatever it is: the next change must not need a restart
                logger.exception("looking at the rules failed in our own code, the last good ones stay")

    async def _due(self) -> bool:
        """Waits until it is time to look. Whether somebody asked for it."""
        try:
            await asyncio.wait_for(self._asked.wait(), INTERVAL)
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _changed(self) -> bool:
        again = await in_background(partial(files.still_current, self._seen))
        self._seen = again or self._seen
        return again is None

    async def _reload(self, done: Done, *, asked: bool) -> None:
        """Reads in a thread, swaps on the loop. A faulty file is reported, and the last good rules stay."""
        before = files.content_of(self._seen)
        try:
            loaded = await self._settled()
        except Exception:  # whatever it is: it counts as a fault, and is read again when something changes
            self._seen = await in_background(partial(files.again, self._seen))
            done(None)
            logger.exception("reading the changed rules failed in our own code, the last good ones stay")
            return
        self._seen = loaded.seen
        if asked or loaded.faults or files.content_of(loaded.seen) != before:  # else it was only touched
            self._take(loaded, done)

    async def _settled(self) -> Loaded:
        """What two looks in a row found."""
        for looks in count(2):
            loaded = await in_background(partial(read, self.path))
            await asyncio.sleep(INTERVAL)
            if await in_background(partial(files.found_again, loaded.seen)):
                return loaded
            if looks == PATIENCE:
                logger.warning("the rules changed at each of %d looks: until they rest, the last good ones stay", looks)
        raise AssertionError  # count() has no end

    def _take(self, loaded: Loaded, done: Done) -> None:
        if loaded.rules is None:
            faults = "\n".join(map(str, loaded.faults))
            done(None)
            logger.error("the changed rules can't be used, the last good ones stay:\n%s", faults)
            return
        self.current, self._warnings = loaded.rules, loaded.warnings
        self._warn()
        done(loaded.rules)
        logger.info("rules reloaded: %s", self.summary())

    def _warn(self) -> None:
        for warning in self._warnings:
            logger.warning("%s", warning)
