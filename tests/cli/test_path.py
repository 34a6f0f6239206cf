"""`storehop path`: where the shipped files lie, and what each one is."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from storehop.assets import asset, assets
from storehop.cli.app import app
from tests.support.processes import ENTRY, ROOT

FILES = {name: path for name, path in assets().items() if path.is_file()}


def path(*arguments):
    return CliRunner().invoke(app, ["path", *arguments])


def lines(text):
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_without_a_name_it_is_the_addon():
    """Scripts write mitmdump -s "$(storehop path)"."""
    assert (0, f"{ENTRY}\n", "") == ((ran := path()).exit_code, ran.stdout, ran.stderr)


@pytest.mark.parametrize("name", [*FILES, "alerts.yaml", "packaging"])
def test_a_name_is_a_path(name):
    """An absolute one, and nothing else."""
    ran = path(name)

    assert (0, f"{asset(name)}\n", "") == (ran.exit_code, ran.stdout, ran.stderr)
    assert Path(ran.stdout.removesuffix("\n")).is_absolute()


@pytest.mark.parametrize("name", ["nonsense", "README.md", "../pyproject.toml", ""])
def test_another_name_shows_what_there_is(name):
    """Exit 1, a sentence, and the list, on stderr."""
    ran = path(name)

    assert (1, "") == (ran.exit_code, ran.stdout)
    assert ran.stderr.startswith(f"storehop: {name} ")
    assert path("--list").stdout == ran.stderr.partition("There are:\n")[2]


def test_the_list_has_every_file_under_rules():
    """What operators need lies there: nothing of it is left out."""
    rules = ROOT / "rules"
    expected = {str(file.relative_to(ROOT)) for file in rules.rglob("*") if file.is_file()}

    assert {"entry.py", *expected} == set(lines(path("--list").stdout))


@pytest.mark.parametrize("name", FILES)
def test_the_list_says_what_a_file_is(name):
    """In some words: the beginning of its first line."""
    assert 2 <= len(lines(path("--list").stdout)[name].split()) < 20
