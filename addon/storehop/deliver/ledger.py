"""What became of calls, written into the outbox; a verdict that can't be written now stays in mind until it can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from storehop.deliver.outbox import Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.deliver.writer import Writer
from storehop.model import Claim, Delivered, Outcome, Reply, RetryAt, Settled, Verdict

logger = logging.getLogger(__name__)


class Ledger:
    """Settles calls that `holder` has leased.

    `settled` is told of a verdict when it is committed, `due` of the uptime at which a call is to be sent again.
    """

    def __init__(
        self, writer: Writer, holder: str, settled: Callable[[Settled], None], due: Callable[[float], None]
    ) -> None:
        self._writer = writer
        self._holder = holder
        self._settled = settled
        self._due = due
        self._unwritten: dict[str, tuple[Claim, Verdict, str | None]] = {}

    def settle(self, claim: Claim, verdict: Verdict, outcome: Outcome | None, age: float) -> None:
        """Writes a verdict down with the next commit; `age` is the click's, in seconds."""
        self._write(claim, verdict, _in_words(outcome), Settled(claim.call, outcome, verdict, claim.attempt, age))

    def take_back(self, claim: Claim) -> None:
        """A call that must never be sent, with the next `write_again`; nobody is told."""
        self._unwritten[claim.call.id] = (claim, Delivered(), None)

    def has_verdict(self, claim: Claim) -> bool:
        """Whether the call is settled and only can't be written yet; the verdict is written by this claim then."""
        if (unwritten := self._unwritten.get(claim.call.id)) is None:
            return False
        self._unwritten[claim.call.id] = (claim, *unwritten[1:])
        return True

    def write_again(self) -> None:
        """Tries again what could not be written."""
        for call_id in list(self._unwritten):
            self._write(*self._unwritten.pop(call_id))

    async def written(self) -> None:
        """Returns when every verdict so far was written, or could not be."""
        with suppress(OutboxError):
            await self._writer.run(lambda _outbox: None)

    def _write(self, claim: Claim, verdict: Verdict, last: str | None, settled: Settled | None = None) -> None:
        def written(is_ours: bool | None, error: BaseException | None) -> None:
            if error:
                self._unwritten[claim.call.id] = (claim, verdict, last)
                if not isinstance(error, OutboxError):
                    logger.error("a verdict could not be written by our own fault", exc_info=error)
            elif isinstance(verdict, RetryAt):
                self._due(verdict.when)
            if settled and is_ours is False:
                logger.warning("the lease of click=%s was lost: whoever has it now decides", claim.call.id)
            elif settled:
                self._settled(settled)

        try:
            if isinstance(verdict, Delivered):
                self._writer.post_item(Outbox.deliver_all, (claim, self._holder), written)
            else:
                self._writer.post(lambda outbox: outbox.settle(claim, self._holder, verdict, last), written)
        except OutboxError as error:
            written(None, error)


def _in_words(outcome: Outcome | None) -> str | None:
    match outcome:
        case None:
            return None
        case Reply(status):
            return str(status)
        case _:
            return str(outcome.fault)
