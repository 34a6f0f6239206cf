"""Rules that are read again while clicks come in (design §4)."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import time

import pytest

from storehop.background import in_background
from storehop.rulefile import RuleFileError, files
from storehop.rulefile import live as module
from storehop.rulefile.live import LiveRules
from tests.support.patience import SOON_S

HEAD = "version: 1\npartner: NetworkA\n"
RULES = HEAD + "rules: [{name: games, match: {}}]\n"
NEW = HEAD + "rules: [{name: others, match: {}}]\n"
"""As long as RULES."""
FAULTY = HEAD + "rules: [{name: games, match: {}, mod: off}]\n"
ENOUGH = 3
"""Looks at the files in which whatever is wrong with looking shows."""


class Watched:
    """Live rules that tests change and watch."""

    def __init__(self, live, monkeypatch):
        self.live = live
        self.done = asyncio.Queue()
        self.reads = self.looks = 0
        self.fault = None
        self._read, self._look = module.read, files.still_current
        monkeypatch.setattr(module, "LOOK_PAUSE_S", 0.02)
        monkeypatch.setattr(module, "read", self.read)
        monkeypatch.setattr(module.files, "still_current", self.look)

    def read(self, path):
        self.reads += 1
        if self.fault:
            raise self.fault
        return self._read(path)

    def look(self, seen):
        self.looks += 1
        return self._look(seen)

    async def told(self):
        """What was made of the next change: the names of its rules, or None."""
        rules = await asyncio.wait_for(self.done.get(), SOON_S)
        return rules and [rule.name for _, rule in rules.rules]

    async def looked(self):
        """Returns when the files have been looked at a few more times."""
        enough = self.looks + ENOUGH
        async with asyncio.timeout(SOON_S):
            while self.looks < enough:
                await asyncio.sleep(0.01)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
async def watch(monkeypatch):
    """Watches the rules of a path."""
    started = []

    def watch(path):
        live = LiveRules.start(path)
        started.append(live)
        watched = Watched(live, monkeypatch)
        live.watch(watched.done.put_nowait)
        return watched

    yield watch
    for live in started:
        live.stop()


@pytest.fixture
async def watched(file, watch):
    return watch(file)


def renamed(file):
    beside = file.with_name("beside")
    beside.write_text(NEW)
    beside.rename(file)


def recreated(file):
    file.unlink()
    file.write_text(NEW)


def kept_times(file):
    """Same length, same times, same inode: as `cp --preserve` does it."""
    before = file.stat()
    file.write_text(NEW)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [pytest.param(lambda file: file.write_text(NEW), id="written"), renamed, recreated, kept_times]
)
async def test_a_change_goes_live(file, watched, change):
    """However a file was changed, its new rules count."""
    change(file)

    assert ["others"] == await watched.told()


async def test_a_config_map_goes_live(tmp_path, watch):
    """Kubernetes turns the link `..data` to a new folder: rule file and app file change at once."""
    for number, app in enumerate(("com.a.old", "com.a.new")):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "rules.yaml").write_text(HEAD + "rules: [{name: games, match: {app_file: apps.txt}}]\n")
        (folder / "apps.txt").write_text(app)
    (tmp_path / "..data").symlink_to("..0")
    for name in ("rules.yaml", "apps.txt"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    watched = watch(tmp_path / "rules.yaml")

    (tmp_path / "..tmp").symlink_to("..1")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    shutil.rmtree(tmp_path / "..0")

    assert ["games"] == await watched.told()
    assert {"com.a.new"} == set(watched.live.current.by_app)


async def test_two_files_go_live_together(tmp_path, watch):
    """What changes within half a second is one change."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(HEAD + f"rules: [{{name: {name}1, match: {{}}}}]\n")
    watched = watch(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(HEAD + f"rules: [{{name: {name}2, match: {{}}}}]\n")

    assert ["a2", "b2"] == await watched.told()


async def test_an_app_file_alone_goes_live(tmp_path, file, watch):
    """A changed app file is a change of the rules."""
    file.write_text(HEAD + "rules: [{name: games, match: {app_file: apps.txt}}]\n")
    (tmp_path / "apps.txt").write_text("com.a.old")
    watched = watch(file)
    (tmp_path / "apps.txt").write_text("com.a.new")

    await watched.told()

    assert {"com.a.new"} == set(watched.live.current.by_app)


async def test_a_touched_file_is_no_change(file, watched):
    """Where only times changed, nothing is said to have been reloaded."""
    file.touch()
    await watched.looked()
    file.write_text(FAULTY)

    assert await watched.told() is None


async def test_a_file_of_the_folder_that_is_no_rule_file_is_no_change(tmp_path, file, watch):
    """Editors put their own files beside it."""
    watched = watch(file.parent)
    (tmp_path / ".rules.yaml.swp").write_text("x")
    await watched.looked()
    file.write_text(NEW)

    assert ["others"] == await watched.told()


async def test_a_file_that_is_still_written_is_never_taken(tmp_path, file, watched):
    """While a writer writes, the old rules count; then the whole new ones."""
    text = NEW + "\n".join(f"# {number}" for number in range(20)) + "\nclient_ip: {header: Forwarded}\n"
    with file.open("w") as writer:
        for line in text.splitlines(keepends=True):
            writer.write(line)
            writer.flush()
            await asyncio.sleep(module.LOOK_PAUSE_S / 4)

    assert ["others"] == await watched.told()
    assert "forwarded" == watched.live.current.proxies.header


async def test_asking_needs_a_second_look_too(file, watched):
    """SIGHUP looks at once, and takes nothing that only one look found."""
    file.write_text(FAULTY)
    watched.live.reload()
    async with asyncio.timeout(SOON_S):
        while not watched.reads:
            await asyncio.sleep(0)
    file.write_text(NEW)

    assert ["others"] == await watched.told()


async def test_asking_reloads_what_did_not_change(watched):
    """Whoever asks gets an answer."""
    watched.live.reload()

    assert ["games"] == await watched.told()


async def test_a_faulty_change_changes_nothing(file, watched, caplog):
    """It is told of with its place, and the last good rules stay."""
    before = watched.live.current
    file.write_text(FAULTY)

    assert (None, before) == (await watched.told(), watched.live.current)
    assert f"{file}:3:34: rule 'games': mod: unknown key: did you mean mode?" in caplog.text


async def test_rules_that_do_not_rest_are_told_of(file, watched, monkeypatch, caplog):
    """A file that changes all the time never goes live, and somebody hears of it."""
    monkeypatch.setattr(module, "LOOKS_UNTIL_WARNING", 3)
    monkeypatch.setattr(module.files, "are_unchanged", lambda _: False)
    file.write_text(NEW)
    async with asyncio.timeout(SOON_S):
        while "until two are equal" not in caplog.text:
            await asyncio.sleep(0.01)

    assert watched.done.empty()


async def test_warnings_are_logged_at_start_and_reload(file, watch, caplog):
    """Once each."""
    file.write_text(HEAD)
    watched = watch(file)
    first = caplog.text.count("no rules: every click passes")
    watched.live.reload()
    await watched.told()

    assert (1, 2) == (first, caplog.text.count("no rules: every click passes"))
    assert {logging.WARNING} == {record.levelno for record in caplog.records if "no rules" in record.message}


@pytest.fixture
def sleeps(monkeypatch):
    """Seconds that a start waited, which pass at once."""
    waited = []
    monkeypatch.setattr(module, "sleep", waited.append)
    return waited


def test_a_start_on_an_old_file_waits_for_nothing(file, sleeps, monkeypatch):
    """It rests already: one look is enough."""
    later = time.time() + 60
    monkeypatch.setattr(files, "time", lambda: later)
    LiveRules.start(file)

    assert not sleeps


def test_a_start_looks_twice_at_a_file_that_has_just_changed(file, sleeps):
    """It may be half of one."""
    LiveRules.start(file)

    assert sleeps == [module.LOOK_PAUSE_S]


def test_a_start_takes_what_it_found_twice(file, monkeypatch):
    """The half file that was there first does not count."""
    file.write_text(HEAD)
    writes = iter([RULES])
    monkeypatch.setattr(module, "sleep", lambda _: [file.write_text(text) for text in writes])
    live = LiveRules.start(file)

    assert ["games"] == [rule.name for _, rule in live.current.rules]


def test_a_start_on_a_file_without_rest_fails(file, monkeypatch):
    """It says so after a while."""
    monkeypatch.setattr(module, "sleep", lambda _: file.write_text(f"{file.read_text()}#\n"))
    with pytest.raises(RuleFileError, match="changes all the time"):
        LiveRules.start(file)


async def test_a_change_that_can_not_be_read_by_our_own_fault_is_told_of(file, watched):
    """It counts as a failed reload, and the last good rules stay."""
    watched.fault, before = ZeroDivisionError(), watched.live.current
    file.write_text(NEW)

    assert (None, before) == (await watched.told(), watched.live.current)


async def test_it_is_read_once_for_each_change(file, watched):
    """Not again every second."""
    watched.fault = ZeroDivisionError()
    file.write_text(NEW)
    await watched.told()
    await watched.looked()

    assert watched.reads == 1


async def test_the_next_change_is_read(file, watched):
    """Nothing has to be started anew."""
    watched.fault = ZeroDivisionError()
    file.write_text(NEW)
    await watched.told()
    watched.fault = None
    file.write_text(RULES)

    assert ["games"] == await watched.told()


async def test_an_endpoint_of_ours_wins_over_the_rules_own(file, monkeypatch):
    """At the start and after a reload, and no proxy stands before it."""
    elsewhere = '\ndelivery: {{endpoint: "http://127.0.0.1:{}", proxy: "http://127.0.0.1:3"}}\n'
    file.write_text(RULES + elsewhere.format(1))
    live = LiveRules.start(file, "http://127.0.0.1:9")
    first, watched = live.current, Watched(live, monkeypatch)
    live.watch(watched.done.put_nowait)
    file.write_text(RULES + elsewhere.format(2))
    second = await asyncio.wait_for(watched.done.get(), SOON_S)
    live.stop()

    assert live.current is second is not first
    assert [("http://127.0.0.1:9", None)] * 2 == [
        (rules.delivery.endpoint, rules.delivery.proxy) for rules in (first, second)
    ]


async def test_background_work_returns_and_raises():
    """As if it were called."""
    with pytest.raises(ZeroDivisionError):
        await in_background(lambda: 1 / 0)

    assert 3 == await in_background(lambda: 3)


async def test_nobody_waits_for_background_work():
    """A thread that hangs ends with the process."""
    release = threading.Event()
    task = asyncio.create_task(in_background(release.wait))
    await asyncio.sleep(0)
    (thread,) = [one for one in threading.enumerate() if one.name == "storehop background"]
    task.cancel()
    release.set()

    assert thread.daemon
