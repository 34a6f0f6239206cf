"""Durations in text: `250ms`, `5s`, `2m`, `1h`, `7d`."""

from __future__ import annotations

import re
from typing import Any

PATTERN = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_DURATION = re.compile(PATTERN)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WAITS_S = 0.001, 0.25
"""More of the time in which a click must be stored no replica gets."""


def parse_duration(value: Any) -> float:
    """Seconds of `250ms`, `5s`, `2m` or `1h`. Raises ValueError that says what was expected."""
    duration = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if duration is None or float(duration[1]) == 0:
        raise ValueError("expected a duration above zero such as 250ms, 5s or 2m")
    return float(duration[1]) * _SECONDS[duration[2]]


def parse_outbox_wait(value: Any) -> float:
    """How long replicas may take, in seconds. Raises ValueError that says what was expected."""
    least, most = _WAITS_S
    seconds = parse_duration(value)
    if not least <= seconds <= most:
        raise ValueError("expected a duration from 1ms to 250ms")
    return seconds
