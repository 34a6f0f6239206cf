"""Which processes run on an outbox, and which stops hold in each: a person's command asks, each process answers.

Question and answers are marks, there only while the command waits. So nothing is written while nobody asks, and an
outbox on which no storehop runs is told from one that is well.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from storehop.decide.rules import EVERY_RULE, RuleSet

ASK_PREFIX, HERE_PREFIX = "ask:", "here:"
"""Of the marks' names. `ask:ID`; `here:ID:PROCESS`."""
OLD_S = 300.0
"""A question that is older is a killed command's. The clocks of hosts may differ by less."""
MAX_NAMES = 100
"""Names of rules in an answer: to find the one that was meant."""


@dataclass(frozen=True, slots=True)
class Present:
    """What a process answers."""

    process: str
    stopped: tuple[str, ...]
    """The stops that hold in it, by their rules."""
    unknown: tuple[str, ...]
    """Those of them that are none of its rules: a stop of one lets no click pass here."""
    rules: tuple[str, ...]
    """Its first rules, where it does not know one."""

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"process": self.process, "stopped": list(self.stopped), "unknown": list(self.unknown)}

    def to_text(self) -> str:
        """The mark's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Present:
        """Raises ValueError, KeyError, TypeError or RecursionError for what is no answer."""
        raw = json.loads(text)
        return cls(str(raw["process"]), *(tuple(map(str, raw[key])) for key in ("stopped", "unknown", "rules")))


class RollCall:
    """The side of a process: a party of its looks (`canary.stops`)."""

    def __init__(self, holder: str, stopped: Callable[[], Collection[str]], rules: Callable[[], RuleSet]) -> None:
        self._holder, self._stopped, self._rules = holder, stopped, rules
        self._asked: frozenset[str] = frozenset()
        self._over: frozenset[str] = frozenset()

    def marks(self) -> Mapping[str, str | None]:
        """An answer to each question; those to former ones go."""
        answer = self._present().to_text() if self._asked else ""
        return {**dict.fromkeys(self._over), **{self._mark(asked): answer for asked in self._asked}}

    def heard(self, marks: Mapping[str, str]) -> None:
        """What is asked now."""
        asked = {one.removeprefix(ASK_PREFIX) for one in marks if one.startswith(ASK_PREFIX)}
        own = {one for one in marks if one.startswith(HERE_PREFIX) and one.endswith(f":{self._holder}")}
        self._asked = frozenset(one for one in asked if self._mark(one) not in own and not _is_old(one))
        self._over = frozenset(own - {self._mark(one) for one in asked})

    def _mark(self, asked: str) -> str:
        return f"{HERE_PREFIX}{asked}:{self._holder}"

    def _present(self) -> Present:
        stopped = tuple(self._stopped())
        names = [rule.name for _, rule in self._rules().rules]
        unknown = tuple(one for one in stopped if one != EVERY_RULE and one not in names)
        return Present(self._holder, stopped, unknown, tuple(names[:MAX_NAMES]) if unknown else ())


def new_question() -> str:
    """Its id, which says when it was asked."""
    return f"{time.time():.0f}-{uuid.uuid4().hex[:8]}"


def answers(marks: Mapping[str, str], asked: str) -> list[Present]:
    """Those to a question. One that can't be read, of another version, is a process that knows of nothing."""
    prefix = f"{HERE_PREFIX}{asked}:"
    found = []
    for name, text in marks.items():
        if name.startswith(prefix):
            try:
                found.append(Present.from_text(text))
            except (ValueError, KeyError, TypeError, RecursionError):
                found.append(Present(name.removeprefix(prefix), (), (), ()))
    return found


def left_over(marks: Mapping[str, str], asked: str) -> Iterable[str]:
    """The marks of a question that is over, and of old ones that nobody took away."""
    for name in marks:
        for prefix in (ASK_PREFIX, HERE_PREFIX):
            if name.startswith(prefix):
                one = name.removeprefix(prefix).split(":")[0]
                if one == asked or _is_old(one):
                    yield name


def _is_old(asked: str) -> bool:
    at = asked.split("-", maxsplit=1)[0]
    return not at.isdecimal() or time.time() - float(at) > OLD_S
