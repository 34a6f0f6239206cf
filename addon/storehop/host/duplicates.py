"""The same click again within ten seconds gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import NamedTuple

from cachetools import TTLCache

from storehop.decide.duplicate import are_apart, key_with_hints
from storehop.model import Decision, Direct, Likeness, Pass, Reason

WINDOW = 10.0
"""Seconds in which a reload, a double tap or a browser's retry is the same click."""
MOST = 100_000
"""Clicks that are remembered; about 300 bytes each."""
_REASONS = frozenset(reason.value for reason in Reason)


class Answer(NamedTuple):
    """What a click was answered, for the same click again. It holds no personal data."""

    click: str
    """Its id."""
    hints: str
    """As in its `Likeness`."""
    text: str
    """The store's URL, or the reason why it passed."""

    def written(self) -> str:
        """As it lies in the outbox, for other processes."""
        return f"{self.click} {self.hints or '-'} {self.text}"

    @classmethod
    def read(cls, text: str) -> Answer:
        """What `written` wrote; a text alone is an answer of which no more is known."""
        click, _, rest = text.partition(" ")
        hints, space, answer = rest.partition(" ")
        return cls(click, "" if hints == "-" else hints, answer) if space else cls("", "", text)

    def told(self, direct: Direct) -> Decision:
        """The decision that this answer makes of an equal click's."""
        if self.text in _REASONS:
            return Pass(Reason(self.text), direct.rule, direct.app, direct.platform, direct.store)
        if self.click == direct.call.id:
            return direct
        return replace(direct, location=self.text, repeats=self.click or "unknown")


class _UnderWay(NamedTuple):
    """A click that is being answered."""

    hints: str
    answer: asyncio.Future[Answer]


type Act = Callable[[Direct, bytes | None], Awaitable[tuple[Answer, bytes | None]]]
"""Has a click's call delivered; gives the answer that counts, and the key under which it lies."""


class Duplicates:
    """Remembers answers, by what makes clicks the same. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._answered: TTLCache[bytes, Answer] = TTLCache(MOST, WINDOW, timer=clock)
        self._under_way: dict[bytes, _UnderWay] = {}

    async def once(self, direct: Direct, act: Act) -> Decision:
        """`act(direct, key)` for the first of equal clicks; the others get its answer.

        `key` is what they share, as far as this process knows; `act` says under which one the answer really lies.
        That holds for a click that had to pass, too: AppsFlyer has counted it by the old redirect. A failure of
        `act` is such a pass; it is raised for the first click.
        """
        same = direct.likeness
        if same.key is None:
            answer, _ = await act(direct, None)
            return answer.told(direct)
        if known := self._find(self._answered, same):
            return known.told(direct)
        if first := self._find(self._under_way, same):
            return (await asyncio.shield(first.answer)).told(direct)
        key = self._free_key(same)
        self._under_way[key] = _UnderWay(same.hints, asyncio.get_running_loop().create_future())
        place = key
        answer = Answer(direct.call.id, same.hints, Reason.ERROR)  # stands where `act` fails or is cancelled
        try:
            answer, found = await act(direct, key)
            place = found or key
        finally:
            self._answered[place] = answer
            self._under_way.pop(key).answer.set_result(answer)
        return answer.told(direct)

    def _find[T: (Answer, _UnderWay)](self, known: MutableMapping[bytes, T], same: Likeness) -> T | None:
        """What is known of this click: first among those that hints tell apart, then among all of its key."""
        if (own := key_with_hints(same)) and (found := known.get(own)):
            return found
        first = known.get(same.key) if same.key else None
        return first if first and not are_apart(first.hints, same.hints) else None

    def _free_key(self, same: Likeness) -> bytes:
        """The clicks' key, or one with its hints where another click has that."""
        assert same.key  # noqa: S101  the caller has asked
        is_taken = same.key in self._answered or same.key in self._under_way
        return (key_with_hints(same) if is_taken else None) or same.key
