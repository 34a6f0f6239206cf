"""Golden clicks: every file in tests/clicks is a case (see the README there)."""

import json
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from storehop.cli.explain import to_json
from storehop.decide.decision import decide
from storehop.model import Click, Reason, Source
from storehop.rulefile import load
from storehop.settings import Store
from tests.support.clicks import CLICK_ID

FOLDER = Path(__file__).parent.parent / "clicks"
CASES = sorted(file for file in FOLDER.iterdir() if file.suffix in {".yaml", ".json"})
HOST_REASONS = {Reason.STOPPED, Reason.S2S_DOWN, Reason.OUTBOX_DOWN, Reason.ERROR}


@cache
def read(file):
    return YAML(typ="safe").load(file)


def click_of(request):
    headers = {name.lower(): value for name, value in request["headers"].items()}
    return Click(CLICK_ID, request.get("method", "GET"), request["link"], headers, request["peer"])


def rules_of(case, tmp_path):
    """The rules that a case names, or holds as text."""
    if "\n" not in case["rules"]:
        return load(FOLDER / "rules" / case["rules"])
    file = tmp_path / "rules.yaml"
    file.write_text(case["rules"])
    return load(file)


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_golden_click_is_decided_as_written(file, tmp_path):
    """A click of tests/clicks is explained as its file says."""
    case = read(file)
    click = click_of(case["request"])
    found = to_json(click, decide(click, rules_of(case, tmp_path)))

    assert case["expected"] == json.loads(json.dumps(found))


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_golden_click_says_what_it_shows(file):
    """Every case has the four parts that the README lists, and a sentence about what it shows."""
    case = read(file)

    assert {"about", "rules", "request", "expected"} == set(case)
    assert case["about"].endswith(".")


def test_the_golden_clicks_show_every_store():
    """There is a golden click to every store."""
    assert set(Store) - {Store.AUTO} == {read(file)["expected"]["store"] for file in CASES} - {None}


def test_the_golden_clicks_show_every_reason():
    """There is a golden click for every reason to pass that a decision can give."""
    assert set(Reason) - HOST_REASONS == {read(file)["expected"]["reason"] for file in CASES} - {None}


def test_the_golden_clicks_show_every_source():
    """There is a golden click for every source of a parameter."""
    sources = {param["source"].partition(":")[0] for file in CASES for param in read(file)["expected"]["params"]}

    assert set(Source) == sources
