"""What processes that share an outbox tell each other about clicks that they have answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storehop.deliver.outbox import Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.deliver.writer import PATIENCE, Writer


@dataclass(frozen=True, slots=True)
class Note:
    """A text about a click, by what the click is known by."""

    key: bytes
    text: str
    seconds: float
    """How long it counts."""


class Notes:
    """Notes lie in the outbox, where a call's row and its note can be written in one go (`Courier.accept`).

    Methods raise OutboxError: then nothing is written; or, for TooSlowError, it may be yet.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def leave(self, note: Note) -> str | None:
        """Leaves it for the others, or returns the text of the one that is there already."""
        self._check()
        return await self._writer.submit_soon(
            lambda outbox: outbox.first_answer(note.key, note.text, note.seconds), PATIENCE
        )

    async def take(self, key: bytes, fits: Callable[[str], bool]) -> str | None:
        """The text of a note that fits. It is gone then: no other process gets it."""

        def step(outbox: Outbox) -> str | None:
            found = outbox.answer(key)
            if found is None or not fits(found):
                return None
            outbox.forget_answer(key)
            return found

        self._check()
        return await self._writer.submit_soon(step, PATIENCE)

    def _check(self) -> None:
        if self._writer.fault:
            raise OutboxError(self._writer.fault)  # nothing may queue up before a disk that hangs
