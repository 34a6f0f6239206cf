"""What an outbox asks of the engine that keeps it: a closed list of operations (design §6.1).

An engine is synchronous and belongs to one thread. It runs batches: what `run` returns is stored, all of it, and
what it raises for is not, none of it. Any number of processes may have an engine each on the same outbox. Durations
are seconds and relative: an engine counts them by a clock of its own.

A call's states:

    (none) ──Accept──▶ leased ──Settle: Delivered, Withdraw──▶ (deleted)
                        │ ▲ └───Settle: Dead──▶ dead ──Revive──▶ due
          Settle: RetryIn │ ClaimDue            ▲ └──Purge──▶ (deleted)
                        ▼ │                     │ Sweep: older than max_age_s
                        due ────────────────────┘

    leased   The holder of the lease may send it. A lease that lapses makes the call due. A call that is held is
             leased as well: it waits `hold_s` for a browser's retry, which may amend it from any process.
    due      Any process may claim it, once its time has come.
    dead     Nobody sends it; the reason stands beside it, until a person revives or purges it.

The laws, which the conformance suite runs on every engine:

     1  What was accepted survives a kill of the process (and a power cut, where the engine promises that).
     2  What was refused or withdrawn is never handed out. (UnknownError: may be, until it is withdrawn.)
     3  Of two accepts with one answer's key, within its seconds, the first is taken; the other gets its text.
     4  A call has one live lease at the most.
     5  A stale lease settles, withdraws and extends nothing, and is told so (False).
     6  A lease that lapses makes its call due.
     7  Extend and Amend say so (False, None) where the lease or the held call is gone.
     8  ClaimDue hands out the newest first.
     9  Sweep makes room before it needs room; what it has freed stays free when the rest fails.
    10  A fault heals without a restart: the next `run` may succeed. What is full goes on to hand out and to settle.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from storehop.deliver.operations import Operation


class EngineError(Exception):
    """The engine could not do it: disk full, locked, gone. The message is for people and holds no personal data."""


class FullError(EngineError):
    """It takes no more clicks for now. What it has it hands out and settles: that makes room."""


class NoRoomError(EngineError):
    """It has too little room for this batch. A smaller one may fit."""


class UnknownError(EngineError):
    """It may be stored or not: no answer came, or the server that answered has no say any more.

    What was to be accepted must be withdrawn. Until that is written, or where it comes later than the lease's end,
    a call may be sent whose click passed.
    """


class EngineWatcher(Protocol):
    """Hears on the outbox's thread how a shared engine does. Raises nothing."""

    def waited(self, seconds: float) -> None:
        """So long the replicas took to acknowledge a batch."""

    def failed_over(self) -> None:
        """Another server is the primary now."""


class Engine(Protocol):
    """Keeps an outbox. Its laws stand at the top of this file."""

    kind: str
    """`sqlite` or `redis`."""
    where: str
    """Which outbox, for people; without credentials."""
    most: int
    """Operations that a batch may hold."""
    patience_s: float
    """How long the storing of a click may take before the click passes."""
    remarks: tuple[str, ...]
    """What people should know while it works: how its settings weaken the promise."""
    refusal: str | None
    """Why it takes no clicks, as far as it knows without one; what it has it hands out and settles. `run` finds both
    of these out.
    """

    def run(self, batch: Sequence[Operation[Any]]) -> list[Any]:
        """The operations' results, in their order, once all are stored. Opens what is not open.

        Raises EngineError: then nothing of the batch is stored (a Sweep's room, and an UnknownError, apart).
        """

    def exclusive(self) -> AbstractContextManager[None]:
        """Until it ends, no other process writes or claims, where the engine can do that: a call that is stored in it
        can be withdrawn before anybody gets its answer.

        Where it can't, a lease keeps the others away, and only the answer may be seen.
        Raises EngineError.
        """

    def close(self) -> None:
        """Lets go of everything. `run` may open it again."""
