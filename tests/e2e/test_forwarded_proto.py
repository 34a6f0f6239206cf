"""X-Forwarded-Proto in every spelling: whether the browser's way was secure, and what the ad stack hears of it."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.support.clients import request, talk
from tests.support.phones import FIRST, HINTS
from tests.support.processes import start_sidecar
from tests.support.scenes import RULES, World, write_rules
from tests.support.standins import response

ASKING = "client_hints: accept\n" + RULES.lstrip()
SECURE = (("https",), ("HTTPS",), ("Https",), ("https, http",), ("HTTPS,http",), ("https", "http"))
OPEN = (("http",), ("HTTP",), ("http, https",), ("http", "https"))


async def started(folder, trusted, ads, appsflyer):
    """A host that trusts these peers."""
    rules = write_rules(folder, ASKING.replace("127.0.0.0/8", trusted), appsflyer)
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder)
    return World(host, ads, appsflyer)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def behind_a_proxy(tmp_path_factory, ads, appsflyer):
    """Its peers are trusted."""
    world = await started(tmp_path_factory.mktemp("trusting"), "127.0.0.0/8", ads, appsflyer)
    yield world
    await world.host.process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def in_the_open(tmp_path_factory, ads, appsflyer):
    """Its peers are anybody."""
    world = await started(tmp_path_factory.mktemp("careful"), "10.0.0.0/8", ads, appsflyer)
    yield world
    await world.host.process.stop()


async def ask(world, lines):
    """The answer to a request that says so, and what the ad stack sees of it."""
    world.ads.forget()
    raw = request(world.ads.serve(response("200 OK")), connection="close", **(FIRST | {"x_forwarded_proto": None}))
    said = "".join(f"X-Forwarded-Proto: {line}\r\n" for line in lines).encode()
    answer = await talk(world.port, raw.removesuffix(b"\r\n") + said + b"\r\n")
    return answer, (await world.ads.next_request()).all("X-Forwarded-Proto")


@pytest.mark.parametrize("lines", [*SECURE, *OPEN], ids=" | ".join)
async def test_a_trusted_peer_is_believed(behind_a_proxy, lines):
    """The first of its schemes is the browser's; the ad stack hears all that it said, as it was."""
    answer, heard = await ask(behind_a_proxy, lines)

    assert ([HINTS] if lines in SECURE else [], list(lines)) == (answer.all("Accept-CH"), heard)


@pytest.mark.parametrize("lines", [*SECURE, *OPEN], ids=" | ".join)
async def test_anybody_else_is_not(in_the_open, lines):
    """Nothing is asked for over http, and the ad stack hears what we know."""
    answer, heard = await ask(in_the_open, lines)

    assert ([], ["http"]) == (answer.all("Accept-CH"), heard)
