"""mitmweb shows every click's story (design §1.3): asked by its own API, as its page does."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from urllib.parse import quote

import pytest_asyncio

from tests.support.clients import get
from tests.support.patience import SOON_S, START_S
from tests.support.processes import Process, free_port, listening, stock_command
from tests.support.scenes import link_of, new_id, path_of, play
from tests.support.standins import response

TOKEN = "let-me-in"


@dataclass(slots=True)
class Web:
    """A running mitmweb."""

    port: int
    api: int

    async def ask(self, path: str) -> bytes:
        answer = await get(self.api, f"{path}?token={TOKEN}", host=f"127.0.0.1:{self.api}")
        assert answer.status == 200, answer.raw
        return answer.body

    async def flows(self) -> list[dict]:
        return json.loads(await self.ask("/flows"))

    async def flow(self, wanted: str, path: str = "") -> dict:
        """The newest flow (of this path) in whose comment this stands; comments change when an S2S call ends."""
        async with asyncio.timeout(SOON_S):
            while True:
                flows = [flow for flow in await self.flows() if path in {"", flow["request"]["path"]}]
                found = [flow for flow in flows if wanted in flow["comment"]]
                if found:
                    return found[-1]
                await asyncio.sleep(0.05)

    async def post(self, path: str, body: object, method: str = "POST") -> None:
        """Asks for a change, as the page does."""
        token = "a" * 32  # in the cookie and the header alike
        answer = await get(
            self.api,
            path,
            method,
            json.dumps(body).encode(),
            host=f"127.0.0.1:{self.api}",
            cookie=f"_mitmproxy_xsrf={token}",
            authorization=f"Bearer {TOKEN}",
            x_xsrftoken=token,
            content_type="application/json",
        )
        assert answer.status == 200, answer.raw

    async def replay(self, flow: dict) -> None:
        await self.post(f"/flows/{flow['id']}/replay", {})

    async def set(self, option: str, *, value: object) -> None:
        await self.post("/options", {option: value}, "PUT")

    async def view(self, flow: dict, message: str = "response") -> str:
        answer = json.loads(await self.ask(f"/flows/{flow['id']}/{message}/content/{quote('Click')}"))
        return answer["text"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def web(tmp_path_factory, ads, module_rules):
    folder, port, api = tmp_path_factory.mktemp("web"), free_port(), free_port()
    command = stock_command("mitmweb", f"reverse:http://127.0.0.1:{ads.port}", module_rules, port, folder)
    options = {"web_password": TOKEN, "storehop_view_flows": 5}
    own = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    process = await Process.start(*command, "--no-web-open-browser", "--web-port", str(api), *own)
    await process.output.saw("storehop: ", seconds=START_S)
    await listening(port, process)
    yield Web(port, api)
    await process.stop()


async def direct(web, ads, appsflyer):
    """A direct click: its id and its flow once the S2S call is delivered."""
    path = ads.redirect(link_of(click_id := new_id()))
    answer = await get(web.port, path)
    await appsflyer.next_click()
    assert play(click_id) == answer.location
    return click_id, await web.flow("sent to Google Play · AppsFlyer has it (200, ", path)


async def test_a_click_tells_its_story_in_one_line(web, ads, appsflyer):
    """The click's flow is marked, and its comment says where it went and that the call was delivered."""
    _, shown = await direct(web, ads, appsflyer)

    assert shown["marked"]


async def test_a_pass_says_why(web, ads):
    """The comment of a click that passed says app, campaign and why, in words."""
    path = ads.redirect(link_of(new_id(), "&is_retargeting=true"))
    await get(web.port, path)

    shown = await web.flow("left as it was", path)
    assert "⏩ com.example.game · spring · left as it was: it is a retargeting click" == shown["comment"]


async def test_a_duplicate_names_the_click_that_it_repeats(web, ads, appsflyer):
    """The same click again is shown as such, and its view names the first one and has no call."""
    path = ads.redirect(link_of(new_id()))
    for _ in range(2):
        await get(web.port, path)
    await appsflyer.next_click()
    text = await web.view(await web.flow("the same click again: the same answer, no S2S click of its own", path))

    assert re.search(r"It is click [0-9a-f-]{36} again: the same answer, and no S2S call of its own\.", text)
    assert "AppsFlyer gets" not in text


async def test_the_call_stands_beside_its_click(web, ads, appsflyer):
    """The S2S call is a flow of its own with its real URL, also in reverse mode, and names the click's id."""
    click_id, _ = await direct(web, ads, appsflyer)
    call = await web.flow(f"S2S click {click_id} · AppsFlyer has it")

    assert (appsflyer.port, True) == (call["request"]["port"], call["request"]["path"].startswith(path_of(click_id)))


async def test_the_call_is_not_met_again(web, ads, appsflyer):
    """A shown call never comes back into the addon: nothing more is sent."""
    click_id, _ = await direct(web, ads, appsflyer)
    await web.flow(f"S2S click {click_id} ·")

    assert 0 == appsflyer.clicks_waiting()


