"""Mistakes in YAML, said in people's words (design §4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storehop.rulefile.document import MAX_VALUES, NoDocumentError, parse

HEAD = "version: 1\n"
RULE = "rules:\n  - name: games\n    match: {}\n"
SPACES = "before this line, as before none above it: expected"


def located(marked):
    """The text without its mark `§`, and the line and column where the mark stood."""
    before = marked.partition("§")[0]
    return marked.replace("§", "", 1), (before.count("\n") + 1, len(before) - before.rfind("\n"))


def mistake(text):
    with pytest.raises(NoDocumentError) as raised:
        parse(text)
    return raised.value


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param(f"{HEAD}{RULE}   §mode: off\n", f"3 spaces {SPACES} 0 or 4", id="key between"),
        pytest.param(f"{HEAD}rules:\n  - name: games\n     §match: {{}}\n", f"5 spaces {SPACES} 4", id="key too far"),
        pytest.param(f"{HEAD} §partner: A\n", f"1 space {SPACES} 0", id="key of the file too far"),
        pytest.param(" version: 1\n§partner: A\n", f"no spaces {SPACES} 1", id="first key too far"),
        pytest.param(f"{HEAD}{RULE}   §- name: b\n", f"3 spaces {SPACES} 2", id="rule too far"),
        pytest.param(f"{HEAD}{RULE} §- name: b\n", f"1 space {SPACES} 2", id="rule not far enough"),
        pytest.param(f"{HEAD}{RULE}§- name: b\n", f"no spaces {SPACES} 2", id="rule without spaces"),
        pytest.param(f"{HEAD}{RULE}\n  # more\n   §- name: b\n", f"3 spaces {SPACES} 2", id="comments between"),
    ],
)
def test_indentation(marked, message):
    """A line whose spaces fit nowhere is told with its own spaces and with those that would fit."""
    text, position = located(marked)

    assert (position, message) == (mistake(text).position, str(mistake(text)))


TAB = "a tab stands here: YAML takes spaces only, put spaces in its place"
SPACE = "a space is missing behind the colon"
CLOSE = "expected a comma, or"


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param(f"{HEAD}rules:\n§\t- name: a", TAB, id="tab before a rule"),
        pytest.param(f"{HEAD}client_ip:\n  §\theader: Forwarded", TAB, id="tab behind spaces"),
        pytest.param(f"{HEAD}partner:§\tA", TAB, id="tab behind a colon"),
        pytest.param(f"{HEAD}§partner:A\nrules: []", SPACE, id="no space behind a colon"),
        pytest.param(f"{HEAD}rules:\n  - name:§a\n    match: {{}}\n", SPACE, id="no space behind a rule's colon"),
        pytest.param(f"{HEAD}rules:\n  §-name: a\n   match: {{}}\n", "a space is missing behind the -", id="dash"),
        pytest.param(f"{HEAD}§partner A\nrules: []", "expected a key and a colon: key: value", id="no colon"),
        pytest.param(
            f"{HEAD}partner: a§: b", "a second colon in one line: put text that holds one in quotes", id="two colons"
        ),
        pytest.param(f'{HEAD}partner: §"A\nrules: []', "the quote that begins here is never closed", id="open quote"),
        pytest.param(
            f'{HEAD}partner: "A" §B\n',
            "something stands behind a value that has ended: put the whole value in quotes",
            id="text behind a quote",
        ),
        pytest.param(
            f'{HEAD}partner: "\\§d"',
            "a backslash between double quotes begins an escape: put the text in single quotes",
            id="backslash",
        ),
        pytest.param(f"{HEAD}partner: §*", "text that begins with * is put in quotes: '*…'", id="star"),
        pytest.param(f"{HEAD}hosts: [§*.example]", "text that begins with * is put in quotes: '*…'", id="glob"),
        pytest.param(f"{HEAD}partner: §&", "text that begins with & is put in quotes: '&…'", id="ampersand"),
        pytest.param(f"{HEAD}partner: §@a", "text that begins with @ is put in quotes", id="at"),
        pytest.param(f"{HEAD}partner: §%a", "text that begins with % is put in quotes", id="percent"),
        pytest.param(f"{HEAD}hosts: [a\npartner§: b", f"{CLOSE} ] for the [ that stands in line 2", id="open list"),
        pytest.param(f"{HEAD}rules: [{{name: a§]", f"{CLOSE} }} for the {{ that stands in line 2", id="open braces"),
        pytest.param(f"{HEAD}partner: a\n§partner: b", "partner: stands twice in the same section", id="twice"),
        pytest.param(
            f"{HEAD}§---\n{HEAD}",
            "a second document begins: a file holds one, without --- between its parts",
            id="two documents",
        ),
        pytest.param(f"{HEAD}partner: §\x07", "holds the control character #x0007: take it out", id="control"),
        pytest.param(f"{'[' * 100}§{'[' * 50_000}", "is no valid YAML: nested too deeply", id="deep"),
        pytest.param(f"§{'- ' * 5000}", "is no valid YAML: it is nested too deeply, or holds itself", id="deep lists"),
    ],
)
def test_a_mistake_is_said_in_words(marked, message):
    """The mistake's place, what is wrong there, and what to write."""
    text, position = located(marked)

    assert (position, message) == (mistake(text).position, str(mistake(text)))


def test_aliases_can_not_make_a_file_endless():
    """A document whose aliases are written out is bounded, and counting costs no more than reading it."""
    lists = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))

    assert f"{MAX_VALUES:,}" in str(mistake(f"{HEAD}a0: &a0 [x]\n{lists}"))


BITS = st.sampled_from(
    [*"-:?[]{}*&!|>'\"%@`#,\t\n \\~<=.0", "  ", "- ", ": ", "\n  ", "\n- ", "<<: ", "*a", "&a ", "!!int ", "!!set ",
     "!!omap ", "!!python/name:os ", "%YAML 1.1\n---\n", "version: 1\n", "rules:\n", "name", "match", "null",
     "2026-02-30", "1e5", "0o9", "\x00", "\ud800", "é", "---", "...", "? ", "|2\n", ">-\n"],
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(BITS, max_size=30).map("".join))
def test_no_text_is_more_than_a_mistake(text):
    """Whatever stands in a file, it is a document or a mistake with a place."""
    try:
        parse(text)
    except NoDocumentError as error:
        message, place = str(error), min(error.position)
    else:
        return
    assert (place >= 1, message != "") == (True, True)
