"""`storehop run --dry-run`: all is real but AppsFlyer, who hears of nothing, whatever the rules say (design §13)."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.processes import free_port, start_sidecar
from tests.support.scenes import RULES, World, link_of, new_id, play, write_rules
from tests.support.standins import AppsFlyer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def folders(tmp_path_factory):
    """The state folder and the folder for temporary files of the dry runs."""
    return tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("temporary")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dry(folders, ads, appsflyer):
    """A dry run with rules that send all S2S clicks to `appsflyer`; the port of its admin endpoints; its rule file."""
    state, temporary = folders
    rules, admin = write_rules(state, RULES, appsflyer), free_port()
    outbox = ("--outbox", state / "own.db", "--admin", f"127.0.0.1:{admin}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, state, "--dry-run", *outbox)
    yield World(host, ads, appsflyer), admin, rules
    if host.process.is_alive:
        await host.process.stop()


async def click(world):
    """Clicks once: the click's id, and the line that says what AppsFlyer would have got."""
    answer = await get(world.port, world.ads.redirect(link_of(click_id := new_id())))
    assert play(click_id) == answer.location
    return click_id, await world.host.log.saw(f"click id {click_id},")


async def test_a_click_goes_to_the_store_and_its_call_is_shown(dry):
    """One line says the app, the click's id, and what AppsFlyer could match on."""
    click_id, line = await click(dry[0])

    told = f"app com.example.game, click id {click_id}, and could match on referrer, IP, User-Agent, OS version, model"
    assert line.endswith(f"dry run: AppsFlyer would get {told}")


async def test_the_rules_endpoint_gets_nothing(dry, appsflyer):
    """It is not even called."""
    await click(dry[0])

    assert 0 == appsflyer.clicks_waiting()


async def test_the_line_holds_no_personal_data(dry):
    """Neither address nor User-Agent."""
    _, line = await click(dry[0])

    assert ("81.2.69.142" in line, "Mozilla" in line) == (False, False)


async def test_reloaded_rules_change_nothing_of_it(dry, appsflyer):
    """Neither another endpoint nor a proxy gets a call after a reload."""
    world, _, rules = dry
    other = AppsFlyer()
    await other.start()
    seen = len(world.host.log.text)
    proxy = f'delivery: {{{{proxy: "http://127.0.0.1:{other.port}", endpoint'
    write_rules(rules.parent, RULES.replace("delivery: {{endpoint", proxy), other)
    await world.host.log.saw("rules reloaded", since=seen)
    await click(world)
    await other.stop()

    assert (0, 0) == (appsflyer.clicks_waiting(), other.clicks_waiting())


async def test_it_says_that_it_is_one(dry):
    """In /readyz's body, and in a warning that names the way for real users."""
    world, admin, _ = dry
    answer = await get(admin, "/readyz")

    assert (200, b"ok\nnote: dry run\n") == (answer.status, answer.body)
    assert "mode: observe" in await world.host.log.saw("WARNING dry run: ")


async def test_it_leaves_nothing_behind(dry, folders):
    """The real outbox is never opened, its own is removed, and the last line counts what came."""
    world, *_ = dry
    state, temporary = folders
    before = list(temporary.iterdir())
    await click(world)
    await world.host.process.stop()

    assert (1, []) == (len(before), list(temporary.iterdir()))
    assert [state / "rules.yaml"] == list(state.iterdir())
    assert "storehop sent AppsFlyer nothing" in await world.host.log.saw("S2S calls, nothing wrong with them; by app: ")


async def test_mitmweb_shows_a_dry_run_too(folders, rules, ads, appsflyer, start):
    """With --web the calls go to the stand-in as well."""
    options = ("--dry-run", "--web", f"127.0.0.1:{free_port()}")
    host = await start(start_sidecar, f"http://127.0.0.1:{ads.port}", rules, folders[0], *options)
    await click(World(host, ads, appsflyer))

    assert 0 == appsflyer.clicks_waiting()
