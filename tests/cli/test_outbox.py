"""`storehop outbox`: what people and scripts see of the stored clicks."""

import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from storehop.cli.app import app
from storehop.cli.opened import age
from storehop.deliver.operations import Accept, Settle
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import Dead, DeadReason, RetryIn, S2SCall
from tests.support.processes import ADDON

HOST = "https://app.appsflyer.com"
SECRET = "af_ip=81.2.69.142"


def run(*arguments, answer=None):
    return CliRunner().invoke(app, ["outbox", *map(str, arguments)], input=answer)


def store(path, *names, verdict):
    engine = SqliteEngine(path, power_safe=False)
    engine.run([])
    for name in names:
        call = S2SCall(name, HOST, f"/com.example.game?{SECRET}&clickid={name}", (("User-Agent", "ua"),), "games")
        engine.run([Accept(call, f"test:{name}", 60.0), Settle(name, f"test:{name}", verdict, "404")])
    engine.close()


@pytest.fixture
def path(tmp_path):
    """An outbox with one pending call and two dead ones."""
    file = tmp_path / "outbox.db"
    store(file, "waiting", verdict=RetryIn(600.0))
    store(file, "dead-1", "dead-2", verdict=Dead(DeadReason.REJECTED))
    return file


def listed(path, *more):
    lines = run("list", "--outbox", path, "--json", *more).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_list_shows_everything_newest_first(path):
    """The table has a row for each stored click."""
    assert ["dead-2", "dead-1", "waiting"] == [row["id"] for row in listed(path)]


def test_list_shows_only_the_dead_when_asked(path):
    """--dead leaves the pending ones out."""
    assert {"dead"} == {row["state"] for row in listed(path, "--dead")}


def test_json_has_a_row_s_facts(path):
    """The keys of --json are what scripts build on."""
    row = listed(path, "--dead")[0]
    row["age"] = row["age"] >= 0

    assert {
        "id": "dead-2",
        "rule": "games",
        "url": f"{HOST}/com.example.game",
        "state": "dead",
        "age": True,
        "attempts": 1,
        "last": "404",
        "reason": "rejected",
    } == row


def test_the_list_is_for_people(path, monkeypatch):
    """Without --json a click has two lines, which no terminal's width cuts: its id stands first and can be copied."""
    monkeypatch.setenv("COLUMNS", "20")
    head, url, *_ = run("list", "--outbox", path, "--dead").stdout.splitlines()

    assert ["dead-2", "dead: rejected", "1 attempt, last 404", "rule games"] == re.split(r"  (?:\d+ s  )?", head)
    assert f"    {HOST}/com.example.game" == url


def test_personal_data_is_not_shown(path):
    """Addresses and ids stay out of sight."""
    assert SECRET not in run("list", "--outbox", path, "--json").stdout


def test_personal_data_is_shown_when_asked(path):
    """--personal-data shows whole URLs."""
    assert SECRET in run("list", "--outbox", path, "--json", "--personal-data").stdout


def test_an_empty_outbox_says_so(tmp_path):
    """Nothing stored is a sentence, not an empty table."""
    store(tmp_path / "o.db", verdict=None)

    assert "nothing is stored\n" == run("list", "--outbox", tmp_path / "o.db").stdout


