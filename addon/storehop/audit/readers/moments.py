"""Times as logs write them: Unix time in any unit, ISO 8601, Apache's, HTTP's."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

_MAX_CHARACTERS = 64
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""A smaller number than the first counts so many units a second: s, ms, µs, ns."""
_NUMBERS = {int, float}
_MONTHS = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)  # noqa: SIM905
}
_COMPACT_CHARACTERS = len("20261130100000")


def seconds_of(value: Any) -> float | None:
    """Unix seconds of a time as a log has it; None where it is none."""
    if type(value) is str:
        moment = _moment(value) if len(value) <= _MAX_CHARACTERS else None
        return moment[0] if moment else None
    return _scaled(value) if type(value) in _NUMBERS else None


def has_zone(value: Any) -> bool:
    """Whether nobody has to guess which zone this time is of."""
    moment = _moment(value) if type(value) is str and len(value) <= _MAX_CHARACTERS else None
    return moment is None or moment[1]


def _scaled(number: float) -> float | None:
    for limit, unit in _UNITS:
        if -limit < number < limit:  # not so for NaN
            return number / unit
    return None


@lru_cache(maxsize=4096)
def _moment(text: str) -> tuple[float, bool] | None:
    """Unix seconds, and whether the text names its zone. Without one it is taken as UTC.

    Cached, since a busy log has the same second many times.
    """
    text = text.strip("[]() \"'")
    if not text:
        return None
    try:
        return _number(text) or _dated(text)
    except (ValueError, OverflowError, IndexError):
        return None


def _number(text: str) -> tuple[float, bool] | None:
    if not (text[0].isdecimal() and text.replace(".", "", 1).isdecimal() and text.isascii()):
        return None
    if len(text) == _COMPACT_CHARACTERS and text.startswith("20"):
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp(), False
    seconds = _scaled(float(text))
    return None if seconds is None else (seconds, True)


def _dated(text: str) -> tuple[float, bool]:
    if text[2:3] == "/" and text[6:7] == "/":
        text = f"{text[7:11]}-{_month(text[3:6]):02}-{text[:2]}T{text[12:]}"
    elif text[3:4] == ",":
        return _seconds(parsedate_to_datetime(text))
    text = text.removesuffix("UTC").rstrip() + "+00:00" if text.endswith("UTC") else text
    date, _, clock = text.replace("T", " ", 1).partition(" ")
    return _seconds(datetime.fromisoformat(f"{date} {clock.replace(' ', '')}" if clock else date))


def _seconds(moment: datetime) -> tuple[float, bool]:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC).timestamp(), False
    return moment.timestamp(), True


def _month(name: str) -> int:
    month = _MONTHS.get(name)
    if month is None:
        raise ValueError(name)
    return month
