"""The stops that hold in this process: a look at the outbox's marks from time to time, and what people are told of it.

All processes on an outbox look, so a stop that one of them writes, or a person, holds in all within LOOK_S. It lasts
over restarts, until a person resumes the rule. While the outbox is down the last known stops stay; and where it comes
back without its marks (a file that was set aside, a server that lost its data), who knows of a stop writes it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from storehop.background import taken_within
from storehop.canary.stop import Resumed, Stop, in_one_line
from storehop.decide.rules import EVERY_RULE, RuleSet
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError

logger = logging.getLogger(__name__)

LOOK_S = 0.8
"""Between two looks: a stop holds everywhere within two seconds, a look that takes a second included."""


class Party(Protocol):
    """Who takes part in the looks, beside the stops. Both methods run on the loop, and must be quick.

    The canary does: its counts go out with a look as marks, and it adds up what the marks of all processes say.
    Whatever it finds, it calls `Stops.stop`, from within `heard`, too.
    """

    def marks(self) -> Mapping[str, str | None]:
        """What to write with the next look: texts by the marks' names; None takes the mark away.

        Asked at each look. What a look could not write is not kept: the next one asks again.
        """

    def heard(self, marks: Mapping[str, str]) -> None:
        """All marks of all processes, those included that this look has written. Not called by a look that failed."""


class Stops:
    """Gives `use` the names of the rules that are stopped, whenever they change. Must be made on a running event loop.

    `are_known` is False until the marks were read, and after a look that failed: then a stop may be there of which
    nobody here knows, and no click may go direct.
    """

    def __init__(self, outbox: Outbox, use: Callable[[frozenset[str]], None]) -> None:
        self.current: Mapping[str, Stop] = {}
        """By rule; read only."""
        self.are_known = False
        self._outbox, self._use = outbox, use
        self._marked: Mapping[str, Stop] = {}
        self._resumed: Mapping[str, Resumed] = {}
        """As the last look found them."""
        self._unwritten: dict[str, Stop] = {}
        """Stops of this process that are not marks yet."""
        self._parties: list[Party] = []
        self._is_wanted, self._has_looked = asyncio.Event(), asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def names(self) -> frozenset[str]:
        """Of the rules that are stopped."""
        return frozenset(self.current)

    def join(self, party: Party) -> None:
        """It takes part in each look from now on."""
        self._parties.append(party)

    def begin(self) -> None:
        """Looks at once, and from then on."""
        self._watcher = asyncio.create_task(self._watch(), name="storehop stops")

    def stop(self, stop: Stop) -> None:
        """Stops a rule: here at once, elsewhere with the mark. It is written with the next look, which begins now,
        or as soon as the outbox takes it. A rule that is stopped already stays so as it is.
        """
        if stop.rule not in self.current:
            self._unwritten[stop.rule] = stop
            self._settle({})
            self._is_wanted.set()

    async def up_to_date(self, rules: RuleSet) -> RuleSet:
        """These rules with the stops, for a click that came before they were known.

        Waits for a look, as long as the outbox has patience, and not at all while it is down: see `are_known` then.
        """
        if not self.are_known and not self._outbox.fault:
            self._is_wanted.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_looked.wait(), self._outbox.patience_s)
        return rules.with_stopped(self.names)

    async def look(self) -> None:
        """Writes and reads the marks, and tells the parties. Raises nothing: after a fault the last stops stay."""
        written: Mapping[str, Stop] = {}
        try:
            if self._unwritten and not self.are_known:
                self._drop_ended(await self._outbox.marks())
            written = dict(self._unwritten)
            marks = await self._exchange(written)
            self._unwritten = {rule: stop for rule, stop in self._unwritten.items() if written.get(rule) != stop}
            self._read(Stop.of_marks(marks), Resumed.of_marks(marks))
        except OutboxError as error:
            self.are_known = False
            logger.debug("the stops can't be read: %s", error)
        except Exception:  # of any kind: the next look must not need a restart
            self.are_known = False
            logger.exception("looking at the stops failed in our own code, the last ones stay")
        else:
            self.are_known = True
            self._tell(marks)
        self._has_looked.set()
        self._has_looked.clear()

    async def close(self) -> None:
        """Looks no more. A stop that is not written yet gets a last try: nobody else may know of it."""
        if self._watcher:
            self._watcher.cancel()
        if self._unwritten:
            with suppress(OutboxError, TimeoutError):
                await asyncio.wait_for(self._exchange(self._unwritten), self._outbox.patience_s)

    async def _watch(self) -> None:
        while True:
            self._is_wanted.clear()
            await self.look()
            await taken_within(self._is_wanted, LOOK_S)

    async def _exchange(self, stops: Mapping[str, Stop]) -> Mapping[str, str]:
        """All marks, after these stops and the parties' marks are written. Raises OutboxError."""
        texts: dict[str, str | None] = {stop.mark: stop.to_text() for stop in stops.values()}
        for party in self._parties:
            try:
                texts |= party.marks()
            except Exception:  # whatever it is, stops must go on
                logger.exception("%s failed at a look", type(party).__name__)
        await asyncio.gather(*(self._write(name, text) for name, text in texts.items()))
        return await self._outbox.marks()

    def _drop_ended(self, marks: Mapping[str, str]) -> None:
        """While this process was cut off others may have stopped the same rule, and a person may have resumed it."""
        marked, resumed = Stop.of_marks(marks), Resumed.of_marks(marks)
        for rule, stop in list(self._unwritten.items()):
            news = resumed.get(rule)
            is_over = news is not None and news != self._resumed.get(rule) and news.ends(stop)
            if is_over or rule in marked:
                del self._unwritten[rule]

    async def _write(self, name: str, text: str | None) -> None:
        if text is None:
            await self._outbox.unmark(name)
        else:
            await self._outbox.mark(name, text)

    def _read(self, marked: Mapping[str, Stop], resumed: Mapping[str, Resumed]) -> None:
        """Takes what the marks say. A mark that is gone without a resumption was lost."""
        for rule, stop in self._marked.items():
            is_over = rule in marked or (rule in resumed and resumed[rule].ends(stop))
            if not is_over:
                self._unwritten[rule] = stop
                self._is_wanted.set()
                logger.warning("the outbox has lost that %s is stopped: it is written again", name_of(rule))
        self._marked, self._resumed = marked, resumed
        self._unwritten = {rule: stop for rule, stop in self._unwritten.items() if rule not in marked}
        self._settle(resumed)

    def _tell(self, marks: Mapping[str, str]) -> None:
        for party in self._parties:
            try:
                party.heard(marks)
            except Exception:  # whatever it is, stops must go on
                logger.exception("%s failed at a look", type(party).__name__)

    def _settle(self, resumed: Mapping[str, Resumed]) -> None:
        """What is marked and what is to be is what holds from now on."""
        before, now = self.current, {**self._unwritten, **self._marked}
        if before.keys() != now.keys():
            self._use(frozenset(now))
        self.current = now
        for rule in self.current.keys() - before.keys():
            stop = self.current[rule]
            logger.warning("%s (%s, since %s)", in_words(stop), stop.signal, when(stop.since))
        for rule in before.keys() - self.current.keys():
            logger.info("%s", _goes_on(before[rule], resumed.get(rule)))


def in_words(stop: Stop) -> str:
    """That it is stopped, and why."""
    return f"{name_of(stop.rule)} {'are' if stop.rule == EVERY_RULE else 'is'} stopped: {stop.why}"


def name_of(rule: str) -> str:
    """A rule in a sentence."""
    return "all rules" if rule == EVERY_RULE else f"rule {in_one_line(rule)}"


def when(unix_s: float) -> str:
    """A time for people and machines: UTC, to the second."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _goes_on(stop: Stop, resumed: Resumed | None) -> str:
    """That it does, after how long, and the person's reason."""
    stood_s = (resumed.at if resumed else time.time()) - stop.since
    because = resumed.because if resumed else "nobody says why"
    go_on = "go on" if stop.rule == EVERY_RULE else "goes on"
    return f"{name_of(stop.rule)} {go_on} after a stop of {stood_s:.0f} s: {because}"
