"""Whether work grows in proportion to its input: judged by this thread's processor time, which no other one lengthens.

What takes no longer than a multiple of what a plain pattern takes for a plain text is fast. What does is measured again
at four times the size: linear work takes about four times as long then, quadratic work sixteen. An alarm ends what
would never end, an exponential pattern for one.
"""

from __future__ import annotations

import gc
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

SIZE = 4_096
"""Characters of the smaller input."""
TIMES = 4
"""How much larger the larger input is."""
FAST = 100
"""Times a plain pattern's time for a plain text. A quadratic pattern takes SIZE / 2 steps a character."""
MOST_GROWTH = 8.0
"""TIMES for linear work, TIMES² for quadratic work: halfway, in proportion."""
SURELY_LINEAR = 6.0
TRIES = 5
"""A machine that does other things too may be slow once, but not each time."""
LIMIT = 1.0
"""Seconds of processor time that one run may take."""


class TooLongError(Exception):
    """The work was ended: it took longer than LIMIT."""


def growth[Input](make: Callable[[int], Input], work: Callable[[Input], object], size: int = SIZE) -> float:
    """How many times longer `work` takes on an input of `size` TIMES than on one of `size`; 1 where both are fast."""
    try:
        short = _seconds(work, make(size))
        return 1.0 if short < FAST * _plain() else _growth(short, make(size), make(TIMES * size), work)
    except TooLongError:
        return float("inf")


def _growth[Input](short: float, small: Input, large: Input, work: Callable[[Input], object]) -> float:
    long = float("inf")
    for _ in range(TRIES):
        long = min(long, _seconds(work, large))
        if long / short < SURELY_LINEAR:
            break
        short = min(short, _seconds(work, small))
    return long / short


@cache
def _plain() -> float:
    return min(_seconds(re.compile(r"\w*").fullmatch, "a" * SIZE) for _ in range(100))


def _seconds[Input](work: Callable[[Input], object], given: Input) -> float:
    with _limit(), _no_collection():
        begin = time.thread_time()
        work(given)
        return time.thread_time() - begin


@contextmanager
def _limit() -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _no_collection() -> Iterator[None]:
    """A collection would clean up what other tests leave."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
