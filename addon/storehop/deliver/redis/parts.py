"""What this engine asks in parts: all of it in one run of the script would hold up the clicks of all hosts."""

from __future__ import annotations

from dataclasses import dataclass

from storehop.deliver import operations as op


@dataclass(frozen=True, slots=True)
class Ids(op.Operation[list[str]]):
    """The ids of stored calls, to list them in parts."""

    dead: bool | None


@dataclass(frozen=True, slots=True)
class ListThese(op.Operation[list[op.StoredCall]]):
    """The calls of these ids that are still there, and still dead or pending as asked."""

    ids: tuple[str, ...]
    dead: bool | None


@dataclass(frozen=True, slots=True)
class ReleaseThese(op.Operation[int]):
    """Release, as far as it concerns these calls."""

    holder: str
    ids: tuple[str, ...]
