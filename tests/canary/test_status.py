"""How the watched rules do, of the marks that the processes have laid down."""

from storehop.canary.figures import Figures, Sums
from storehop.canary.limits import Signal, State
from storehop.canary.status import watched
from storehop.canary.sums import Counted, to_text

NOW = 1_800_000_000.0


def mark(rule="games", step="5", at=NOW, **counts):
    sums = Sums(**counts)
    return to_text(at, {rule: Counted(step, 0.0, 0.0, Figures(NOW - 600, sums, sums))})


def test_processes_are_added_up():
    """One row a rule."""
    (row,) = watched({"canary:a": mark(direct=7, control=1), "canary:b": mark(direct=3), "stop:x": "{}"}, NOW)
    assert (row.rule, row.percent, row.processes, row.figures.step.direct) == ("games", "5", 2, 10)


def test_a_process_that_is_silent_does_not_count():
    """It has ended."""
    assert watched({"canary:a": mark(at=NOW - 16)}, NOW) == []


def test_hosts_with_other_rule_files_have_rows_of_their_own():
    """While a new percent goes out."""
    rows = watched({"canary:a": mark(step="5"), "canary:b": mark(step="25")}, NOW)
    assert [row.percent for row in rows] == ["25", "5"]


def test_every_signal_is_shown():
    """With its state, its figure and its limit, in words and for machines."""
    (row,) = watched({"canary:a": mark(direct=1000, ended=1000, refused=40)}, NOW)
    facts = row.facts()
    assert [one["signal"] for one in facts["signals"]] == list(Signal)
    assert facts["signals"][0]["state"] is State.BAD
    assert (facts["direct"], facts["since"], facts["percent"]) == (1000, NOW - 600, 5.0)
    lines = list(row.lines())
    assert lines[0] == "rule games at 5 %: 1,000 direct, 0 control, 0 failed (1 process)"
    assert lines[1].startswith("  bad      s2s_refused   40 of 1,000 (4.00%) calls refused")
    assert len(lines) == 1 + len(Signal)
