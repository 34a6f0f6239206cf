"""How long tests wait for something before they fail, on a machine that does other things too; how long scenes last."""

import os
import time
from collections.abc import Callable

import pytest

SOON_S = 60.0
"""Whatever a test awaits has happened by then."""
START_S = 120.0
"""A process that was started answers by then."""
IS_LONG = os.environ.get("STOREHOP_LONG") == "1"
"""Whether scenes last for minutes, as `make reliability` has it, or for seconds, as in the suite."""

in_full = pytest.mark.skipif(not IS_LONG, reason="for the whole table only; the suite has one fault of each kind")
"""Marks a scene of a kind that another one shows as well."""


def wait_until[Found](condition: Callable[[], Found], deadline_s: float, what: str, *, step_s: float = 0.005) -> Found:
    """Asks again and again, for what gives no event; blocks the thread. Returns what is true, or fails.

    `step_s` is longer where the asking is work that others would wait for.
    """
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        time.sleep(step_s)
    return found