async def test_the_click_view_is_the_whole_decision(web, ads, appsflyer):
    """Each parameter stands there with its value and source, and both URLs."""
    click_id, shown = await direct(web, ads, appsflyer)
    text = await web.view(shown)

    for wanted in (
        "switched-off: app does not match",
        "games: matches",
        f"NetworkA_{click_id}",
        "af_os_version",
        "user_agent: User-Agent",
        play(click_id),
        "AppsFlyer gets",
    ):
        assert wanted in text


async def test_the_click_view_is_there_for_a_redirect_with_a_page(web, ads, appsflyer):
    """Ad stacks put a page into their redirects: it does not hide the decision."""
    path = ads.redirect(link_of(new_id()), body=b"<h1>Found</h1>" * 100)
    await get(web.port, path)
    await appsflyer.next_click()
    shown = await web.flow("AppsFlyer has it (200, ", path)

    assert "af_os_version" in await web.view(shown)


async def test_the_click_view_hides_personal_data(web, ads, appsflyer):
    """Addresses are hidden until an option shows them."""
    _, shown = await direct(web, ads, appsflyer)

    assert "81.2.69.142" not in await web.view(shown)


async def test_only_clicks_stay(web, ads, appsflyer):
    """Other traffic goes when it is over, and no more than the wanted number of click flows stay."""
    for _ in range(6):
        await get(web.port, ads.serve(response("200 OK")))
        await direct(web, ads, appsflyer)
    async with asyncio.timeout(SOON_S):
        while len(await web.flows()) > 5:
            await asyncio.sleep(0.1)

    assert all(flow["comment"] for flow in await web.flows())


async def test_the_click_view_says_which_gates_let_it_through(web, ads, appsflyer):
    """Every gate up to the one where the click passed stands there, and why it did not let it through."""
    path = ads.redirect(link_of(new_id(), "&is_retargeting=true"))
    await get(web.port, path)
    text = await web.view(await web.flow("left as it was", path))

    for wanted in (
        "✓ an attribution link, no impression, ",
        "no bot, ",
        "✗ retargeting: it is a retargeting click",
        "5 more were not asked",
    ):
        assert wanted in text


async def test_the_click_view_shows_both_urls_side_by_side(web, ads, appsflyer):
    """The store's URL stands decoded to the left of the S2S call's."""
    click_id, shown = await direct(web, ads, appsflyer)
    rows = [re.split(r"\s{2,}", line.strip()) for line in (await web.view(shown)).splitlines()]

    assert ["id = com.example.game", "pid = networka_int"] in rows
    assert [f"referrer = NetworkA_{click_id}", "c = spring"] in rows


async def test_a_replayed_click_is_not_sent_again(web, ads, appsflyer):
    """Replaying asks the ad stack once more, and AppsFlyer hears nothing of it."""
    click_id, shown = await direct(web, ads, appsflyer)
    ads.forget()
    await web.replay(shown)
    asked = await ads.next_request()
    again, _ = await direct(web, ads, appsflyer)

    assert shown["request"]["path"] == asked.target
    assert again != click_id
    assert 0 == appsflyer.clicks_waiting()


async def test_a_replay_shows_what_would_happen_now(web, ads, appsflyer):
    """A replayed click is decided anew, and its comment says that nothing was sent."""
    _, shown = await direct(web, ads, appsflyer)
    await web.replay(shown)

    replayed = await web.flow("replayed", shown["request"]["path"])

    assert replayed["comment"].endswith("sent to Google Play · replayed, nothing sent · rule games")


async def test_a_replayed_call_is_not_sent_again(web, ads, appsflyer):
    """Replaying the flow of an S2S call sends nothing either."""
    click_id, _ = await direct(web, ads, appsflyer)
    await web.replay(await web.flow(f"S2S click {click_id} ·"))
    async with asyncio.timeout(SOON_S):
        while "response" not in (replayed := await web.flow(f"S2S click {click_id} ·")):
            await asyncio.sleep(0.05)

    assert (204, 0) == (replayed["response"]["status_code"], appsflyer.clicks_waiting())


async def test_a_replayed_click_addressed_to_appsflyer_contacts_nobody(web, ads, appsflyer):
    """One that passes is not handed on: AppsFlyer would count it again."""
    path = path_of(new_id(), "&is_retargeting=true")
    await get(web.port, path, host="app.appsflyer.com")
    shown = await web.flow("left as it was", path)
    ads.forget()
    await web.replay(shown)
    replayed = await web.flow("replayed", path)

    assert (204, True) == (replayed["response"]["status_code"], ads.requests.empty())


async def test_a_replay_sends_when_asked(web, ads, appsflyer):
    """With storehop_replay_sends a replayed click is a click like any other."""
    _, shown = await direct(web, ads, appsflyer)
    await web.set("storehop_replay_sends", value=True)
    ads.routes[shown["request"]["path"]] = response("302 Found", f"Location: {link_of(again := new_id())}")
    await web.replay(shown)
    sent = await appsflyer.next_click()
    await web.set("storehop_replay_sends", value=False)

    assert again == dict(sent.params)["clickid"]
