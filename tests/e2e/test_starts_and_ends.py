"""How storehop refuses to start, and how it ends: every way in one clear sentence, never in a traceback."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.patience import START_S
from tests.support.processes import STARTERS, Process, free_port, stock_command
from tests.support.scenes import RULES, link_of, new_id, play

UPSTREAM = "http://127.0.0.1:9"
FAULTS = """
version: 1
partner: Network A
rules:
  - {{name: games, match: {{app: "com.example.*"}}, mode: dirct}}
  - {{name: games, match: {{app: "*"}}, procent: 50}}
"""


NOT_UPSTREAMS = ["legacy:8000", "ftp://legacy", "http://legacy:99999", "http://legacy/path"]
NOT_UPSTREAMS += ["http://le gacy", "http://[::1"]
NOT_LISTENS = ["8080", "127.0.0.1:99999", "::1:8080"]
NO_HOST = "x" * 64 + ".example:8080"
REFUSED = {
    **{f"upstream {it!r}": ({"--upstream": it}, repr(it), "expected http(s)://host[:port]") for it in NOT_UPSTREAMS},
    "upstream with credentials": ({"--upstream": "http://user:word@legacy"}, "'http://***@legacy'", "expected http"),
    **{f"listen {it!r}": ({"--listen": it}, repr(it), "expected HOST:PORT") for it in NOT_LISTENS},
    "a host that no name can be": ({"--listen": NO_HOST}, repr(NO_HOST), "1 to 63 characters"),
    "a port in use": ({"--listen": "127.0.0.1:{taken}"}, "127.0.0.1:{taken}", "in use"),
    "an address of another machine": ({"--listen": "192.0.2.1:8080"}, "192.0.2.1:8080", "cannot listen"),
    "a missing certificate": ({"--tls-cert": "{folder}/none"}, "--tls-cert {folder}/none", "No such file"),
    "a missing authority": ({"--upstream-ca": "{folder}/none"}, "--upstream-ca {folder}/none", "No such file"),
    "a broken certificate": ({"--tls-cert": "{folder}/broken"}, "--tls-cert {folder}/broken", "expected PEM"),
    "a broken authority": ({"--upstream-ca": "{folder}/broken"}, "--upstream-ca {folder}/broken", "expected PEM"),
    "a state folder that cannot be": ({"--state": "{folder}/broken/state"}, "--state {folder}/broken/state"),
}
"""What can be wrong: what is changed of a command line that works, and what the refusal must say."""


@pytest.fixture
def arguments(tmp_path, module_rules):
    """A command line of `storehop run` that works: option to value."""
    return usual(tmp_path, module_rules)


def usual(folder, rules):
    listen = f"127.0.0.1:{free_port()}"
    own = {"--listen": listen, "--state": folder / "state", "--admin": "off"}
    return {"--upstream": UPSTREAM, "--rules": rules, **own}


async def refused(arguments):
    """The exit code and what stands on stderr."""
    words = [word for pair in arguments.items() for word in pair]
    process = await Process.start(sys.executable, "-m", "storehop", "run", *words)
    try:
        return await process.ended(seconds=START_S), process.errors.text
    finally:
        if process.is_alive:
            await process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refusals(tmp_path_factory, module_rules):
    """What came of each of REFUSED, all of them tried at the same time: (code, stderr, what it must say)."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "broken").write_text("no certificate")
    with socket.create_server(("127.0.0.1", 0)) as server:
        names = {"folder": folder, "taken": server.getsockname()[1]}
        at_a_time = asyncio.Semaphore(4)

        async def attempt(changes, *wanted):
            changed = {option: value.format_map(names) for option, value in changes.items()}
            async with at_a_time:
                said = await refused(usual(folder, module_rules) | changed)
            return *said, [it.format_map(names) for it in wanted]

        tried = await asyncio.gather(*(attempt(*case) for case in REFUSED.values()))
    return dict(zip(REFUSED, tried, strict=True))


@pytest.mark.parametrize("case", REFUSED)
async def test_it_refuses_in_one_sentence(refusals, case):
    """A start that can't be exits non-zero with one line on stderr that names what is wrong and what was expected."""
    code, text, wanted = refusals[case]

    assert (True, 1, True) == (code > 0, len(text.splitlines()), text.startswith("storehop: "))
    assert [] == [it for it in wanted if it not in text]


async def test_missing_rules(arguments, tmp_path):
    """A rule file that is not there is named, and that it cannot be read."""
    code, text = await refused(arguments | {"--rules": tmp_path / "none.yaml"})

    assert (1, [f"{tmp_path}/none.yaml:1:1: cannot be read: No such file or directory"]) == (code, text.splitlines())


async def test_faulty_rules(arguments, tmp_path):
    """Every fault of a rule file is listed at once, each as file:line:column: message, and nothing else is said."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(FAULTS.format())

    code, text = await refused(arguments | {"--rules": rules})

    places = [line.removeprefix(f"{rules}:").partition(": ")[0] for line in text.splitlines()]
    assert (1, ["3:10", "5:56", "6:12", "6:38"]) == (code, places)


@pytest.mark.parametrize("text", [None, FAULTS], ids=["missing", "faulty"])
async def test_a_stock_mitmdump_without_usable_rules_ends(tmp_path, text):
    """Mitmdump with rules that can't be used says every fault, has no traceback, and exits with 1."""
    rules = tmp_path / "rules.yaml"
    if text:
        rules.write_text(text.format())
    process = await Process.start(*stock_command("mitmdump", f"reverse:{UPSTREAM}", rules, free_port(), tmp_path))

    code = await process.ended()

    said = process.output.text
    assert (1, False) == (code, "Traceback" in said)
    assert (4 if text else 1) == said.count(f"{rules}:")


async def test_ctrl_c_ends_it(start, arguments):
    """SIGINT ends `storehop run` with exit code 0 and without a traceback."""
    words = [word for pair in arguments.items() for word in pair]
    process = await start(Process.start, sys.executable, "-m", "storehop", "run", *words)
    await process.output.saw("storehop: ", seconds=START_S)

    process.send(signal.SIGINT)

    assert (0, False) == (await process.ended(), "Traceback" in process.output.text)


@pytest.mark.parametrize("kind", STARTERS)
async def test_the_end_waits_for_calls_under_way(kind, launch):
    """A call that is open when SIGTERM comes still gets its answer before the process ends."""
    world, click_id = await launch(kind, RULES.replace('{appsflyer}"', '{appsflyer}", timeout: 60s')), new_id()
    world.appsflyer.hold()
    answer = await get(world.port, world.ads.redirect(link_of(click_id)))
    await world.appsflyer.next_click()

    world.host.process.send(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        await world.host.process.ended(seconds=0.5)
    world.appsflyer.unhold()

    assert (play(click_id), 0) == (answer.location, await world.host.process.ended())
    assert (True, False) == ("outcome=200" in world.host.log.text, "Traceback" in world.host.log.text)
