"""What changed since an earlier audit: only what is neither small nor chance.

A share counts as changed by two points or more, where a two-proportion z-test (pooled, two-sided) gives less than one
in a thousand for chance: else, with a million clicks, every row would light up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from storehop.audit.report import OTHERS, Change, Report

LEAST_DIFFERENCE = 0.02
MOST_CHANCE = 0.001
MOST_CHARACTERS = 64 * 1024 * 1024
"""A report is far smaller."""
_NEEDED = ("clicks", "direct", "signals", "rules", "apps", "parameters", "rules_digest")


class _Share(NamedTuple):
    part: int
    whole: int

    @property
    def value(self) -> float:
        return self.part / self.whole


def load(path: Path) -> dict[str, Any]:
    """An earlier `--json`. Raises ValueError with a text for people."""
    try:
        if path.stat().st_size > MOST_CHARACTERS:
            raise ValueError("it is too large for a report")
        old = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("it is no JSON: expected what storehop audit --json wrote") from error
    if not isinstance(old, dict) or any(name not in old for name in _NEEDED):
        raise ValueError("it is no report: expected what storehop audit --json wrote")
    try:
        is_sound = all(0 <= share.part <= share.whole for _, share in _shares(old)) and old["clicks"] >= 0
        set(old["parameters"])
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError("it is no report that this storehop can read") from error
    if not is_sound:
        raise ValueError("it is no report that this storehop can read")
    return old


def compare(report: Report, old: dict[str, Any], name: str) -> None:
    """Writes into the report what is not as it was in `old`, the earlier report of this name."""
    report.baseline = name
    report.baseline_digest = str(old["rules_digest"])
    report.new_parameters = [one for one in report.parameters if one not in old["parameters"] and one != OTHERS]
    before = dict(_shares(old))
    for what, now in _shares(report.to_json()):
        then = before.get(what)
        if then and is_change(then, now):
            report.changes.append(Change(what, then.value, now.value))
    report.changes.sort(key=lambda change: -abs(change.now - change.before))


def is_change(then: _Share, now: _Share) -> bool:
    """Whether a share is another one now, by more than little and more than chance."""
    difference = now.value - then.value
    if abs(difference) < LEAST_DIFFERENCE - 1e-9:
        return False
    pooled = (then.part + now.part) / (then.whole + now.whole)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / then.whole + 1 / now.whole))
    return deviation > 0 and math.erfc(abs(difference) / deviation / math.sqrt(2)) < MOST_CHANCE


def _shares(report: dict[str, Any]) -> Iterator[tuple[str, _Share]]:
    """Each share that is compared, by what it is: of clicks what is direct, of direct clicks those with a signal."""
    groups = [("all clicks", report)]
    groups += [(f"rule {name}", counts) for name, counts in report["rules"].items() if name != OTHERS]
    groups += [(f"app {name}", counts) for name, counts in report["apps"].items() if name != OTHERS]
    for group, counts in groups:
        clicks, direct = int(counts["clicks"]), int(counts["direct"])
        if clicks > 0:
            yield f"{group}: direct", _Share(direct, clicks)
        if direct > 0:
            for signal, number in counts["signals"].items():
                yield f"{group}: {signal}", _Share(int(number), direct)
