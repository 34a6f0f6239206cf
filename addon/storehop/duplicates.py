"""The same click again within ten seconds gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

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


class _Pending:
    """A click that is being answered, and the equal ones that wait for its answer."""

    __slots__ = ("_waiting", "hints")

    def __init__(self, hints: str) -> None:
        self.hints = hints
        self._waiting: list[asyncio.Future[ClickAnswer]] = []

    async def answer(self) -> ClickAnswer:
        """When there is one."""
        waiting: asyncio.Future[ClickAnswer] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def end(self, answer: ClickAnswer) -> None:
        """The answer is there."""
        for waiting in self._waiting:
            if not waiting.done():  # whoever waited may have been cancelled
                waiting.set_result(answer)


class _Answers:
    """Those of the last WINDOW_S, by key. cachetools' TTLCache does the same in four times the time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_age: OrderedDict[bytes, tuple[float, ClickAnswer]] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> ClickAnswer | None:
        """The answer under a key, for WINDOW_S."""
        found = self._by_age.get(key)
        return found[1] if found and self._clock() < found[0] else None

    def add(self, key: bytes, answer: ClickAnswer) -> None:
        """Keeps an answer from now on. The oldest one makes room."""
        now = self._clock()
        self._by_age[key] = now + WINDOW_S, answer
        self._by_age.move_to_end(key)
        while len(self._by_age) > MAX_REMEMBERED or next(iter(self._by_age.values()))[0] <= now:
            self._by_age.popitem(last=False)


type Accepted = Awaitable[tuple[ClickAnswer, bytes | None]]
"""The answer that counts once a click's call is taken, and the key under which it lies."""


class Duplicates:
    """Remembers this process's answers, by what makes clicks the same. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._answers = _Answers(clock)
        self._pending: dict[bytes, _Pending] = {}

    async def once[*More](
        self, direct: Direct, accept: Callable[[Direct, bytes | None, *More], Accepted], *more: *More
    ) -> Decision:
        """Calls `accept(direct, key, *more)` for the first of equal clicks; the others get its answer.

        `key` is what they share, as far as this process knows; `accept` says under which one the answer really lies.
        That holds for a click that had to pass, too: AppsFlyer has counted it by the old redirect. A failure of
        `accept` is such a pass; it is raised for the first click.
        """
        same = direct.likeness
        if same.key is None:
            answer, _ = await accept(direct, None, *more)
        elif earlier := _find(self._answers.get, same):
            answer = earlier
        elif first := _find(self._pending.get, same):
            answer = await first.answer()
        else:
            answer = await self._answer_first(direct, self._free_key(same), accept, *more)
        return answer.decision_for(direct)

    async def earlier(self, direct: Direct) -> ClickAnswer | None:
        """What this process has answered the same click, or is about to."""
        if answer := _find(self._answers.get, direct.likeness):
            return answer
        first = _find(self._pending.get, direct.likeness)
        return await first.answer() if first else None

    async def _answer_first[*More](
        self,
        direct: Direct,
        key: bytes,
        accept: Callable[[Direct, bytes | None, *More], Accepted],
        *more: *More,
    ) -> ClickAnswer:
        self._pending[key] = _Pending(direct.likeness.hints)
        place, answer = key, None
        try:
            answer, real_key = await accept(direct, key, *more)
            place = real_key or key
        finally:  # without an answer `accept` has failed, or was cancelled
            known = answer or ClickAnswer(direct.call.id, direct.likeness.hints, Reason.ERROR)
            self._answers.add(place, known)
            self._pending.pop(key).end(known)
        return answer

    def _free_key(self, same: Likeness) -> bytes:
        """The clicks' key, or one with its hints where another click has that."""
        assert same.key  # noqa: S101  the caller has asked
        is_taken = same.hints and (same.key in self._answers or same.key in self._pending)
        return (key_with_hints(same) if is_taken else None) or same.key


def _find[T: (ClickAnswer, _Pending)](get: Callable[[bytes], T | None], same: Likeness) -> T | None:
    """The answer to this click: first among those that hints tell apart, then among all of its key."""
    if same.hints and (own := key_with_hints(same)) and (answer := get(own)):
        return answer
    first = get(same.key) if same.key else None
    return first if first and not (same.hints and are_apart(first.hints, same.hints)) else None
