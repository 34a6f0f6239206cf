"""Which processes run on an outbox, as a command finds out and says it. A stop in a file of nobody's stops nothing."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches

from storehop.canary.roll_call import ASK_PREFIX, Present, answers, left_over, new_question
from storehop.canary.stops import name_of
from storehop.cli.opened import Opened
from storehop.decide.rules import EVERY_RULE
from storehop.deliver.tickets import OutboxError

WAIT_S = 2.0
"""Within that each process that runs has answered: it looks every 0.8 s, and answers with the look after."""
PATIENCE_S = 5.0
"""For the first answer: a busy machine is no wrong outbox."""
LOOK_S = 0.25


def call_roll(stored: Opened) -> list[Present]:
    """The processes that run on this outbox. Raises OutboxError."""
    asked = new_question()
    begin = time.monotonic()
    try:
        stored.run(stored.outbox.mark(f"{ASK_PREFIX}{asked}", asked))
        while True:
            found, waited = answers(stored.run(stored.outbox.marks()), asked), time.monotonic() - begin
            if waited >= (WAIT_S if found else PATIENCE_S):
                return found
            time.sleep(LOOK_S)
    finally:
        for name in left_over(stored.run(stored.outbox.marks()), asked):
            with suppress(OutboxError):  # too few replicas have heard of it: it is gone all the same
                stored.run(stored.outbox.unmark(name))


def in_general(present: Sequence[Present], where: str) -> str:
    """How many there are; what to look at where there is none."""
    if present:
        return f"{processes(len(present))} on this outbox"
    return (
        f"no storehop that runs on this outbox has answered: {where}. One that runs has another outbox (the first lines"
        " of its log name it), or can't use this one (/readyz says so)"
    )


def doubts(rule: str, present: Sequence[Present]) -> Iterable[str]:
    """Why a stop of this rule may not do what people think, for those who are present."""
    deaf = [one for one in present if rule not in one.stopped]
    without = [one for one in present if rule in one.unknown]
    if deaf:
        be = "are" if rule == EVERY_RULE else "is"
        yield f"{len(deaf)} of {processes(len(present))} did not know yet that {name_of(rule)} {be} stopped: look again"
    if without and len(without) + len(deaf) == len(present):
        yield (
            f"no process on this outbox has a rule {rule}{_meant(rule, without)}: nothing is stopped by it;"
            f" storehop canary resume {rule} --because 'a typo' takes it back"
        )
    elif without:
        have = "has" if len(without) == 1 else "have"
        yield f"{len(without)} of {processes(len(present))} on this outbox {have} no rule {rule}"


def processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"


def _meant(rule: str, present: Iterable[Present]) -> str:
    near = get_close_matches(rule, sorted({name for one in present for name in one.rules}), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def holds(rule: str, present: Collection[Present]) -> Iterable[str]:
    """Who lets the clicks pass, where there is somebody."""
    held = sum(rule in one.stopped and rule not in one.unknown for one in present)
    if held:
        whose = "all clicks" if rule == EVERY_RULE else f"all clicks of rule {rule}"
        yield f"{processes(held)} on this outbox let{'s' if held == 1 else ''} {whose} pass now"
