"""What clicks were answered, beside their calls in the outbox: known after a restart, and to every process on it."""

from __future__ import annotations

from collections.abc import Callable

from storehop.deliver.outbox import Note, Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.deliver.writer import PATIENCE, Writer


class Notes:
    """Notes of their own; those of accepted clicks are written with their calls (`Courier.accept`).

    Methods raise OutboxError: then nothing is written; or, for TooSlowError, it may be yet.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def leave(self, note: Note) -> str | None:
        """Leaves it for the others, or returns the text of the one that is there already."""
        self._check()
        return await self._writer.submit_item(Outbox.leave_all, note, PATIENCE)

    async def read(self, key: bytes) -> str | None:
        """The text of the note with this key, while it counts."""
        self._check()
        return await self._writer.submit_soon(lambda outbox: outbox.note(key), PATIENCE)

    async def take[T](self, key: bytes, read: Callable[[str], T | None]) -> T | None:
        """What `read` makes of the note; unless that is None it is gone then, and no other process gets it."""

        def step(outbox: Outbox) -> T | None:
            text = outbox.note(key)
            found = None if text is None else read(text)
            if found is not None:
                outbox.take_note(key)
            return found

        self._check()
        return await self._writer.submit_soon(step, PATIENCE)

    def _check(self) -> None:
        if self._writer.fault:
            raise OutboxError(self._writer.fault)  # nothing may queue up before a disk that hangs
