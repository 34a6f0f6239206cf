"""Whether traffic should come here: what /readyz answers (design §5).

Who finds a further reason adds a line where it makes its Readiness: to `unready` where another process would serve
users better, to `degraded` where this one does all that can be done. Lines are for people, and begin with the part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

_DEGRADED, _REMARK = "degraded: ", "note: "


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ready while nothing is in `unready`."""

    unready: tuple[str, ...] = ()
    """Why clicks and pages can't be answered here now: `draining`, `rules: none could be loaded`."""
    degraded: tuple[str, ...] = ()
    """What fails while they are answered all the same: `outbox: disk full`, and so clicks pass."""
    remarks: tuple[str, ...] = ()
    """What kind of process this is, ready or not: `dry run`."""

    @property
    def is_ready(self) -> bool:
        """Users get answers here."""
        return not self.unready

    @property
    def is_well(self) -> bool:
        """Nothing fails at all."""
        return not self.unready and not self.degraded

    def __str__(self) -> str:
        """A line for each reason, or `ok`; then the remarks. `from_text` reads it."""
        reasons = (*self.unready, *(_DEGRADED + line for line in self.degraded))
        return "\n".join((*(reasons or ("ok",)), *(_REMARK + line for line in self.remarks)))

    @classmethod
    def from_text(cls, text: str) -> Readiness:
        """What another process says of itself."""
        lines = [line for line in text.splitlines() if line != "ok"]
        return cls(
            tuple(line for line in lines if not line.startswith((_DEGRADED, _REMARK))),
            tuple(line.removeprefix(_DEGRADED) for line in lines if line.startswith(_DEGRADED)),
            tuple(line.removeprefix(_REMARK) for line in lines if line.startswith(_REMARK)),
        )

    @classmethod
    def of_several(cls, processes: Iterable[Readiness]) -> Readiness:
        """Of processes that share a port: one that is ready is enough, and only what it lacks counts then."""
        answers = list(processes)
        serving = [answer for answer in answers if answer.is_ready] or answers
        return cls(
            _once_each(line for answer in serving for line in answer.unready),
            _once_each(line for answer in serving for line in answer.degraded),
            _once_each(line for answer in serving for line in answer.remarks),
        )


type GetReadiness = Callable[[], Readiness | Awaitable[Readiness]]
"""Finds out how this process is now."""


def _once_each(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
