"""Real-world User-Agents (user_agents.yaml): version, model, platform and bot, each as it truly is (design §3.3)."""

import re
from datetime import date

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ruamel.yaml import YAML

from storehop.decide import crawler, device
from storehop.decide.bots import MISSING, NARROWED, POSING
from storehop.model import Platform
from tests.support.agreement import CORPUS, compare_corpus, corpus

GROUPS = YAML(typ="safe").load(CORPUS)
PEOPLE = {
    f"{group}, {number}": entry
    for group, entries in GROUPS.items()
    for number, entry in enumerate(entries, 1)
    if not entry.get("bot")
}
BOTS = {
    f"{group}, {number}": entry
    for group, entries in GROUPS.items()
    for number, entry in enumerate(entries, 1)
    if entry.get("bot")
}


def headers_of(entry):
    return entry.get("headers") or {}


of_a_person = pytest.mark.parametrize("entry", PEOPLE.values(), ids=PEOPLE)


@of_a_person
def test_the_platform_is_true(entry):
    """A person's device is Android, iOS or another."""
    assert Platform(entry.get("platform", "other")) == device.read(entry["ua"]).platform


@of_a_person
def test_the_version_is_true_or_nothing(entry):
    """`af_os_version` is what the User-Agent truly says, and nothing where that is frozen or unsure."""
    found = device.os_version(device.read(entry["ua"]), headers_of(entry))

    assert entry.get("os_version") == found.value


@of_a_person
def test_the_model_is_true_or_nothing(entry):
    """`af_model` is the build model, `iphone` or `ipad`, and nothing where that is frozen or unsure."""
    found = device.model(device.read(entry["ua"]), headers_of(entry))

    assert entry.get("model") == found.value


@of_a_person
def test_google_play_is_on_android_but_for_amazons_and_headsets(entry):
    """Every Android device has Google Play, except where the entry says that it has not."""
    expected = entry.get("platform") == "android" and entry.get("google_play", True)

    assert expected == device.read(entry["ua"]).has_google_play


@of_a_person
def test_a_person_is_no_bot(entry):
    """No browser, web view or app that people use is taken for a bot, whatever its phone is called."""
    assert not device.is_bot(device.read(entry["ua"]), headers_of(entry))


@pytest.mark.parametrize("entry", BOTS.values(), ids=BOTS)
def test_a_bot_is_a_bot(entry):
    """Every crawler, ad reviewer, link preview and program is told from a person, whatever phone it claims to be."""
    assert device.is_bot(device.read(entry["ua"]), headers_of(entry))


def test_the_corpus_is_large():
    """There are at least 200 people's User-Agents, and 100 of bots beside them."""
    assert len(PEOPLE) >= 200
    assert len(BOTS) >= 100


def test_no_user_agent_is_there_twice():
    """Each User-Agent stands in the file once, or once with the same headers."""
    seen = [(entry["ua"], str(headers_of(entry))) for entry in corpus()]

    assert sorted(set(seen)) == sorted(seen)


@pytest.mark.parametrize("entry", [*PEOPLE.values(), *BOTS.values()], ids=[*PEOPLE, *BOTS])
def test_an_entry_has_only_keys_that_mean_something(entry):
    """An entry has the keys that the file's head explains: a misspelt one would try nothing."""
    keys = {"ua", "headers", "source"}
    keys |= {"bot"} if entry.get("bot") else {"platform", "os_version", "model", "google_play"}

    assert set() == set(entry) - keys
    assert all(isinstance(entry.get(key, ""), str) for key in keys - {"bot", "google_play", "headers"})
    assert all(name == name.lower() and isinstance(value, str) for name, value in headers_of(entry).items())


def test_every_difference_from_ua_parser_has_a_reason():
    """Where we and ua-parser differ about the corpus, agreement.py can say why."""
    assert [] == [difference for comparison in compare_corpus() for difference in comparison.unexplained]


def test_the_crawler_list_holds_except_where_it_hits_people():
    """Whatever User-Agent the crawler list gives as an example is a bot, but for the patterns that hit only people."""
    entries = {entry["pattern"]: entry["instances"] for entry in CRAWLER_USER_AGENTS_DATA}
    missed = {pattern for pattern, examples in entries.items() if not all(map(crawler.is_crawler, examples))}

    assert missed <= {entry.listed_pattern for entry in NARROWED if not entry.replacement}


@pytest.mark.parametrize("pattern", ["Anybot", "Any(?=bot)"], ids=["plain", "look-ahead"])
def test_a_pattern_that_the_fast_matcher_does_not_know_is_matched_still(monkeypatch, pattern):
    """Whatever patterns a newer crawler list has, they find their bots."""
    monkeypatch.setattr(crawler, "_PATTERNS", (pattern, "Otherbot"))
    find = crawler._finder()

    assert [True, True, False] == [find(name) is not None for name in ("Anybot/1.0", "Otherbot", "Anyone")]


def test_what_the_fast_matcher_knows_stays_with_it(monkeypatch):
    """One pattern that only `re` knows takes no other with it: many in `re` would not be linear."""
    slow = []
    monkeypatch.setattr(crawler, "_PATTERNS", ("Anybot", "Other(?=bot)"))
    monkeypatch.setattr(
        crawler.re, "compile", lambda pattern, compiled=re.compile: slow.append(pattern) or compiled(pattern)
    )
    crawler._finder()

    assert ["Other(?=bot)"] == slow


def test_the_crawler_list_has_a_date():
    """The list's date is a day, the latest on which an entry was added."""
    latest = max(entry["addition_date"] for entry in CRAWLER_USER_AGENTS_DATA if "addition_date" in entry)

    assert date(*map(int, latest.split("/"))) == date.fromisoformat(crawler.LIST_DATE)


@pytest.mark.parametrize("known", [*POSING, *MISSING], ids=lambda known: known.pattern[:40])
def test_what_is_known_of_bots_has_an_example(known):
    """Each pattern beyond the kept list stands for a bot in user_agents.yaml."""
    assert any(re.search(known.pattern, entry["ua"]) for entry in BOTS.values())


@pytest.mark.parametrize("known", [*POSING, *MISSING, *NARROWED], ids=lambda known: known[0][:40])
def test_what_is_known_of_bots_has_a_source_and_a_date(known):
    """Each entry says where it can be looked up, and the day on which that was done."""
    assert known.source
    assert date.fromisoformat(known.date)


def test_what_was_narrowed_is_in_the_kept_list():
    """A pattern that the list no longer has needs no correction."""
    listed = {entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA}

    assert {entry.listed_pattern for entry in NARROWED} <= listed
