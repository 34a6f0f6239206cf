"""What an engine can be asked, as data: a closed list of operations and what they give (design §6.1).

Durations are seconds. What the operations mean together, and which laws hold, says `storehop.deliver.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from storehop.model import S2SCall, Verdict


class Answer(NamedTuple):
    """What a click was answered, for whoever gets the same click again."""

    key: bytes
    """What the click is recognised by."""
    text: str
    seconds: float
    """How long it counts."""


class Leased(NamedTuple):
    """A call that the caller may send until its lease ends."""

    call: S2SCall
    lease: str
    """An opaque token, equal to no other lease's."""
    attempt: int
    """Starts at 1."""
    age_s: float
    """Seconds since the call was accepted, or revived."""


class Swept(NamedTuple):
    """How the outbox stands, and what a Sweep did."""

    expired: tuple[str, ...]
    """Ids of the calls that got too old; as many as `most`: there may be more."""
    dropped: int
    """Dead letters that were deleted, the oldest ones, since they filled more than their share."""
    pending: int
    """Calls that are leased or due."""
    due: int
    """Calls whose time has come and that nobody has a live lease on."""
    dead: int
    oldest_s: float | None
    """Age of the oldest pending call."""


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A stored call, for people."""

    id: str
    rule: str
    url: str
    state: str
    """`leased`, `due` or `dead`."""
    age: float
    """Seconds since the click."""
    attempts: int
    last: str | None
    """Outcome of the last attempt."""
    reason: str | None
    """Why it is dead."""


class Operation[Result]:
    """One step of the closed list below; `Result` is what `run` gives for it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Accept(Operation["Leased | str"]):
    """Stores a new call under a lease, or gives the text of the answer that the same click had already."""

    call: S2SCall
    lease: str
    lease_s: float
    answer: Answer | None = None
    """What this click is answered, where the same click must be taken once."""
    retry: Answer | None = None
    """What a browser's retry of this request is answered; stored with the call."""
    hold_s: float = 0.0
    """How long the call waits for that retry: its lease begins to count after that."""


@dataclass(frozen=True, slots=True)
class Withdraw(Operation[bool]):
    """Deletes a call whose click was answered otherwise; `text` takes the place of the answer stored with it."""

    call_id: str
    lease: str
    answer: Answer | None
    """As it was accepted with the call; what another click put in its place since then stays."""
    text: str


@dataclass(frozen=True, slots=True)
class Amend(Operation["Leased | None"]):
    """Puts a call in the place of the one of the same id that is held, leased to whoever asks, held no more."""

    call: S2SCall
    lease: str
    lease_s: float


@dataclass(frozen=True, slots=True)
class ClaimDue(Operation[list[Leased]]):
    """Leases calls that are due, newest first."""

    most: int
    lease: str
    """The calls' tokens are `lease.0`, `lease.1`, …"""
    lease_s: float
    ids: tuple[str, ...] | None = None
    """Only these calls."""
    only: str = ""
    """Only calls to this origin."""
    but: tuple[str, ...] = ()
    """No calls to these origins."""
    overdue_s: float = 0.0
    """How long their time must have come."""
    rate: float = 0.0
    """Calls a second that all processes together may claim with a rate; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class Extend(Operation[bool]):
    """Has a live or lapsed lease end `lease_s` from now; a held call is held no more. False: it is another's."""

    call_id: str
    lease: str
    lease_s: float


@dataclass(frozen=True, slots=True)
class Settle(Operation[bool]):
    """Writes what became of an attempt. False: the lease is another's, and nothing changed."""

    call_id: str
    lease: str
    verdict: Verdict
    last: str | None
    """Outcome of the attempt in a word, for people."""


@dataclass(frozen=True, slots=True)
class Remember(Operation["str | None"]):
    """Stores an answer, or gives the text of the one that its key has already."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Recall(Operation["str | None"]):
    """The text of the answer with this key, while it counts."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Forget(Operation[bool]):
    """Deletes the answer with this key and text. False: it is gone, or another's."""

    key: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Sweep(Operation[Swept]):
    """Makes room, then gives up the calls that nobody has a live lease on and that are older than `max_age_s`.

    It runs alone in a batch. To make room are: answers that count no more, and the oldest dead letters beyond half
    of what the outbox may fill.
    """

    max_age_s: float
    most: int
    """Calls that one Sweep gives up."""


@dataclass(frozen=True, slots=True)
class Probe(Operation[None]):
    """Writes as much as a large click and takes it away again: raises where a click could not be stored.

    It runs alone in a batch.
    """


@dataclass(frozen=True, slots=True)
class Release(Operation[int]):
    """Makes due what this holder has leased, held calls too: it has ended. Gives how many calls that were.

    A holder is what stands before the first `:` of a lease. It runs alone in a batch.
    """

    holder: str


@dataclass(frozen=True, slots=True)
class Mark(Operation[None]):
    """Stores a small text under a name, without an end: such as a canary's stop."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Unmark(Operation[bool]):
    """Deletes a mark. False: there was none."""

    name: str


@dataclass(frozen=True, slots=True)
class Marks(Operation[Mapping[str, str]]):
    """All marks, by name."""


@dataclass(frozen=True, slots=True)
class ListCalls(Operation[list[StoredCall]]):
    """Stored calls, newest first."""

    dead: bool | None = None
    """Only the dead, only the pending, or all."""
    call_id: str = ""
    """Only this one."""


@dataclass(frozen=True, slots=True)
class Revive(Operation[int]):
    """Makes these dead calls due now, as young as new ones. Gives how many of them were dead."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Purge(Operation[int]):
    """Deletes these dead calls. Gives how many of them were dead."""

    call_ids: tuple[str, ...]
