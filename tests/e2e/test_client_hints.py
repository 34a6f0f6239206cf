"""Client hints (design §3.3): how answers ask for them, and what becomes of a click that comes again with them."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from tests.support.clients import ANDROID, connection, get, read_answer, request
from tests.support.load import until
from tests.support.patience import SOON_S
from tests.support.phones import FIRST, HINTS, RETRY, cookies
from tests.support.processes import STARTERS, start_sidecar
from tests.support.scenes import RULES, World, link_of, new_id, path_of, play, write_rules
from tests.support.standins import response

CRITICAL = "client_hints: critical\nhints_wait: 100ms\n" + RULES.lstrip()
PATIENT = CRITICAL.replace("100ms", "2s")
"""So long a retry may take on its way through a busy machine; more is not to be had."""


@pytest.fixture(scope="module")
def rules_text():
    return CRITICAL + "  - {{name: quiet, match: {{app: org.example.quiet}}, client_hints: off}}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient_worlds(tmp_path_factory, ads, appsflyer):
    """Both hosts, which wait for retries as long as may be."""
    rules = write_rules(tmp_path_factory.mktemp("patient"), PATIENT, appsflyer)
    upstream = f"http://127.0.0.1:{ads.port}"
    starting = (start(upstream, rules, tmp_path_factory.mktemp(kind)) for kind, start in STARTERS.items())
    hosts = await asyncio.gather(*starting)
    yield {kind: World(host, ads, appsflyer) for kind, host in zip(STARTERS, hosts, strict=True)}
    await asyncio.gather(*(host.process.stop() for host in hosts))


@pytest.fixture(params=STARTERS)
def patient(request, patient_worlds) -> World:
    """Each of both hosts in turn, where a retry is to come in time."""
    return patient_worlds[request.param]


async def test_a_secure_answer_asks_for_hints(world):
    """What the ad stack answers over https asks for model and OS version."""
    answer = await get(world.port, world.ads.serve(response("200 OK")), **FIRST)

    assert [HINTS] == answer.all("Accept-CH")


async def test_an_answer_in_the_clear_asks_for_nothing(world):
    """Over http browsers would not heed it."""
    answer = await get(world.port, world.ads.serve(response("200 OK")), **(FIRST | {"x_forwarded_proto": "http"}))

    assert [] == answer.all("Accept-CH")


async def test_what_the_ad_stack_asks_for_stays(world):
    """Our hints join those of the ad stack, and none is asked for twice."""
    path = world.ads.serve(response("200 OK", "Accept-CH: Sec-CH-UA-Arch, sec-ch-ua-model"))

    assert ["Sec-CH-UA-Arch, sec-ch-ua-model, Sec-CH-UA-Platform-Version"] == (
        await get(world.port, path, **(FIRST | {"host": "joining.network.example"}))
    ).all("Accept-CH")


async def test_a_rule_may_ask_for_nothing(world):
    """A direct click of a rule with client_hints: off asks for nothing."""
    link = link_of(new_id(), app="org.example.quiet")
    answer = await get(world.port, world.ads.redirect(link), **FIRST)
    await world.appsflyer.next_click()

    assert ("play.google.com", []) == (answer.location.split("/")[2], answer.all("Accept-CH"))


async def test_a_first_click_is_asked_to_come_again(world):
    """A Chromium without hints is told that they are critical."""
    answer = await get(world.port, world.ads.redirect(link_of(new_id())), **FIRST)
    await world.appsflyer.next_click()

    assert ([HINTS], [HINTS]) == (answer.all("Accept-CH"), answer.all("Critical-CH"))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sec_ch_ua": None}, id="no Chromium"),
        pytest.param({"x_forwarded_proto": "http"}, id="in the clear"),
        pytest.param({"sec_ch_ua_model": '""'}, id="it knows no more"),
        pytest.param({"user_agent": ANDROID}, id="nothing is missing"),
    ],
)
async def test_others_are_not_asked_to_come_again(world, changes):
    """Who would not repeat the request, or has nothing to add, is not told to."""
    answer = await get(world.port, world.ads.redirect(link_of(new_id())), **(FIRST | changes))
    await world.appsflyer.next_click()

    assert [] == answer.all("Critical-CH")


@pytest.mark.parametrize(
    ("link", "changes"),
    [
        pytest.param(link_of("K1", "&is_retargeting=true"), {}, id="retargeting"),
        pytest.param(link_of("K1"), {"sec_fetch_dest": "iframe"}, id="a frame"),
        pytest.param("https://impression.appsflyer.com/com.example.game?pid=x", {}, id="an impression"),
    ],
)
async def test_a_click_that_passes_is_asked_for_nothing(world, link, changes):
    """A passing answer is the ad stack's own: neither Accept-CH nor Critical-CH is added."""
    answer = await get(world.port, world.ads.redirect(link), **(FIRST | changes))

    assert ([], []) == (answer.all("Accept-CH"), answer.all("Critical-CH"))


