"""Every command of the manual does what the manual says (see "How the manual's commands are tested" there)."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from storehop.deliver.operations import Accept, Settle
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import Dead, DeadReason, S2SCall
from tests.support.clients import Answer, get
from tests.support.needs import need
from tests.support.pages import commands, replacements
from tests.support.patience import SOON_S
from tests.support.processes import ROOT, Host, Process, free_port, listening
from tests.support.scenes import link_of, new_id, path_of, play

PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
COMMANDS = commands()
ROWS = replacements()
REPLACED = [command for command in COMMANDS if any(row.is_for(command) for row in ROWS)]
MAKE = [command for command in REPLACED if command.startswith("make ")]
RUNS = [command for command in COMMANDS if command not in REPLACED and re.match(r"storehop run|mitm", command)]
HOSTS = list(dict.fromkeys(re.sub(r"--rules \S+", "--rules RULES", command) for command in RUNS))
"""Those that differ only in their rule file are the same here: they get the stand-in's."""
DRY_RUNS = [command for command in HOSTS if "--dry-run" in command]
FORWARD = [command for command in HOSTS if "--mode regular" in command]
REVERSE = [command for command in HOSTS if command not in {*DRY_RUNS, *FORWARD}]
STANDINS = [command for command in COMMANDS if command.startswith("storehop standin")]
QUESTIONS = [
    command for command in COMMANDS if re.match(r"curl .*127\.0\.0\.1:(8080|9321)|storehop healthcheck", command)
]
"""They are asked of a running storehop."""
OTHERS = [command for command in COMMANDS if command not in {*REPLACED, *RUNS, *STANDINS, *QUESTIONS}]
CALLS = 200
DAMAGED_PAGE = 10
"""Of the file, whose pages have 4,096 bytes: one with calls in it."""
QUIET = ("cp ", "source ", "sqlite3 ")
"""Commands that say nothing when they succeed."""


def test_the_manual_has_commands():
    """The blocks were found: none of the lists below is empty by mistake."""
    assert (True, True, True) == (len(MAKE) >= 3, len(HOSTS) >= 5, len(OTHERS) >= 5)


