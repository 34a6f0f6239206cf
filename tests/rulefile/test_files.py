"""Files as they are found: regular ones of a bounded size, equal where status and bytes are (design §4)."""

import contextlib
import os
import socket
import time

import pytest

from storehop.rulefile import files, read

HEAD = "version: 1\npartner: NetworkA\n"
LISTED = HEAD + "rules: [{name: games, match: {app_file: apps.txt}}]\n"
OUTSIDE = "leads out of the folder of the rule file: expected a file below it"


def folder_at(path):
    path.mkdir()


def socket_at(path):
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):
        one.bind(path.name)  # a socket's path has 107 bytes at the most


def device_at(path):
    path.symlink_to("/dev/zero")


KINDS = [pytest.param(os.mkfifo, id="pipe"), device_at, socket_at]


@pytest.mark.parametrize("make", KINDS)
def test_only_a_regular_file_is_a_rule_file(tmp_path, make):
    """Anything else is a fault at once: nothing waits for what never comes."""
    make(tmp_path / "rules.yaml")

    assert [f"{tmp_path / 'rules.yaml'}:1:1: {files.NO_FILE}"] == list(map(str, read(tmp_path / "rules.yaml").faults))


@pytest.mark.parametrize("make", [pytest.param(os.mkfifo, id="pipe"), socket_at, folder_at])
def test_only_a_regular_file_is_an_app_file(tmp_path, make):
    """The same goes for app files."""
    (tmp_path / "rules.yaml").write_text(LISTED)
    make(tmp_path / "apps.txt")

    assert [f"{tmp_path / 'apps.txt'}:1:1: {files.NO_FILE}"] == list(map(str, read(tmp_path / "rules.yaml").faults))


@pytest.mark.parametrize("make", [*KINDS, folder_at])
def test_only_regular_files_are_rule_files_of_a_folder(tmp_path, make):
    """One among them that is none is a fault under its name."""
    (tmp_path / "a.yaml").write_text(HEAD)
    make(tmp_path / "b.yaml")

    assert [f"{tmp_path / 'b.yaml'}:1:1: {files.NO_FILE}"] == list(map(str, read(tmp_path).faults))


@pytest.mark.parametrize("more", [0, 1])
def test_a_file_has_64_mb_at_the_most(tmp_path, more):
    """A longer one is a fault that says the limit; nothing is read beyond it."""
    file = tmp_path / "apps.txt"
    with file.open("wb") as writer:
        writer.truncate(files.MAX_FILE_BYTES + more)
    found = files.read(file)

    assert (64 * 1024**2, "is longer than 64 MB" if more else "") == (files.MAX_FILE_BYTES, found.fault)
    assert len(found.content) <= files.MAX_FILE_BYTES


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_a_fault(tmp_path, name):
    """Also where the system would raise for it."""
    assert files.read(tmp_path / name).fault.startswith("cannot be read: ")


def faults_of(folder):
    return [str(fault) for fault in read(folder / "rules.yaml").faults]


@pytest.mark.parametrize("name", ["../apps.txt", "../../../../../../../../etc/passwd", "/etc/passwd", "link.txt"])
def test_an_app_file_lies_below_the_rule_files_folder(tmp_path, name):
    """One that leads out of it is a fault of the rule, and is not opened."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (tmp_path / "apps.txt").write_text("no app id")
    (folder / "link.txt").symlink_to("../apps.txt")
    (folder / "rules.yaml").write_text(LISTED.replace("apps.txt", name))

    assert [f"{folder / 'rules.yaml'}:3:41: rule 'games': match.app_file: {OUTSIDE}"] == faults_of(folder)


@pytest.mark.parametrize("name", ["apps.txt", "./apps.txt", "lists/apps.txt", "lists/../apps.txt", "link.txt"])
def test_an_app_file_may_lie_anywhere_below(tmp_path, name):
    """Where it leads to counts, not how it is written."""
    (tmp_path / "lists").mkdir()
    for file in ("apps.txt", "lists/apps.txt"):
        (tmp_path / file).write_text("com.a.b")
    (tmp_path / "link.txt").symlink_to("lists/apps.txt")
    (tmp_path / "rules.yaml").write_text(LISTED.replace("apps.txt", name))

    assert not faults_of(tmp_path)


def test_an_app_file_may_lie_where_the_rule_file_leads_to(tmp_path):
    """Rule file and app file may be links into the same other folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "real" / "rules.yaml").write_text(LISTED)
    (tmp_path / "real" / "apps.txt").write_text("com.a.b")
    for name in ("rules.yaml", "apps.txt"):
        (tmp_path / "links" / name).symlink_to(f"../real/{name}")

    assert not faults_of(tmp_path / "links")