async def test_a_redirect_to_somewhere_else_asks_for_hints(world):
    """What is no click may ask, a redirect too."""
    answer = await get(world.port, world.ads.redirect("https://network.example/next"), **FIRST)

    assert [HINTS] == answer.all("Accept-CH")


async def click_twice(world, path, back="", **changes):
    """A first click and the browser's retry on the same connection, to another path where it is told: both answers."""
    async with connection(world.port) as (reader, writer):
        writer.write(request(path, **(FIRST | changes)))
        first = await read_answer(reader)
        writer.write(request(back or path, **(RETRY | cookies(first) | changes)))
        return first, await read_answer(reader)


async def test_the_retry_enriches_the_first_click(patient):
    """One S2S click goes out, with what the retry said."""
    await click_twice(patient, patient.ads.redirect(link_of(click_id := new_id())))
    call = dict((await patient.appsflyer.next_click()).params)

    assert (click_id, "SM-S918B", "15") == (call["clickid"], call["af_model"], call["af_os_version"])
    assert 0 == patient.appsflyer.clicks_waiting()


async def test_the_retry_of_a_click_addressed_to_appsflyer_enriches_it(patient):
    """The same holds where we answer ourselves."""
    await click_twice(patient, path_of(click_id := new_id()), host="app.appsflyer.com")
    call = dict((await patient.appsflyer.next_click()).params)

    assert (click_id, "SM-S918B", 0) == (call["clickid"], call["af_model"], patient.appsflyer.clicks_waiting())


async def test_the_retry_gets_the_first_answer(patient):
    """Store and cookies are the first answer's, and nothing is critical any more."""
    path = patient.ads.redirect(link_of(click_id := new_id()), "Set-Cookie: a=1", "Set-Cookie: b=2")
    _, again = await click_twice(patient, path)
    await patient.appsflyer.next_click()

    assert (302, play(click_id), ["a=1", "b=2"], [], b"") == (
        again.status,
        again.location,
        again.all("Set-Cookie"),
        again.all("Critical-CH"),
        again.body,
    )


async def test_the_ad_stack_sees_a_repeated_click_once(patient):
    """The retry is not forwarded."""
    path = patient.ads.redirect(link_of(new_id()))
    patient.ads.forget()
    await click_twice(patient, path)
    await patient.appsflyer.next_click()
    await patient.ads.next_request()

    assert patient.ads.requests.empty()


async def test_without_a_retry_the_click_goes_as_it_is(world):
    """The S2S click says nothing that is not known."""
    await get(world.port, world.ads.redirect(link_of(click_id := new_id())), **FIRST)
    call = dict((await world.appsflyer.next_click()).params)

    assert (click_id, False) == (call["clickid"], "af_model" in call)


async def test_a_late_retry_sends_nothing_more(world):
    """The click has gone as it was; the retry gets its answer, and the ad stack sees it once."""
    path = world.ads.redirect(link_of(click_id := new_id()))
    world.ads.forget()
    first = await get(world.port, path, **FIRST)
    await world.appsflyer.next_click()
    late = await get(world.port, path, **(RETRY | cookies(first)))
    await world.ads.next_request()

    assert (play(click_id), True, 0) == (late.location, world.ads.requests.empty(), world.appsflyer.clicks_waiting())


async def test_a_click_with_hints_after_the_retry_is_one_of_its_own(patient):
    """Only one request is the retry: what comes then is a click again."""
    path = patient.ads.redirect(link_of(new_id()))
    await click_twice(patient, path)
    await patient.appsflyer.next_click()
    patient.ads.routes[path] = response("302 Found", f"Location: {link_of(another := new_id())}")
    await get(patient.port, path, **RETRY)

    assert another == dict((await patient.appsflyer.next_click()).params)["clickid"]


async def test_somebody_else_s_click_is_no_retry(world):
    """Phones behind one address that look alike are told apart: the other one's click is its own."""
    path = world.ads.redirect(link_of(new_id()), "Set-Cookie: session=A")
    await get(world.port, path, **FIRST)
    world.ads.routes[path] = response("302 Found", f"Location: {link_of(another := new_id())}", "Set-Cookie: session=B")
    other = await get(world.port, path, **RETRY)
    ids = {dict((await world.appsflyer.next_click()).params)["clickid"] for _ in range(2)}

    assert (play(another), ["session=B"], True) == (other.location, other.all("Set-Cookie"), another in ids)


