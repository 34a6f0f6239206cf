"""The rules of a running process: the last good ones, replaced as a whole when their files change (design §4).

A change goes live only after two equal looks half a second apart, equal to the byte. So a file that somebody is
still writing is never read as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from time import sleep

from storehop.background import in_background, taken_within
from storehop.decide.rules import RuleSet
from storehop.rulefile import LoadResult, RuleFault, RuleFileError, files, read, summary

logger = logging.getLogger(__name__)

LOOK_PAUSE_S = 0.5
"""Time between two looks at the files."""
LOOKS_UNTIL_WARNING = 60
"""After so many looks, each unlike the one before, we log a warning."""
MAX_START_LOOKS = 20
"""A start fails after so many looks, each unlike the one before."""

type OnReload = Callable[[RuleSet | None], None]


class LiveRules:
    """The rules in use. `current` is replaced, never changed: a click keeps the rules that it began with.

    With `endpoint` every S2S call goes there and nowhere else, whatever the files say of `delivery.endpoint` and
    `delivery.proxy`, now and after each reload.
    """

    def __init__(self, path: Path, rules: RuleSet, result: LoadResult, endpoint: str | None = None) -> None:
        self.path = path
        self._endpoint = endpoint
        self._stopped: frozenset[str] = frozenset()
        self.current = self._completed(rules)
        self._stamp = result.stamp
        self._warnings = result.warnings
        self._reload_request = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    def start(cls, path: Path, endpoint: str | None = None) -> LiveRules:
        """Loads the rules for the first time. Raises RuleFileError with every fault.

        Blocks for LOOK_PAUSE_S and looks twice where a file changed just now; else it does not wait.
        """
        result = read(path)
        for _ in range(MAX_START_LOOKS):
            if all(look.age > LOOK_PAUSE_S for look in result.stamp):
                break
            sleep(LOOK_PAUSE_S)
            if files.are_unchanged(result.stamp):
                break
            result = read(path)
        else:
            changing = RuleFault(path, 1, 1, "changes all the time: expected files that stay as they are")
            raise RuleFileError((changing,))
        if result.rules is None:
            raise RuleFileError(result.faults)
        return cls(path, result.rules, result, endpoint)

    def watch(self, on_reload: OnReload) -> None:
        """Looks at the files from now on. `on_reload` gets the new rules, or None where we can't use them."""
        self._warn()
        self._watcher = asyncio.create_task(self._watch(on_reload), name="storehop rule watcher")

    def stop(self) -> None:
        """Ends the looks at the files. The current rules stay in use."""
        if self._watcher:
            self._watcher.cancel()

    def stop_rules(self, names: frozenset[str]) -> None:
        """From now on these rules let all their clicks pass, and no others: after each reload, too."""
        self._stopped = names
        self.current = self.current.with_stopped(names)

    def reload(self) -> None:
        """Reads the files at once, even if they did not change."""
        self._reload_request.set()

    def summary(self) -> str:
        """The current rules in one line, for people."""
        return summary(self.current)

    async def _watch(self, on_reload: OnReload) -> None:
        """One look at a time, so that an older reading never replaces a newer one."""
        while True:
            is_requested = await taken_within(self._reload_request, LOOK_PAUSE_S)
            try:
                if is_requested or await self._has_changed():
                    await self._reload(on_reload, is_requested=is_requested)
            except Exception:  # of any kind: the next change must not need a restart
                logger.exception("looking at the rules failed in our own code, the last good ones stay")

    async def _has_changed(self) -> bool:
        look_again = await in_background(partial(files.still_current, self._stamp))
        self._stamp = look_again or self._stamp
        return look_again is None

    async def _reload(self, on_reload: OnReload, *, is_requested: bool) -> None:
        """Reads in a thread, replaces on the loop. On a fault, logs it and keeps the last good rules."""
        before = files.content_of(self._stamp)
        try:
            result = await self._read_stable()
        except Exception:  # of any kind: it counts as a fault, and the next change is read again
            self._stamp = await in_background(partial(files.look_again, self._stamp))
            on_reload(None)
            logger.exception("reading the changed rules failed in our own code, the last good ones stay")
            return
        self._stamp = result.stamp
        if is_requested or result.faults or files.content_of(result.stamp) != before:  # else it was only touched
            self._use(result, on_reload)

    async def _read_stable(self) -> LoadResult:
        """Reads until two looks in a row are equal."""
        for looks in count(2):
            result = await in_background(partial(read, self.path))
            await asyncio.sleep(LOOK_PAUSE_S)
            if await in_background(partial(files.are_unchanged, result.stamp)):
                return result
            if looks == LOOKS_UNTIL_WARNING:
                logger.warning(
                    "the rules changed at each of %d looks: the last good ones stay until two are equal", looks
                )
        raise AssertionError  # count() has no end

    def _use(self, result: LoadResult, on_reload: OnReload) -> None:
        if result.rules is None:
            faults = "\n".join(map(str, result.faults))
            on_reload(None)
            logger.error("the changed rules can't be used, the last good ones stay:\n%s", faults)
            return
        self.current, self._warnings = self._completed(result.rules), result.warnings
        self._warn()
        on_reload(self.current)
        logger.info("rules reloaded: %s", self.summary())

    def _completed(self, rules: RuleSet) -> RuleSet:
        """With what the files don't say."""
        if self._endpoint is not None:
            rules = replace(rules, delivery=replace(rules.delivery, endpoint=self._endpoint, proxy=None))
        return rules.with_stopped(self._stopped)

    def _warn(self) -> None:
        for warning in self._warnings:
            logger.warning("%s", warning)