SECRET = "root:$6$salt$hash:19000:0:99999:7:::\ncom.secret.app-x\n"


def test_no_line_of_an_app_file_is_repeated(tmp_path):
    """It may be any file: a fault has the place and what was expected, nothing of what stands there."""
    (tmp_path / "rules.yaml").write_text(LISTED)
    (tmp_path / "apps.txt").write_text(SECRET)
    said = "\n".join(faults_of(tmp_path))

    assert [f"{tmp_path / 'apps.txt'}:{line}:1" for line in (1, 2)] == [
        one.partition(": ")[0] for one in said.split("\n")
    ]
    assert not [word for word in ("root", "salt", "secret") if word in said.replace(str(tmp_path), "")]


def test_a_file_that_is_no_list_of_apps_is_not_told_of_without_end(tmp_path):
    """After a hundred lines it is asked whether it is one."""
    (tmp_path / "rules.yaml").write_text(LISTED)
    (tmp_path / "apps.txt").write_text("no app id\n" * 1_000_000)

    assert (
        f"{tmp_path / 'apps.txt'}:101:1: nothing was read from here on: is this a list of app ids?"
        == faults_of(tmp_path)[-1]
    )


@pytest.fixture
def later(monkeypatch):
    """It is a minute later than it is: what was written is old."""
    monkeypatch.setattr(files, "time", lambda: time.time() + 60)


def seen(file):
    return (files.read(file).look,)


def test_a_file_that_rests_costs_no_reading(tmp_path, monkeypatch, later):
    """Its status tells."""
    (tmp_path / "a").write_text("a")
    looks = seen(tmp_path / "a")
    monkeypatch.setattr(files, "read", None)

    assert looks == files.still_current(looks)


def test_a_second_change_within_one_tick_is_seen(tmp_path, monkeypatch):
    """Where a file system's clock has not moved on and the size is the same, the bytes tell."""
    (tmp_path / "a").write_text("a")
    looks = seen(tmp_path / "a")
    (tmp_path / "a").write_text("b")
    monkeypatch.setattr(files, "_numbers", lambda _: looks[0].status)

    assert (None, False) == (files.still_current(looks), files.are_unchanged(looks))


@pytest.mark.parametrize(("seconds", "is_old"), [(1, False), (4, False), (7, True)])
def test_whole_seconds_may_be_of_a_coarse_clock(seconds, is_old):
    """A time that a file system rounded may be two seconds younger than it says."""
    changed = (int(time.time()) - seconds) * 10**9

    assert is_old == (files._age(changed) > files.COARSE_CLOCK_S)


def test_new_rights_are_a_change(tmp_path, later):
    """A file that could not be read is read when it may be."""
    (tmp_path / "a").write_text("a")
    looks = seen(tmp_path / "a")
    (tmp_path / "a").chmod(0o600)

    assert files.still_current(looks) is None


@pytest.mark.parametrize("kind", ["missing", "pipe", "folder"])
def test_what_is_no_file_is_found_again(tmp_path, kind):
    """A fault rests, too."""
    path = tmp_path / "a"
    {"missing": lambda _: None, "pipe": os.mkfifo, "folder": folder_at}[kind](path)
    looks = seen(path)

    assert (True, True) == (files.are_unchanged(looks), files.still_current(looks) is not None)


def test_a_link_that_is_turned_is_a_change(tmp_path, later):
    """Though the link's own name stays."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("a")
    looks = seen(tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("b")

    assert files.still_current(looks) is None
