"""A claim: the right to send one stored call, as the loop has it; and which calls are claimed."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from storehop.deliver.operations import Leased
from storehop.model import S2SCall


class Which(TypedDict, total=False):
    """Which due calls to claim: the fields of `operations.ClaimDue`."""

    ids: tuple[str, ...]
    only: str
    but: tuple[str, ...]
    overdue_s: float
    rate: float


class Claim(NamedTuple):
    """The right to send one stored call, until the lease ends. Times are uptimes, in seconds."""

    call: S2SCall
    lease: str
    attempt: int
    """Starts at 1."""
    born: float
    """When the click was accepted."""
    until: float
    """When the lease ends, at the earliest."""

    @classmethod
    def of(cls, leased: Leased, now: float, lease_s: float) -> Claim:
        """Counted from `now`, when it was asked for: the engine's own times are no earlier."""
        return cls(leased.call, leased.lease, leased.attempt, now - leased.age_s, now + lease_s)
