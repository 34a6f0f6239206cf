"""Every command of the manual does what the manual says."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from storehop.deliver.sqlite.engine import SqliteEngine
from tests.support.clients import Answer, get
from tests.support.needs import need
from tests.support.pages import commands
from tests.support.patience import SOON_S
from tests.support.processes import ROOT, Host, Process, free_port, listening
from tests.support.scenes import link_of, new_id, play

BIN = Path(sys.executable).parent
COMMANDS = commands()
MAKE = [command for command in COMMANDS if command.startswith("make ")]
HOSTS = [command for command in COMMANDS if re.match(r"storehop run|mitm", command)]
DRY_RUNS = [command for command in HOSTS if "--dry-run" in command]
REVERSE = [command for command in HOSTS if "--mode regular" not in command and command not in DRY_RUNS]
STANDINS = [command for command in COMMANDS if command.startswith("storehop standin")]
CURLS = [command for command in COMMANDS if command.startswith("curl ")]
OTHERS = [command for command in COMMANDS if command not in {*MAKE, *HOSTS, *STANDINS, *CURLS}]


def test_the_manual_has_commands():
    """The blocks were found: none of the lists below is empty by mistake."""
    assert (True, True, True) == (len(MAKE) >= 3, len(HOSTS) >= 5, len(OTHERS) >= 5)


@pytest.mark.parametrize("command", MAKE)
def test_make_knows_the_target(command):
    """The target exists, and what it would run can be worked out."""
    ran = subprocess.run([need("make"), "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=False)

    assert ran.returncode == 0


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_that_ends_succeeds(command, tmp_path):
    """It exits with 0 and says something, on a state folder that has an empty outbox."""
    engine = SqliteEngine(tmp_path / "storehop" / "outbox.db")
    engine.run([])
    engine.close()
    program, *arguments = shlex.split(command)
    ran = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "addon"), "XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )

    assert (0, True) == (ran.returncode, len(ran.stdout) > 0)


@pytest.mark.parametrize("command", REVERSE)
async def test_a_host_answers_clicks(command, start, ads, rules, tmp_path, appsflyer):
    """Started as the manual says, but for ports, folders and rules, it sends a click to its store."""
    host = await start(_start, command, f"http://127.0.0.1:{ads.port}", rules, tmp_path)

    def ask(click_id: str) -> Awaitable[Answer]:
        return get(host.port, ads.redirect(link_of(click_id)))

    click_id, answer = await _first_direct(ask)
    await appsflyer.next_click()

    assert play(click_id) == answer.location


@pytest.mark.parametrize("command", [command for command in HOSTS if "--mode regular" in command])
async def test_a_forward_proxy_answers_clicks(command, start, rules, tmp_path, appsflyer):
    """Started as the manual says, a forward proxy answers a click itself."""
    host = await start(_start, command, "", rules, tmp_path)

    def ask(click_id: str) -> Awaitable[Answer]:
        return get(host.port, link_of(click_id).replace("https://", "http://"), host="app.appsflyer.com")

    click_id, answer = await _first_direct(ask)
    await appsflyer.next_click()

    assert play(click_id) == answer.location


@pytest.mark.parametrize("command", DRY_RUNS)
async def test_a_dry_run_shows_what_appsflyer_would_get(command, start, rules, tmp_path, appsflyer):
    """Started as the manual says and asked by the manual's curl, it answers with the store and sends nothing."""
    host = await start(_start, command, "http://127.0.0.1:1", rules, tmp_path)
    (asking,) = (shlex.split(one.replace("127.0.0.1:8080", f"127.0.0.1:{host.port}")) for one in CURLS)
    curl = await start(Process.start, need(asking[0]), *asking[1:])
    await curl.ended()

    assert play("K1") in curl.output.text
    assert await host.log.saw("AppsFlyer would get app com.example.game, click id K1,")
    assert 0 == appsflyer.clicks_waiting()


@pytest.mark.parametrize("command", STANDINS)
async def test_a_stand_in_shows_what_comes(command, start):
    """Started as the manual says, but for its port."""
    port = free_port()
    program, *arguments = shlex.split(command)
    standin = await start(Process.start, sys.executable, "-m", program, *arguments, "--listen", f"127.0.0.1:{port}")
    await standin.output.saw("stands in for AppsFlyer")
    answer = await get(port, "/com.example.game?pid=networka_int&clickid=K1&redirect=false")

    assert await standin.output.saw("clickid")
    assert answer.status == (503 if "503" in command else 200)


async def _first_direct(ask: Callable[[str], Awaitable[Answer]]) -> tuple[str, Answer]:
    """The first click that does not pass: mitmproxy's tools listen a moment before their addons run."""
    async with asyncio.timeout(SOON_S):
        while True:
            answer = await ask(click_id := new_id())
            if answer.location and "appsflyer.com" not in answer.location:
                return click_id, answer


async def _start(command: str, upstream: str, rules: Path, folder: Path) -> Host:
    port = free_port()
    program, *arguments = shlex.split(command.replace("http://legacy:8000", upstream))
    if program == "storehop":
        arguments = [str(rules) if part == "rules/storehop.yaml" else part for part in arguments]
        arguments = [part.replace("--web", f"--web=127.0.0.1:{free_port()}") for part in arguments]
        own = ["--listen", f"127.0.0.1:{port}", "--state", folder, "--admin", "off", "--drain", "0"]
        process = await Process.start(sys.executable, "-m", program, *arguments, *own)
    else:
        options = {"confdir": folder, "storehop_rules": rules, "storehop_outbox": folder / "outbox.db"}
        own = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
        if program == "mitmweb":
            own += ["--no-web-open-browser", "--web-port", str(free_port())]
        arguments = [str(ROOT / part) if part == "addon/entry.py" else part for part in arguments]
        command_line = [BIN / program, *arguments, "--listen-port", str(port), *own]
        process = await Process.start(*command_line, terminal=program == "mitmproxy")
    await listening(port, process)
    return Host(port, process, folder)
