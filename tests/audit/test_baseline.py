"""The baseline: what has changed since an earlier audit, and what is too little or chance."""

import json

import pytest

from storehop.audit.baseline import compare, load
from storehop.audit.report import OTHERS, Counts, Report


def report(direct=800, clicks=1000, **more):
    counts = Counts(clicks, direct, {}, {"ip": direct})
    return Report(clicks=clicks, direct=direct, signals={"ip": direct}, apps={"com.a": counts}, **more)


def changes(old, new):
    compare(new, old.to_json(), "old.json")
    return {change.what: (change.before, change.now) for change in new.changes}


@pytest.mark.parametrize(
    ("before", "now", "is_shown"),
    [
        ((800, 1000), (800, 1000), False),
        ((800, 1000), (700, 1000), True),
        ((8, 10), (6, 10), False),
        ((800_000, 1_000_000), (790_000, 1_000_000), False),
        ((800_000, 1_000_000), (780_000, 1_000_000), True),
        ((80, 100), (78, 100), False),
        ((1000, 1000), (0, 1000), True),
        ((0, 1000), (0, 1000), False),
    ],
)
def test_a_share_has_changed_by_two_points_and_beyond_chance(before, now, is_shown):
    """Neither a point in a million clicks nor twenty points in ten."""
    found = changes(report(*before), report(*now))

    assert is_shown == ("all clicks: direct" in found)
    assert is_shown == ("app com.a: direct" in found)


def test_signals_are_compared_as_shares_of_direct_clicks():
    """A lost IP shows although as many clicks go direct."""
    new = report()
    new.signals = {"ip": 100}

    assert changes(report(), new) == {"all clicks: ip": (1, 0.125)}


def test_rules_and_new_parameters_are_shown():
    """Another digest of the rules, and parameters that no click had before."""
    new = report(rules_digest="new", parameters={"c": {"link": 1}, "sub9": {"link": 1}, OTHERS: {"link": 1}})
    changes(report(rules_digest="old", parameters={"c": {"link": 2}}), new)

    assert ("old", ["sub9"]) == (new.baseline_digest, new.new_parameters)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"clicks": 1}', "[" * 100_000, "\ud800",
     json.dumps(report().to_json() | {"rules": 3}), json.dumps(report().to_json() | {"apps": {"a": {}}})],
)  # fmt: skip
def test_what_is_no_report_is_said(tmp_path, text):
    """A file that is no report of an audit is refused with a text for people."""
    file = tmp_path / "old.json"
    file.write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(ValueError, match="it is no"):
        load(file)


def test_a_missing_file_is_said(tmp_path):
    """With the system's words."""
    with pytest.raises(ValueError, match="No such file"):
        load(tmp_path / "missing.json")


def test_a_report_is_its_own_baseline(tmp_path):
    """What was written can be read, and nothing has changed."""
    file = tmp_path / "old.json"
    file.write_text(json.dumps(report().to_json()))
    new = report()
    compare(new, load(file), file.name)

    assert ([], "old.json") == (new.changes, new.baseline)


@pytest.mark.parametrize(
    "changed",
    [
        {"clicks": -5},
        {"direct": 10**9},
        {"clicks": float("inf")},
        {"clicks": "many"},
        {"signals": {"ip": 10**9}},
        {"signals": {"ip": -1}},
        {"apps": {"com.a": {"clicks": 1, "direct": 2, "signals": {}}}},
        {"apps": {"com.a": {"clicks": 1, "direct": 1, "signals": None}}},
    ],
)
def test_figures_that_no_audit_has_are_no_report(tmp_path, changed):
    """Edited by hand, or written by another program: that is said before an hour of reading, not behind it."""
    (tmp_path / "old.json").write_text(json.dumps(report().to_json() | changed))

    with pytest.raises(ValueError, match="no report that this storehop can read"):
        load(tmp_path / "old.json")
