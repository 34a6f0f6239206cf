"""Our own code raises in the middle of a click: the user gets the original link, the next one is served (design §6)."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.processes import free_port, sidecar_command, start_mitmdump, started
from tests.support.scenes import World, link_of, new_id, path_of, play
from tests.support.standins import response

BREAKS = {
    "decide": """
from storehop import handler
good = handler.decide
def broken(click, rules):
    if "break-me" in click.link:
        raise RuntimeError("decide is broken on purpose")
    return good(click, rules)
handler.decide = broken
""",
    "accept": """
from storehop.deliver.courier import Courier
good = Courier.accept
async def broken(self, call, **more):
    if "break-me" in call.url:
        raise RuntimeError("accept is broken on purpose")
    return await good(self, call, **more)
Courier.accept = broken
""",
}
"""Code that makes one step of a click raise, for links that ask for it."""
BREAK_ME = "&af_sub1=break-me"


async def broken_sidecar(code, upstream, rules, folder):
    port = free_port()
    python, _, _, *arguments = sidecar_command(upstream, rules, f"127.0.0.1:{port}", folder)
    main = f"{code}\nfrom storehop.__main__ import main\nmain()"
    return await started(port, folder, python, "-c", main, *arguments)


async def broken_mitmdump(code, upstream, rules, folder):
    script = folder / "broken.py"
    script.write_text(code)
    return await start_mitmdump(upstream, rules, folder, "-s", script)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[broken_sidecar, broken_mitmdump])
async def broken(request, tmp_path_factory, ads, appsflyer, module_rules):
    """A world for each of BREAKS."""
    upstream = f"http://127.0.0.1:{ads.port}"
    starting = (
        request.param(code, upstream, module_rules, tmp_path_factory.mktemp(name)) for name, code in BREAKS.items()
    )
    hosts = await asyncio.gather(*starting)
    yield {name: World(host, ads, appsflyer) for name, host in zip(BREAKS, hosts, strict=True)}
    await asyncio.gather(*(host.process.stop() for host in hosts))


@pytest.fixture(params=BREAKS)
def world(request, broken):
    return broken[request.param]


async def test_a_redirect_goes_out_as_it_came(world):
    """The user gets the ad stack's redirect, byte for byte."""
    path = world.ads.redirect(link_of(new_id(), BREAK_ME), "Set-Cookie: a=1", body=b"<p>moved</p>")

    assert (await get(world.ads.port, path)).raw == (await get(world.port, path)).raw


async def test_a_click_of_our_own_goes_to_the_upstream(world):
    """A click addressed to AppsFlyer itself goes on to the upstream, which answers it."""
    path = path_of(new_id(), BREAK_ME)
    world.ads.routes[path] = response("302 Found", "Location: market://details?id=com.example.game")

    answer = await get(world.port, path, host="app.appsflyer.com")

    assert (302, "market://details?id=com.example.game") == (answer.status, answer.location)


async def test_the_log_names_the_failure(world):
    """The log says once a minute that clicks failed, with the error and where it was raised; each is an error."""
    before = await world.logged()

    await get(world.port, world.ads.redirect(link_of(new_id(), BREAK_ME)))

    for wanted in ("storehop failed on a click", "is broken on purpose"):
        await world.host.log.saw(wanted)
    await world.host.log.saw("reason=error", since=before)


async def test_nothing_is_sent_and_the_next_click_is_served(world):
    """The failed click is never sent; the click after it goes to the store and is the next that AppsFlyer gets."""
    click_id = new_id()

    await get(world.port, world.ads.redirect(link_of(new_id(), BREAK_ME)))
    answer = await get(world.port, world.ads.redirect(link_of(click_id)))

    received = dict((await world.appsflyer.next_click()).params)
    assert (play(click_id), click_id) == (answer.location, received["clickid"])


async def test_the_same_click_fails_alone(world):
    """Two equal clicks at the same moment that fail both get the original link."""
    path = world.ads.redirect(link_of(new_id(), BREAK_ME))

    bare, *answers = await asyncio.gather(get(world.ads.port, path), get(world.port, path), get(world.port, path))

    assert [bare.raw, bare.raw] == [answer.raw for answer in answers]
