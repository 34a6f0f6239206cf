"""The JSON Schema and the default rule file, as they are shipped (design §4)."""

import json
import re

import pytest

from storehop.assets import asset
from storehop.model import Platform
from storehop.rulefile import load
from storehop.rulefile.schema import (
    ConsentSection,
    ConsentWhenSection,
    MatchSection,
    RuleFile,
    RuleSection,
    json_schema,
)
from storehop.settings import Enrich, Gdpr, Limit, Mode, Store

MANUAL = asset("rules/storehop.yaml")


def test_the_shipped_schema_is_current():
    """rules/storehop.schema.json is what `storehop schema` prints."""
    assert json_schema() == json.loads(asset("rules/storehop.schema.json").read_text())


def test_the_schema_is_plain_json():
    """The schema survives JSON, so that every editor can read it."""
    assert json_schema() == json.loads(json.dumps(json_schema()))


def test_the_schema_has_the_keys_of_a_rule():
    """The schema knows exactly the design's keys of a rule, and those that came later."""
    keys = "name match mode percent store store_url link country campaign channel_id partner click_id enrich deep_links"

    assert {*keys.split(), "client_hints", "answer", "canary", "consent"} == set(
        json_schema()["$defs"]["RuleSection"]["properties"]
    )


def test_the_schema_has_the_keys_of_a_file():
    """The schema knows exactly the design's keys of a file, and those that came later."""
    keys = "version partner click_id hosts client_ip client_hints hints_wait hints_delegate answer delivery onelinks"

    assert {*keys.split(), "canary", "rules"} == set(json_schema()["properties"])


def test_the_schema_has_the_keys_of_a_match():
    """The schema knows exactly the design's conditions."""
    expected = {"app", "app_file", "pid", "host", "platform", "param"}

    assert expected == set(json_schema()["$defs"]["MatchSection"]["properties"])


def test_the_schema_has_the_signals_of_consent():
    """The schema knows exactly the signals that a rule's `consent` can wait for."""
    expected = {"gdpr", "gdpr_consent_lacks", "us_privacy", "gpp", "gpc", "param"}

    assert expected == set(json_schema()["$defs"]["ConsentWhenSection"]["properties"])


@pytest.mark.parametrize(
    "name",
    [
        "RuleSection",
        "MatchSection",
        "DeliverySection",
        "ClientIpSection",
        "OneLinkSection",
        "ConsentSection",
        "ConsentWhenSection",
    ],
)
def test_an_unknown_key_is_no_schema(name):
    """An editor marks an unknown key, as storehop does."""
    assert json_schema()["$defs"][name]["additionalProperties"] is False


@pytest.mark.parametrize("section", [RuleFile, RuleSection, MatchSection, ConsentSection, ConsentWhenSection])
def test_every_key_has_help(section):
    """Every key has a sentence that editors show."""
    assert all(field.description for field in section.model_fields.values())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Store", list(Store)),
        ("Mode", list(Mode)),
        ("Enrich", list(Enrich)),
        ("Platform", list(Platform)),
        ("Gdpr", list(Gdpr)),
        ("Limit", list(Limit)),
    ],
)
def test_the_schema_lists_the_values(name, values):
    """An editor offers every store, mode, parameter and platform."""
    assert values == json_schema()["$defs"][name]["enum"]


def test_the_default_rule_file_loads():
    """The shipped rule file is valid, and has the design's sample rules."""
    expected = ["games", "games-ios"]

    assert expected == [rule.name for _, rule in load(MANUAL).rules]


def test_the_default_rule_file_reads_no_consent():
    """Consent is off by default: no rule of the shipped file reads it."""
    assert not [rule for _, rule in load(MANUAL).rules if rule.consent]


@pytest.mark.parametrize("limit", list(Limit))
def test_the_default_rule_file_explains_each_limit(limit):
    """The shipped rule file says what each outcome of consent does."""
    assert re.search(rf"#  +{limit}  +\S", MANUAL.read_text().replace("then: ", "      "))


def test_the_default_rule_file_names_its_schema():
    """The shipped rule file tells editors where its schema lies."""
    assert "$schema=storehop.schema.json" in MANUAL.read_text().partition("\n")[0]


@pytest.mark.parametrize("section", [RuleFile, RuleSection, MatchSection, ConsentSection, ConsentWhenSection])
def test_the_default_rule_file_is_the_whole_manual(section):
    """The shipped rule file shows or explains every key."""
    text = MANUAL.read_text()

    assert not [key for key in section.model_fields if not re.search(rf"\b{key}\b", text)]


def test_the_keys_that_the_manual_shows_as_comments_work(tmp_path):
    """The shipped rule file still loads when the rule that it shows as a comment is made one."""
    before, _, commented = MANUAL.read_text().partition("  # More keys of a rule")
    lines = [line.replace("  # ", "  ", 1) for line in commented.splitlines()[2:]]
    rule = [line for line in lines if not re.match(r" +(#|store_url|campaign|channel_id|link)", line)]
    file = tmp_path / "rules.yaml"
    file.write_text(before + "\n".join(rule))

    assert [rule.name for _, rule in load(file).rules][-1] == "everything-else"