async def test_a_retry_by_way_of_another_host_is_the_same_click(patient):
    """Browsers repeat a navigation from its first URL, so that another redirect may lead here with a new link."""
    path, back = patient.ads.redirect(link_of(click_id := new_id())), patient.ads.redirect(link_of(new_id()))
    patient.ads.forget()
    _, again = await click_twice(patient, path, back)
    call = dict((await patient.appsflyer.next_click()).params)
    await patient.ads.next_request()

    assert (play(click_id), click_id, "SM-S918B") == (again.location, call["clickid"], call["af_model"])
    assert (True, 0) == (patient.ads.requests.empty(), patient.appsflyer.clicks_waiting())


async def test_another_ad_of_another_page_is_a_click_of_its_own(world):
    """A request for something else that came from elsewhere is no retry."""
    path, other = world.ads.redirect(link_of(new_id())), world.ads.redirect(link_of(another := new_id()))
    first = await get(world.port, path, **FIRST)
    second = await get(world.port, other, **(RETRY | cookies(first) | {"referer": "https://elsewhere.example/"}))
    for _ in range(2):
        await world.appsflyer.next_click()

    assert play(another) == second.location


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_only_a_navigation_is_a_retry(patient, method):
    """Other methods go to the ad stack, and the click waits for its retry."""
    path = patient.ads.redirect(link_of(click_id := new_id()))
    first = await get(patient.port, path, **FIRST)
    patient.ads.forget()
    await get(patient.port, path, method, **(RETRY | cookies(first)))
    asked = await patient.ads.next_request()
    again = await get(patient.port, path, **(RETRY | cookies(first)))
    await patient.appsflyer.next_click()

    assert (method.encode(), play(click_id)) == (asked.line.split()[0], again.location)


async def test_the_ad_stack_never_sees_our_cookie(world):
    """What tells a retry stays between the browser and us; other cookies go on."""
    first = await get(world.port, world.ads.redirect(link_of(new_id())), **FIRST)
    world.ads.forget()
    await get(world.port, world.ads.serve(response("200 OK")), **(FIRST | cookies(first)))
    asked = await world.ads.next_request()
    await world.appsflyer.next_click()

    assert ["session=secret"] == asked.all("Cookie")


async def test_what_the_ad_stack_asked_for_is_asked_again(world):
    """A browser forgets what it was asked before when a newer answer asks: so that one asks for all."""
    host = {"host": "asking.network.example"}
    await get(world.port, world.ads.serve(response("200 OK", "Accept-CH: Sec-CH-UA-Arch")), **(FIRST | host))
    later = await get(world.port, world.ads.serve(response("200 OK")), **(FIRST | host))

    assert [f"Sec-CH-UA-Arch, {HINTS}"] == later.all("Accept-CH")


async def test_a_held_click_survives_a_kill(launch, start, tmp_path, ads, appsflyer):
    """Killed while it is held, it is delivered by the next process."""
    world = await launch("sidecar", PATIENT)
    await get(world.port, ads.redirect(link_of(click_id := new_id())), **FIRST)
    world.host.process.process.kill()
    await world.host.process.ended()
    await start(start_sidecar, f"http://127.0.0.1:{ads.port}", tmp_path / "rules.yaml", tmp_path)
    await until(lambda: appsflyer.clicks_waiting() > 0, SOON_S)

    assert click_id == dict((await appsflyer.next_click()).params)["clickid"]


async def test_a_held_click_goes_when_the_process_ends(launch, ads, appsflyer):
    """SIGTERM does not wait for the retry, and does not leave the click behind."""
    world = await launch("sidecar", PATIENT)
    await get(world.port, ads.redirect(link_of(click_id := new_id())), **FIRST)
    assert 0 == await world.host.process.stop()

    assert click_id == dict((await appsflyer.next_click()).params)["clickid"]


async def test_frames_get_the_hints_by_delegation(launch, ads):
    """hints_delegate lets ad frames of these origins have them."""
    world = await launch("sidecar", 'hints_delegate: ["https://frames.network.example"]\n' + RULES.lstrip())
    answer = await get(world.port, ads.serve(response("200 OK", "Permissions-Policy: camera=()")), **FIRST)

    assert [
        "camera=()",
        'ch-ua-model=(self "https://frames.network.example")',
        'ch-ua-platform-version=(self "https://frames.network.example")',
    ] == answer.all("Permissions-Policy")


async def test_off_asks_nobody(launch, ads, appsflyer):
    """client_hints: off leaves every answer alone."""
    world = await launch("sidecar", "client_hints: off\n" + RULES.lstrip())
    page = await get(world.port, ads.serve(response("200 OK")), **FIRST)
    click = await get(world.port, ads.redirect(link_of(new_id())), **FIRST)
    await appsflyer.next_click()

    assert ([], []) == (page.all("Accept-CH"), click.all("Accept-CH"))
