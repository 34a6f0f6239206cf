"""Links and requests from the wild (wild.yaml): each becomes what is right for it."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from storehop.decide.decision import decide
from storehop.decide.link import decoded
from storehop.model import Click, Direct
from storehop.rulefile import load
from tests.support.clicks import CLICK_ID, PEER, params

CASES = YAML(typ="safe").load(Path(__file__).with_name("wild.yaml"))
ALL_APPS = 'version: 1\npartner: NetworkA\nrules:\n  - {name: all, match: {app: "*"}}\n'
KEYS = {"name", "why", "link", "headers", "peer", "rules", "location", "reason", "sent", "raw", "headers_sent"}

of_each = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
of_direct = pytest.mark.parametrize(
    "case", [case for case in CASES if "location" in case], ids=lambda case: case["name"]
)


def decided(case, folder):
    rules = folder / "rules.yaml"
    rules.write_text(case.get("rules", ALL_APPS))
    headers = {name.lower(): value for name, value in case["headers"].items()}
    return decide(Click(CLICK_ID, "GET", case["link"], headers, case.get("peer", PEER)), load(rules))


def filled(text):
    return text and text.replace("{new}", CLICK_ID)


@of_each
def test_it_becomes_what_is_right(case, tmp_path):
    """It goes where it should, or passes for the right reason."""
    decision = decided(case, tmp_path)

    if isinstance(decision, Direct):
        assert filled(case["location"]) == decision.location
    else:
        assert case["reason"] == decision.reason


@of_direct
def test_the_call_says_what_is_true(case, tmp_path):
    """Its parameters are the true ones, and those that must not be there are missing."""
    found = params(decided(case, tmp_path))
    sent = {name: decoded(found[name]) if name in found else None for name in case.get("sent", {})}

    assert {name: filled(value) for name, value in case.get("sent", {}).items()} == sent


@of_direct
def test_the_call_is_a_clean_url(case, tmp_path):
    """No byte stands in it that a browser would encode, and what it holds stands there as it should."""
    url = decided(case, tmp_path).call.url

    assert not set('"<> ') & set(url)
    assert [] == [text for text in case.get("raw", []) if text not in url]


@of_direct
def test_the_calls_headers_are_true(case, tmp_path):
    """Its headers say the same."""
    headers = dict(decided(case, tmp_path).call.headers)

    assert case.get("headers_sent", {}) == {name: headers.get(name) for name in case.get("headers_sent", {})}


@of_each
def test_a_case_has_only_keys_that_mean_something(case):
    """A misspelt key would try nothing."""
    assert set() == set(case) - KEYS
    assert ("location" in case) != ("reason" in case)
