"""What an outbox in memory consists of; tests.support.memory_engine says what is done to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from storehop.deliver.operations import Answer
from storehop.model import S2SCall
from tests.support.clocks import HandClock


@dataclass
class StoredCall:
    """One row."""

    call: S2SCall
    created_at: float
    born: float
    state: str
    lease: str | None = None
    until: float = 0.0
    """When a lease ends, or a due call's time comes."""
    is_held: bool = False
    answer: Answer | None = None
    attempts: int = 0
    last: str | None = None
    reason: str | None = None


@dataclass
class MemoryOutbox:
    """What the processes share."""

    clock: HandClock = field(default_factory=HandClock)
    capacity: int | None = None
    """Calls that it has room for."""
    fault: str | None = None
    """Why nothing can be stored: each batch fails in its last moment."""
    calls: dict[str, StoredCall] = field(default_factory=dict)
    answers: dict[bytes, tuple[str, float]] = field(default_factory=dict)
    """Texts, and the uptimes until which they count."""
    marks: dict[str, str] = field(default_factory=dict)
    budget: tuple[float, float] = (0.0, 0.0)
    """Calls that recovery may claim, and the uptime at which that was counted."""
    writer: object = None
    """Who keeps the others away."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def reboot(self) -> None:
        """Uptime began anew: no lease and no answer holds any more, and ages go by the wall clock."""
        self.answers, self.budget = {}, (0.0, self.clock.up)
        for row in self.calls.values():
            row.born = self.clock.up - max(0.0, self.clock.unix - row.created_at)
            if row.state != "dead":
                row.state, row.lease, row.until, row.is_held = "due", None, self.clock.up, False
