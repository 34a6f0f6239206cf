"""The same click again within ten seconds gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import NamedTuple

from cachetools import TTLCache

from storehop.decide.duplicate import are_apart, key_with_hints
from storehop.model import Decision, Direct, Likeness, Pass, Reason

WINDOW_S = 10.0
"""Time in which a reload, a double tap or a browser's retry is the same click."""
MAX_REMEMBERED = 100_000
"""Clicks; about 300 bytes each."""
_REASONS = frozenset(reason.value for reason in Reason)


class ClickAnswer(NamedTuple):
    """What a click was answered, for the same click again. It holds no personal data."""

    click_id: str
    hints: str
    """As in its `Likeness`."""
    text: str
    """The store's URL, or the reason why it passed."""

    def to_text(self) -> str:
        """As the outbox keeps it, for other processes."""
        return f"{self.click_id} {self.hints or '-'} {self.text}"

    @classmethod
    def from_text(cls, text: str) -> ClickAnswer:
        """What `to_text` gave; a text alone is an answer of which no more is known."""
        click_id, _, rest = text.partition(" ")
        hints, space, answer = rest.partition(" ")
        return cls(click_id, "" if hints == "-" else hints, answer) if space else cls("", "", text)

    @property
    def is_direct(self) -> bool:
        """Whether it led to the store."""
        return self.text not in _REASONS

    def decision_for(self, direct: Direct) -> Decision:
        """The decision that this answer makes of an equal click's."""
        if not self.is_direct:
            return Pass(Reason(self.text), direct.rule, direct.app, direct.platform, direct.store)
        if self.click_id == direct.call.id:
            return direct
        return replace(direct, location=self.text, repeats=self.click_id or "unknown")


class _Pending(NamedTuple):
    """A click that is being answered."""

    hints: str
    answer: asyncio.Future[ClickAnswer]


type Accept = Callable[[Direct, bytes | None], Awaitable[tuple[ClickAnswer, bytes | None]]]
"""Has a click's call delivered; gives the answer that counts, and the key under which it lies."""


class Duplicates:
    """Remembers this process's answers, by what makes clicks the same. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._answers: TTLCache[bytes, ClickAnswer] = TTLCache(MAX_REMEMBERED, WINDOW_S, timer=clock)
        self._pending: dict[bytes, _Pending] = {}

    async def once(self, direct: Direct, accept: Accept) -> Decision:
        """Calls `accept(direct, key)` for the first of equal clicks; the others get its answer.

        `key` is what they share, as far as this process knows; `accept` says under which one the answer really lies.
        That holds for a click that had to pass, too: AppsFlyer has counted it by the old redirect. A failure of
        `accept` is such a pass; it is raised for the first click.
        """
        same = direct.likeness
        if same.key is None:
            answer, _ = await accept(direct, None)
            return answer.decision_for(direct)
        if earlier := self._find(self._answers, same):
            return earlier.decision_for(direct)
        if first := self._find(self._pending, same):
            return (await asyncio.shield(first.answer)).decision_for(direct)
        return (await self._answer_first(direct, self._free_key(same), accept)).decision_for(direct)

    async def earlier(self, direct: Direct) -> ClickAnswer | None:
        """What this process has answered the same click, or is about to."""
        if answer := self._find(self._answers, direct.likeness):
            return answer
        first = self._find(self._pending, direct.likeness)
        return await asyncio.shield(first.answer) if first else None

    async def _answer_first(self, direct: Direct, key: bytes, accept: Accept) -> ClickAnswer:
        self._pending[key] = _Pending(direct.likeness.hints, asyncio.get_running_loop().create_future())
        place = key
        answer = ClickAnswer(
            direct.call.id, direct.likeness.hints, Reason.ERROR
        )  # where `accept` fails or is cancelled
        try:
            answer, real_key = await accept(direct, key)
            place = real_key or key
        finally:
            self._answers[place] = answer
            self._pending.pop(key).answer.set_result(answer)
        return answer

    def _find[T: (ClickAnswer, _Pending)](self, answers: MutableMapping[bytes, T], same: Likeness) -> T | None:
        """The answer to this click: first among those that hints tell apart, then among all of its key."""
        if (own := key_with_hints(same)) and (answer := answers.get(own)):
            return answer
        first = answers.get(same.key) if same.key else None
        return first if first and not are_apart(first.hints, same.hints) else None

    def _free_key(self, same: Likeness) -> bytes:
        """The clicks' key, or one with its hints where another click has that."""
        assert same.key  # noqa: S101  the caller has asked
        is_taken = same.key in self._answers or same.key in self._pending
        return (key_with_hints(same) if is_taken else None) or same.key
