"""`storehop standin`: it shows what comes to it, and rehearses an outage."""

from __future__ import annotations

import json
import socket
import sys

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.patience import START_S
from tests.support.processes import Process, free_port

CALL = "/com.example.game?pid=networka_int&clickid={}&af_ref=NetworkA_{}&redirect=false"


async def begin(*options):
    """A stand-in that listens, and its port."""
    port = free_port()
    process = await Process.start(
        sys.executable, "-m", "storehop", "standin", "--listen", f"127.0.0.1:{port}", *options
    )
    await process.output.saw("stands in for AppsFlyer", seconds=START_S)
    return port, process


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def standin():
    port, process = await begin()
    yield port, process
    if process.is_alive:
        await process.stop()


@pytest.fixture
def taken_port():
    """A port that is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


async def test_it_shows_a_call(standin):
    """What came, parameter by parameter, and what AppsFlyer could match on."""
    port, process = standin
    answer = await get(port, CALL.format("K1", "K1"))
    await process.output.saw("could match on: referrer")

    assert 200 == answer.status
    assert "clickid   K1\n  af_ref    NetworkA_K1\n  redirect  false\n" in process.output.text


async def test_it_says_that_a_click_would_come_twice(standin):
    """The same click id again is named."""
    port, process = standin
    for _ in range(2):
        await get(port, CALL.format("K2", "K2"))

    assert await process.output.saw("wrong: the click id K2 came before")


async def test_it_redirects_a_browser_as_appsflyer_does(standin):
    """A call without redirect=false is no S2S click, and it says so."""
    port, process = standin
    answer = await get(port, "/com.example.game?pid=networka_int&clickid=K3")

    assert (302, True) == (answer.status, answer.location.startswith("https://play.google.com/"))
    assert await process.output.saw("wrong: no redirect=false")


async def test_it_counts_at_its_end(standin):
    """SIGTERM ends it well, with a summary."""
    _, process = standin

    assert 0 == await process.stop()
    assert await process.output.saw("S2S calls, ")


async def test_it_rehearses_an_outage():
    """With --status it answers so and shows the calls all the same; --json writes one object a line."""
    port, process = await begin("--json", "--status", "503", "--delay", "0.01")
    answer = await get(port, CALL.format("K1", "K1"))
    call = json.loads(await process.output.saw('"click_id"'))
    await process.stop()

    assert 503 == answer.status
    assert (503, "com.example.game", "K1", ["referrer"], []) == (
        *(call[name] for name in ("status", "app", "click_id", "signals", "problems")),
    )


async def test_a_port_that_somebody_has_is_named(taken_port):
    """One sentence, no traceback."""
    code, said = await refused(f"127.0.0.1:{taken_port}")

    assert (1, f"storehop: cannot listen on 127.0.0.1:{taken_port} (--listen): Address already in use\n") == (
        code,
        said,
    )


async def test_what_is_no_address_is_named():
    """With what was expected."""
    code, said = await refused("9000")

    assert (2, True) == (code, said.startswith("storehop: --listen '9000': expected HOST:PORT")), said


async def refused(listen):
    """The exit code and the words of a stand-in that does not start."""
    process = await Process.start(sys.executable, "-m", "storehop", "standin", "--listen", listen)
    return await process.ended(), process.output.text
