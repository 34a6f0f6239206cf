"""Limits that people set for an audit: `--gate direct>=0.80` (design §11).

A gate holds if these recordings say so. What they cannot tell does not hold, whichever way the limit goes.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import NamedTuple

from storehop.audit.exchange import Known
from storehop.audit.report import Gate, Report
from storehop.decide.drift import Kind
from storehop.observe.coverage import Signal

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_GATE = re.compile(r"\s*([^<>=\s]{1,40})\s*(>=|<=|==|>|<)\s*([^<>=\s]{1,40})\s*")


class Asked(NamedTuple):
    """A gate as somebody set it."""

    name: str
    operator: str
    limit: float


class _Told(NamedTuple):
    """A gate's value; None with the reason where nobody can tell it."""

    value: float | None
    why: str = ""


def parse(text: str) -> Asked:
    """The gate in `direct>=0.80`. Raises ValueError with a text for people."""
    parts = _GATE.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r}: expected NAME, one of {' '.join(OPERATORS)}, and a number, as in direct>=0.80")
    name, sign, number = parts.groups()
    if name not in _VALUES:
        raise ValueError(f"{text!r}: there is no gate {name!r}; there are {', '.join(_VALUES)}")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise ValueError(f"{text!r}: {number!r} is no number")
    if name != _DRIFT and not 0 <= limit <= 1:
        raise ValueError(f"{text!r}: {name} is a share of clicks, from 0 to 1")
    return Asked(name, sign, limit)


def judge(asked: Asked, report: Report) -> Gate:
    """Whether a gate holds, by the report's figures."""
    value, why = _VALUES[asked.name](report)
    holds = value is not None and OPERATORS[asked.operator](value, asked.limit)
    return Gate(asked.name, asked.operator, value, asked.limit, holds, why)


def _share(part: int, whole: int, of_what: str) -> _Told:
    return _Told(part / whole) if whole else _Told(None, f"there are no {of_what}")


def _of_direct(part: int, report: Report) -> _Told:
    return _share(part, report.direct, "direct clicks")


def _signal(signal: Signal) -> Callable[[Report], _Told]:
    return lambda report: _of_direct(report.signals.get(signal, 0), report)


def _ip(report: Report) -> _Told:
    told = _signal(Signal.IP)(report)
    return told if told.value or _knows(report, Known.CLIENT_IP) else _Told(None, _NO_ADDRESSES)


def _private(report: Report) -> _Told:
    if not _knows(report, Known.CLIENT_IP):
        return _Told(None, _NO_ADDRESSES)
    direct = sum(one.direct for one in report.inputs if Known.CLIENT_IP in one.knows)
    return _share(report.private_addresses, direct, "direct clicks with a known address")


def _unreadable(report: Report) -> _Told:
    return _share(report.unreadable, report.clicks + report.unreadable, "clicks")


def _drift(report: Report) -> _Told:
    compared = sum(report.drift.values()) - report.drift.get(Kind.NOT_COMPARABLE, 0)
    if not compared:
        return _Told(None, "these recordings hold no redirect of AppsFlyer's that could be compared")
    return _Told(float(sum(number for kind, number in report.drift.items() if Kind(kind).is_drift)))


def _knows(report: Report, known: Known) -> bool:
    return any(known in one.knows for one in report.inputs if one.lines)


_NO_ADDRESSES = "these recordings do not hold the clients' addresses"
_DRIFT = "drift"
_VALUES: dict[str, Callable[[Report], _Told]] = {
    "direct": lambda report: _share(report.direct, report.clicks, "clicks"),
    "ip": _ip,
    "referrer": _signal(Signal.REFERRER),
    "unreadable": _unreadable,
    "never_filled_in": lambda report: _of_direct(report.never_filled_in_clicks, report),
    "private_addresses": _private,
    _DRIFT: _drift,
}
NAMES = tuple(_VALUES)
