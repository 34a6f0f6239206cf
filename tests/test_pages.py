"""The pages of the manual fit together: links, headings, names of commands, flags and targets, rule files."""

import re
import shlex

import pytest
import typer.main

from storehop.cli.app import app
from storehop.model import Reason
from storehop.rulefile import load
from tests.support.pages import (
    CONTRIBUTING,
    FRONT,
    ROOT,
    TABLE_HEAD,
    anchors,
    blocks,
    commands,
    inline_codes,
    links,
    pages,
    replacements,
)

PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LONG = [page for page in PAGES[1:] if len(page.read_text().splitlines()) > 150]
"""The front page has a list of pages instead."""
SHELLS = {"bash", "console", "shell", "shell-session", "zsh"}
CODES = [code for page in PAGES for code in inline_codes(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROGRAMS = set(
    """
    apt apt-get cp curl df docker git haproxy helm journalctl kill kubectl ls nginx npm openssl pip pipx podman promtool
    ss sudo systemctl systemd-analyze ulimit
    """.split()  # noqa: SIM905  read as a list of words
)
"""Not ours; their commands in sentences are looked for."""
OF_OTHERS = sorted({code for code in CODES if code.partition(" ")[0] in PROGRAMS and " " in code})
FLAGS_OF_OTHERS = {"--set", "--build-arg", "--stop-timeout", "--tmpfs"}
"""Of mitmproxy's tools, and of docker."""
COMMANDS = typer.main.get_command(app)


def own_links(page):
    """Page or file, and anchor, of each link that stays within the repository."""
    for target in links(page):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor


def is_ours(code):
    """Whether it is a command of storehop's. A line of the log has a colon, or begins with what is left out."""
    return bool(re.match(r"storehop [a-z]", code)) and ": " not in re.sub(r"'[^']*'", "", code)


def command_of(code):
    """What typer makes of the command that an inline `storehop …` names."""
    command = COMMANDS
    for word in shlex.split(code)[1:]:
        if not hasattr(command, "commands"):
            break
        if not word.startswith("-"):
            assert word in command.commands, code
            command = command.commands[word]
    return command


def flags_of(command):
    """All flags of a command and of those below it."""
    own = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    below = getattr(command, "commands", {}).values()
    return own.union({"--help", "-h"}, *map(flags_of, below))


def test_anchors_are_github_s(tmp_path):
    """Headings as GitHub makes links of them: punctuation goes, the same again gets a number."""
    page = tmp_path / "page.md"
    page.write_text(
        "# What's `storehop run`?\n\n## A, b: c\n\n```sh\n# no heading\n```\n\n## A, b: c\n\n## [A b](c.md) – d_e\n"
    )

    assert {"whats-storehop-run", "a-b-c", "a-b-c-1", "a-b--d_e"} == anchors(page)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    """A file or folder of the repository, and a heading where an anchor is named."""
    dead = [target for target, path, _ in own_links(page) if not path.exists()]
    lost = [target for target, path, anchor in own_links(page) if anchor and anchor not in anchors(path)]

    assert ([], []) == (dead, lost)


def test_every_page_can_be_reached():
    """From the front page, by links alone."""
    reached, ahead = set(), [FRONT]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            ahead += [path for _, path, _ in own_links(page) if path.suffix == ".md" and path.exists()]

    assert set() == set(PAGES) - reached


@pytest.mark.parametrize("page", PAGES[1:], ids=NAMES[1:])
def test_a_page_says_whom_it_is_for(page):
    """Its first sentence, below the title, begins so."""
    title, empty, first, *_ = page.read_text().splitlines()

    assert (True, "", True) == (title.startswith("# "), empty, first.startswith("For people who "))


def test_the_front_page_is_short():
    """Whoever comes by reads it to the end."""
    assert len(FRONT.read_text().splitlines()) <= 180


def test_the_front_page_begins_with_what_to_type():
    """`make demo` stands on the first screen."""
    assert "\nmake demo" in "\n".join(FRONT.read_text().splitlines()[:36])


@pytest.mark.parametrize("page", LONG, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_long_page_has_a_list_of_contents(page):
    """Every second-level heading can be reached from the page's head."""
    text = page.read_text()
    head, _, _ = text.partition("\n## ")
    headings = re.findall(r"^## (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)

    assert [] == [heading for heading in headings if f"[{heading}](#" not in head]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_stand_in_blocks_that_are_tested(page):
    """A block of another shell language would be run by no test."""
    assert set() == SHELLS & {language for language, _ in blocks(page)}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_rule_files_can_be_used(page, tmp_path):
    """A block that is a rule file, or the rules of one, loads."""
    for language, text in blocks(page):
        if language == "yaml" and re.match(r"(version: 1|rules:)\n", text):
            file = tmp_path / "rules.yaml"
            file.write_text(text if text.startswith("version") else f"version: 1\npartner: NetworkA\n{text}")
            assert load(file).rules


@pytest.mark.parametrize("code", sorted({code for code in CODES if code.startswith("make ")}))
def test_a_target_in_a_sentence_exists(code):
    """`make x` names a target of the Makefile."""
    named = {word for word in code.split()[1:] if "=" not in word}

    assert set() == named - TARGETS


@pytest.mark.parametrize("code", sorted(filter(is_ours, CODES)))
def test_a_command_in_a_sentence_exists(code):
    """`storehop x --flag` names a command and flags of it."""
    flags = {word.partition("=")[0] for word in shlex.split(code) if re.match(r"--?[a-zA-Z]", word)}

    assert set() == flags - flags_of(command_of(code))


@pytest.mark.parametrize("code", sorted({code for code in CODES if re.match(r"--[a-z]", code)}))
def test_a_flag_in_a_sentence_exists(code):
    """`--flag` is one of some storehop command, or of another program that the manual speaks of."""
    assert re.split(r"[ =|]", code)[0] in FLAGS_OF_OTHERS | flags_of(COMMANDS)


@pytest.mark.parametrize("page", ["README.md", "rules/README.md"])
def test_every_reason_is_explained(page):
    """What passes, and why: each reason that is logged stands in the first column or the second of the table."""
    _, _, section = (ROOT / page).read_text().partition("\n## What passes, and why\n")
    named = set(re.findall(r"`(\w+)`", section.partition("\n## ")[0]))

    assert set() == set(Reason) - {Reason.NOT_A_CLICK} - named


@pytest.mark.parametrize("row", replacements(), ids=lambda row: row.command)
def test_a_replacement_is_a_test(row):
    """What stands in the table in place of a command is a test function or all of a file, or a script of CI's."""
    text = (ROOT / row.file).read_text() if (ROOT / row.file).is_file() else ""
    begin = "^#!/" if row.file.startswith(".ci/") else rf"^(async )?def {row.test or r'test_\w+'}\("

    assert re.search(begin, text, re.MULTILINE)


@pytest.mark.parametrize("row", replacements(CONTRIBUTING), ids=lambda row: row.command)
def test_a_replacement_is_for_a_command(row):
    """A row of the table is there for some command of the manual, in a block or in a sentence."""
    assert any(row.is_for(command) for command in (*commands(), *OF_OTHERS))


@pytest.mark.parametrize("code", OF_OTHERS)
def test_a_command_of_another_program_in_a_sentence_is_in_the_table(code):
    """Nobody runs it, so the table says what is checked instead."""
    assert any(row.is_for(code) for row in replacements())


def test_tables_of_replacements_are_read_whole():
    """No row is left out because it is written in another way."""
    tables = [text.partition("\n\n")[0] for page in PAGES for text in page.read_text().split(f"{TABLE_HEAD}\n")[1:]]
    lines = [line for table in tables for line in table.splitlines()[1:]]

    assert len(replacements()) == len(lines) >= len(replacements(CONTRIBUTING)) > 10
