"""The same click again within ten seconds gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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


class Duplicates:
    """Remembers answers, by what makes clicks the same. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._answered: TTLCache[bytes, Answer] = TTLCache(MOST, WINDOW, timer=clock)
        self._under_way: dict[bytes, _UnderWay] = {}

    async def once(self, direct: Direct, act: Callable[[Direct, bytes | None], Awaitable[Answer]]) -> Decision:
        """`act(direct, key)` for the first of equal clicks; the others get its answer. `key` is what they share.

        That holds for a click that had to pass, too: AppsFlyer has counted it by the old redirect. A failure of
        `act` is such a pass; it is raised for the first click.
        """
        key = self._key(direct.likeness)
        if key is None:
            return (await act(direct, None)).told(direct)
        if known := self._answered.get(key):
            return known.told(direct)
        if first := self._under_way.get(key):
            return (await asyncio.shield(first.answer)).told(direct)
        hints = direct.likeness.hints
        self._under_way[key] = _UnderWay(hints, asyncio.get_running_loop().create_future())
        answer = Answer(direct.call.id, hints, Reason.ERROR)  # stands where `act` fails or is cancelled
        try:
            answer = await act(direct, key)
        finally:
            self._answered[key] = answer
            self._under_way.pop(key).answer.set_result(answer)
        return answer.told(direct)

    def _key(self, same: Likeness) -> bytes | None:
        """What this click is known by: with its hints where they tell it from the first one of its key."""
        if same.key is None:
            return None
        first = self._answered.get(same.key) or self._under_way.get(same.key)
        return key_with_hints(same) if first and are_apart(first.hints, same.hints) else same.key