@pytest.mark.parametrize("command", MAKE)
def test_make_knows_the_target(command):
    """The target exists, and what it would run can be worked out."""
    ran = subprocess.run([need("make"), "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=False)

    assert ran.returncode == 0


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder of somebody who follows the manual: a checkout, an outbox that is empty, one that was set aside."""
    folder = tmp_path_factory.mktemp("followed")
    for name in ("addon", "rules"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "state").mkdir()
    _store(folder / "state" / "outbox.db", 0)
    set_aside = folder / "outbox.db.corrupt-20261130T101500.000000"
    _store(set_aside, CALLS)
    with set_aside.open("r+b") as file:
        file.seek(DAMAGED_PAGE * 4096)
        file.write(b"\xff" * 200)
    return folder


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_that_ends_succeeds(command, followed):
    """It exits with 0 and, but for some, says something."""
    if command.startswith("sqlite3 "):
        need("sqlite3")
    environment = {"STOREHOP_STATE": str(followed / "state"), "PATH": PATH, "HOME": str(followed)}
    strict = ["bash", "-euo", "pipefail", "-c", command]
    ran = subprocess.run(
        strict, cwd=followed, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )

    assert (0, not command.startswith(QUIET)) == (ran.returncode, len(ran.stdout) > 0), ran.stderr.decode()


def test_most_of_an_outbox_that_was_set_aside_can_be_saved(followed):
    """The manual's commands, one after another: calls on pages that are whole are listed again."""
    need("sqlite3")
    lines = "\n".join(command for command in OTHERS if "saved.db" in command).replace("saved.db", "whole.db")
    script = f"{lines} --json"
    ran = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=followed, env={"PATH": PATH}, capture_output=True, check=True
    )

    assert CALLS > ran.stdout.count(b'"id"') > CALLS / 2


def _store(path: Path, calls: int) -> None:
    """An outbox with dead letters in it."""
    engine = SqliteEngine(path)
    for name in (f"K{number}" for number in range(calls)):
        call = S2SCall(name, "https://app.appsflyer.com", f"/com.example.game?clickid={name}", (), "games")
        dead = Dead(DeadReason.REJECTED)
        engine.run([Accept(call, f"test:{name}", 60.0), Settle(name, f"test:{name}", dead, "404")])
    engine.run([])
    engine.close()


@pytest.mark.parametrize("command", REVERSE)
async def test_a_host_answers_clicks(command, start, ads, rules, tmp_path, appsflyer):
    """Started as the manual says, but for ports, folders and rules, it sends a click to its store."""
    host = await start(_start, command, f"http://127.0.0.1:{ads.port}", rules, tmp_path)

    def ask(click_id: str) -> Awaitable[Answer]:
        return get(host.port, ads.redirect(link_of(click_id)))

    click_id, answer = await _first_direct(ask)
    await appsflyer.next_click()

    assert play(click_id) == answer.location


@pytest.mark.parametrize("command", FORWARD)
async def test_a_forward_proxy_answers_clicks(command, start, rules, tmp_path, appsflyer):
    """Started as the manual says, a forward proxy answers a click itself."""
    host = await start(_start, command, "", rules, tmp_path)

    def ask(click_id: str) -> Awaitable[Answer]:
        return get(host.port, link_of(click_id).replace("https://", "http://"), host="app.appsflyer.com")

    click_id, answer = await _first_direct(ask)
    await appsflyer.next_click()

    assert play(click_id) == answer.location


@pytest.mark.parametrize("command", DRY_RUNS)
async def test_a_dry_run_answers_what_is_asked(command, start, ads, rules, tmp_path, appsflyer):
    """It sends a click to its store and nothing to AppsFlyer, and each question to a running storehop has an answer."""
    admin = f"127.0.0.1:{free_port()}"
    host = await start(_start, command, f"http://127.0.0.1:{ads.port}", rules, tmp_path, admin)
    answer = await get(host.port, ads.redirect(link_of(click_id := new_id())))
    await host.log.saw(f"click id {click_id},")
    for question in QUESTIONS:
        line = question.replace("127.0.0.1:8080", f"127.0.0.1:{host.port}").replace("127.0.0.1:9321", admin)
        asking = await start(Process.start, "bash", "-c", f"export PATH={PATH} STOREHOP_ADMIN={admin}; {line}")
        assert (0, True) == (await asking.ended(), asking.output.text != ""), question

    assert (play(click_id), 0) == (answer.location, appsflyer.clicks_waiting())


@pytest.mark.parametrize("command", STANDINS)
async def test_a_stand_in_shows_what_comes(command, start):
    """Started as the manual says, but for its port."""
    port = free_port()
    standin = await start(Process.start, "bash", "-c", f"PATH={PATH} && exec {command} --listen 127.0.0.1:{port}")
    await standin.output.saw("stands in for AppsFlyer")
    answer = await get(port, path_of(click_id := new_id()))
    await standin.output.saw(click_id)

    assert answer.status == (503 if "503" in command else 302)


async def _first_direct(ask: Callable[[str], Awaitable[Answer]]) -> tuple[str, Answer]:
    """The first click that does not pass: mitmproxy's tools listen a moment before their addons run."""
    async with asyncio.timeout(SOON_S):
        while True:
            answer = await ask(click_id := new_id())
            if answer.location and "appsflyer.com" not in answer.location:
                return click_id, answer


async def _start(command: str, upstream: str, rules: Path, folder: Path, admin: str = "off") -> Host:
    """Starts it by a shell, in a checkout, with `upstream`, `rules`, and ports and folders of its own."""
    port = free_port()
    line = command.replace("http://legacy:8000", upstream).replace("--rules RULES", f"--rules {rules}")
    program = command.split(maxsplit=1)[0]
    if program == "storehop":
        line = line.replace("--web", f"--web=127.0.0.1:{free_port()}")
        own = ["--listen", f"127.0.0.1:{port}", "--state", folder, "--admin", admin, "--drain", "0"]
    else:
        options = {"confdir": folder, "storehop_rules": rules, "storehop_outbox": folder / "outbox.db"}
        own = [
            "--listen-port",
            port,
            *(part for name, value in options.items() for part in ("--set", f"{name}={value}")),
        ]
        own += ["--no-web-open-browser", "--web-port", free_port()] if program == "mitmweb" else []
    text = f"cd {ROOT} && PATH={PATH} && exec {line} {shlex.join(map(str, own))}"
    process = await Process.start("bash", "-c", text, terminal=program == "mitmproxy")
    await listening(port, process)
    return Host(port, process, folder)
