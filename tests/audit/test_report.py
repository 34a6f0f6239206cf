"""The report's JSON: each key is in the manual, and the shape is the contract's."""

import json
import re
from pathlib import Path

from storehop.audit.gates import NAMES
from storehop.audit.report import Change, Configured, Counts, Gate, Input, Report, Sample

MANUAL = (Path(__file__).parents[2] / "rules" / "audit" / "README.md").read_text()


def test_each_key_is_in_the_manual():
    """A key that nobody explains is of no use to others."""
    rows = MANUAL.partition("## The report's JSON")[2]
    explained = {
        name for row in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }

    assert Report().to_json().keys() <= explained


def test_each_gate_is_in_the_manual():
    """With what it is a share of."""
    assert all(f"| `{name}` |" in MANUAL.partition("## Gates")[2] for name in NAMES)


def test_the_shape_of_a_report():
    """Everything filled in is plain JSON, and reads back as it was."""
    report = Report(
        clicks=4,
        direct=3,
        rules={"games": Counts(4, 3, {"bot": 1}, {"ip": 3}, 0, {"same": 1})},
        inputs=[Input("a.log", "jsonl", "ab12", 1_795_780_800.5, None, 4, 0)],
        gates=[Gate("drift", "==", None, 0.0, holds=False, why="nothing")],
        samples={"direct": [Sample("a.log:1", "https://x", "words")]},
        configured=Configured(4, 1, 1, {"not_sampled": 2}),
        per_minute=[(1_795_780_800, 4, 3)],
        baseline="old.json",
        changes=[Change("all clicks: direct", 0.5, 0.75)],
    )
    found = json.loads(json.dumps(report.to_json()))

    assert found == report.to_json()
    assert (0.75, None, False) == (found["share_direct"], found["gates"][0]["value"], found["gates"][0]["holds"])
    assert ("2026-11-27T12:00:00Z", None) == (found["inputs"][0]["from"], found["inputs"][0]["to"])
    assert found["configured"] == {"clicks": 4, "direct": 1, "duplicate": 1, "reasons": {"not_sampled": 2}}
    assert found["baseline"]["changes"] == [{"what": "all clicks: direct", "before": 0.5, "now": 0.75}]