def test_the_outbox_may_be_a_url(path):
    """As with `storehop run`."""
    assert 3 == len(listed(f"sqlite://{path}"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--outbox", "redis://me:s3cr3t@host/x"), "--outbox 'redis://***@host/x': expected the database"),
        (("--outbox-name", "a:b"), "--outbox-name 'a:b': expected only A-Z"),
        (("--outbox-wait", "1s"), "--outbox-wait '1s': expected a duration from 1ms"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words, said):
    """Exit 2, one sentence and no credential."""
    result = run("list", *words)

    assert (2, True) == (result.exit_code, said in result.stderr)
    assert "s3cr3t" not in result.stderr


def test_an_outbox_of_an_unknown_kind_is_a_usage_error():
    """Exit 2 and one sentence."""
    result = run("list", "--outbox", "postgres://me:s3cr3t@localhost/0")

    assert (2, True) == (result.exit_code, "--outbox 'postgres://***@localhost/0': expected a path" in result.stderr)


def test_the_outbox_may_stand_in_the_environment(path, monkeypatch):
    """Who configures the sidecar by variables needs no flags here."""
    monkeypatch.setenv("STOREHOP_OUTBOX", str(path))

    assert 3 == len(run("list", "--json").stdout.splitlines())


def test_the_outbox_is_looked_for_in_the_state_folder_of_the_environment(path, monkeypatch):
    """Where the sidecar keeps it by default."""
    monkeypatch.setenv("STOREHOP_STATE", str(path.parent))

    assert 3 == len(run("list", "--json").stdout.splitlines())


def test_the_state_folder_may_be_named(path, monkeypatch):
    """As with `storehop run`; the flag is stronger than the variable."""
    monkeypatch.setenv("STOREHOP_STATE", "/nowhere")

    assert 3 == len(run("list", "--json", "--state", path.parent).stdout.splitlines())


@pytest.mark.parametrize("command", [("retry", "--all", "--yes"), ("purge", "--older-than", "1ms", "--yes")])
def test_every_command_takes_the_state_folder(path, command):
    """What can be looked at by --state can be changed by it."""
    assert run(*command, "--state", path.parent).stdout.startswith("2 dead letters")


def test_a_folder_is_no_outbox(tmp_path):
    """Who names the state folder as the outbox is told how to say it."""
    result = run("list", "--outbox", tmp_path)

    expected = f"storehop: {tmp_path} is a folder: expected --outbox with the file in it, or --state {tmp_path}\n"
    assert (1, expected) == (result.exit_code, result.stderr)


def test_a_missing_outbox_is_a_clear_error(tmp_path):
    """Looking at an outbox makes none."""
    result = run("list", "--outbox", tmp_path / "none.db")

    assert (1, False) == (result.exit_code, (tmp_path / "none.db").exists())


def test_a_path_that_can_not_be_looked_at_is_a_clear_error(tmp_path):
    """What the operating system says, in a sentence."""
    path = tmp_path / ("x" * 300)
    result = run("list", "--outbox", path)

    assert (1, f"storehop: {path}: File name too long\n") == (result.exit_code, result.stderr)


JUNK = "junk" * 1000


@pytest.mark.parametrize("command", [("list",), ("retry", "--all", "-y"), ("purge", "--older-than", "1ms", "-y")])
@pytest.mark.process
def test_a_file_that_is_no_outbox_is_a_clear_error(tmp_path, command):
    """It is named in one sentence, with no traceback and no log line, and stays where it is."""
    file = tmp_path / "junk.db"
    file.write_text(JUNK)
    ran = subprocess.run(
        [sys.executable, "-m", "storehop", "outbox", *command, "--outbox", file],
        env=os.environ | {"PYTHONPATH": str(ADDON)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "", f"storehop: {file}: file is not a database\n") == (ran.returncode, ran.stdout, ran.stderr)
    assert JUNK == file.read_text()


def test_retry_asks_first(path):
    """Sending again is confirmed by a person; no is no."""
    run("retry", "dead-1", "--outbox", path, answer="n\n")

    assert 2 == len(listed(path, "--dead"))


def test_retry_of_one(path):
    """One dead letter is due again."""
    run("retry", "dead-1", "--outbox", path, answer="y\n")

    assert ["dead-2"] == [row["id"] for row in listed(path, "--dead")]


def test_retry_of_all(path):
    """--all and --yes leave no dead letter, and ask nothing."""
    run("retry", "--all", "--yes", "--outbox", path)

    assert [] == listed(path, "--dead")


def test_retry_of_an_unknown_id_is_a_clear_error(path):
    """A pending call is no dead letter."""
    result = run("retry", "waiting", "--yes", "--outbox", path)

    assert (1, True) == (result.exit_code, "waiting is no dead letter here" in result.stderr)


@pytest.mark.parametrize("arguments", [(), ("dead-1", "--all")])
def test_retry_wants_one_or_all(path, arguments):
    """Neither an id nor --all, or both, is asked for wrongly."""
    assert 2 == run("retry", *arguments, "--outbox", path).exit_code


def test_purge_deletes_the_old_dead(path):
    """Dead letters of the given age are gone; the pending call stays."""
    run("purge", "--older-than", "1ms", "--yes", "--outbox", path)

    assert ["waiting"] == [row["id"] for row in listed(path)]


def test_purge_keeps_the_young(path):
    """Younger dead letters stay."""
    run("purge", "--older-than", "1h", "--yes", "--outbox", path)

    assert 2 == len(listed(path, "--dead"))


def test_purge_asks_first(path):
    """Deleting is confirmed by a person."""
    run("purge", "--older-than", "1ms", "--outbox", path, answer="n\n")

    assert 2 == len(listed(path, "--dead"))


def test_purge_explains_durations(path):
    """A malformed age says what was expected."""
    result = run("purge", "--older-than", "soon", "--outbox", path)

    assert (2, True) == (result.exit_code, "expected a duration" in result.stderr)


def test_many_are_changed_in_batches(tmp_path):
    """More than one batch's worth is worked through to the end."""
    file = tmp_path / "outbox.db"
    store(file, *(f"d{number}" for number in range(1100)), verdict=Dead(DeadReason.REJECTED))

    assert "1100 dead letters deleted\n" == run("purge", "--older-than", "1ms", "-y", "--outbox", file).stdout


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (7200, "2 h"), (86400 * 3, "3 d")],
)
def test_ages_are_in_people_s_units(seconds, text):
    """Seconds, minutes, hours, days: whichever a person would say."""
    assert text == age(seconds)
