"""mitmweb shows every click's story (design §1.3): asked by its own API, as its page does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import quote

import pytest_asyncio
from e2e.clients import get
from e2e.processes import Process, free_port, listening, stock_command
from e2e.scenes import link_of, new_id, path_of, play
from e2e.standins import WAIT, response

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
        async with asyncio.timeout(WAIT):
            while True:
                flows = [flow for flow in await self.flows() if path in {"", flow["request"]["path"]}]
                found = [flow for flow in flows if wanted in flow["comment"]]
                if found:
                    return found[-1]
                await asyncio.sleep(0.05)

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
    await process.output.saw("storehop: ", seconds=30)
    await listening(port, process)
    yield Web(port, api)
    await process.stop()


async def direct(web, ads, appsflyer):
    """A direct click: its id and its flow once the S2S call is delivered."""
    path = ads.redirect(link_of(click_id := new_id()))
    answer = await get(web.port, path)
    await appsflyer.next_click()
    assert play(click_id) == answer.location
    return click_id, await web.flow("direct · games · google play · S2S 200 in ", path)


async def test_a_click_tells_its_story_in_one_line(web, ads, appsflyer):
    """The click's flow is marked, and its comment says where it went and that the call was delivered."""
    _, shown = await direct(web, ads, appsflyer)

    assert shown["marked"]


async def test_a_pass_says_why(web, ads):
    """The comment of a click that passed is its reason."""
    path = ads.redirect(link_of(new_id(), "&is_retargeting=true"))
    await get(web.port, path)

    assert (await web.flow("pass · ", path))["comment"] == "pass · retargeting"


async def test_the_call_stands_beside_its_click(web, ads, appsflyer):
    """The S2S call is a flow of its own with its real URL, also in reverse mode, and the click's id."""
    click_id, shown = await direct(web, ads, appsflyer)
    call = await web.flow(f"S2S of {shown['id']}")

    assert (appsflyer.port, True) == (call["request"]["port"], call["request"]["path"].startswith(path_of(click_id)))


async def test_the_call_is_not_met_again(web, ads, appsflyer):
    """A shown call never comes back into the addon: nothing more is sent."""
    _, shown = await direct(web, ads, appsflyer)
    await web.flow(f"S2S of {shown['id']}")

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
    shown = await web.flow("S2S 200 in ", path)

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
    async with asyncio.timeout(WAIT):
        while len(await web.flows()) > 5:
            await asyncio.sleep(0.1)

    assert all(flow["comment"] for flow in await web.flows())


async def test_a_replayed_click_is_not_sent_again(web, ads, appsflyer):
    """Replaying asks the ad stack once more, and AppsFlyer hears nothing of it."""
    click_id, shown = await direct(web, ads, appsflyer)
    ads.forget()
    token = "a" * 32  # in the cookie and the header alike, as a page would have it
    answer = await get(
        web.api,
        f"/flows/{shown['id']}/replay",
        "POST",
        b"{}",
        host=f"127.0.0.1:{web.api}",
        cookie=f"_mitmproxy_xsrf={token}",
        authorization=f"Bearer {TOKEN}",
        x_xsrftoken=token,
    )
    asked = await ads.next_request()
    again, _ = await direct(web, ads, appsflyer)

    assert (200, shown["request"]["path"]) == (answer.status, asked.target)
    assert again != click_id
    assert 0 == appsflyer.clicks_waiting()
