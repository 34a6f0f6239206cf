"""A real browser: Chromium looks at mitmweb's page, and follows clicks past AppsFlyer (design §1)."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import async_playwright

from tests.support.clients import ANDROID, DESKTOP, IPHONE, PUBLIC, get
from tests.support.needs import need
from tests.support.patience import START_S
from tests.support.processes import Process, free_port, listening, sidecar_command
from tests.support.scenes import link_of, new_id, play
from tests.support.standins import AdStack, response

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""No connection of Chromium's own."""
PATIENCE = 120_000
"""Milliseconds that Chromium may take for each step, on a machine that does other things too."""
SCREENSHOT = os.environ.get("STOREHOP_SCREENSHOT")
"""Where to put a picture of the page: `make picture` sets it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium():
    program = need("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(QUIET), timeout=PATIENCE)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def inspected(tmp_path_factory, ads, module_rules):
    """`storehop run --web`: where clicks go in, and the page's URL with its token."""
    folder, port = tmp_path_factory.mktemp("inspected"), free_port()
    command = sidecar_command(f"http://127.0.0.1:{ads.port}", module_rules, f"127.0.0.1:{port}", folder)
    process = await Process.start(*command, "--web", f"127.0.0.1:{free_port()}")
    line = await process.output.saw("Web server listening at ", seconds=START_S)
    await process.output.saw("storehop: ", seconds=START_S)
    await listening(port, process)
    yield port, line.rpartition(" ")[2].strip()
    await process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clicked(inspected, ads, appsflyer):
    """One click of each kind: sent to both stores, left as they were, and one that came twice."""
    port, _ = inspected

    async def click(link, times=1, **headers):
        path = ads.redirect(link)
        for _ in range(times):
            await get(port, path, **headers)

    await click(link_of(new_id()))
    await click(link_of(new_id(), app="id123456789").replace("c=spring", "c=summer"), user_agent=IPHONE)
    await click(link_of(new_id(), "&is_retargeting=true"))
    await click(link_of(new_id()), user_agent=DESKTOP)
    await click(link_of(new_id(), app="com.example.watched"))
    await click(link_of(new_id()).replace("c=spring", "c=autumn"), times=2)
    for _ in range(3):
        await appsflyer.next_click()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(chromium, inspected, clicked):
    """Mitmweb's page after these clicks."""
    page = await chromium.new_page(viewport={"width": 1400, "height": 1020})
    page.set_default_timeout(PATIENCE)
    await page.goto(inspected[1])
    yield page
    await page.close()


SENT = "com.example.game · spring · sent to Google Play · AppsFlyer has it (200, "


async def test_the_page_lists_the_click_with_its_story(page):
    """App and campaign, where it went, and that AppsFlyer has it."""
    await page.get_by_text(SENT).first.wait_for()


async def test_the_page_lists_the_s2s_call(page):
    """The call stands beside its click, and names its id."""
    await page.get_by_text("spring · S2S click T").first.wait_for()


async def test_nothing_of_a_story_is_cut_off(page):
    """At this width each comment has the room that it needs."""
    await page.get_by_text(SENT).first.wait_for()
    cells = await page.locator("td.col-comment").all()
    cut = [
        await cell.inner_text() for cell in cells if await cell.evaluate("cell => cell.scrollWidth > cell.clientWidth")
    ]

    assert (True, []) == (len(cells) >= 10, cut)


async def widen_list(page, pixels=90):
    """Drags the bar between the list and the click."""
    bar = await page.locator(".splitter").bounding_box()
    x, y = bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + pixels, y, steps=5)
    await page.mouse.up()


async def test_the_click_view_opens_by_itself(page):
    """The response of a click shows the whole decision, without anything chosen."""
    await page.get_by_text(SENT).first.click()
    await page.get_by_text("Response", exact=True).first.click()
    await page.get_by_text("user_agent: User-Agent").first.wait_for()
    if SCREENSHOT:
        await widen_list(page)
        await page.screenshot(path=Path(SCREENSHOT))


async def test_a_click_never_meets_appsflyer(chromium, inspected, ads, appsflyer):
    """From a page of the ad stack an Android Chromium comes to the store, and contacted nobody else."""
    port, _ = inspected
    store = AdStack()
    await store.start()
    store.routes["*"] = response("200 OK", "Content-Type: text/html", body=b"<title>the store</title>")
    click_id = new_id()
    path = ads.redirect(link_of(click_id))
    landing = ads.serve(response("200 OK", "Content-Type: text/html", body=f'<a href="{path}">ad</a>'.encode()))
    context = await chromium.new_context(user_agent=ANDROID, extra_http_headers={"X-Forwarded-For": PUBLIC})
    context.set_default_timeout(PATIENCE)
    asked: list[str] = []

    async def at_the_store(route, request):
        asked.append(request.url)
        answer = await get(store.port, urlsplit(request.url).path, host="play.google.com")
        await route.fulfill(status=answer.status, content_type="text/html", body=answer.body)

    await context.route(lambda url: "127.0.0.1" not in url, at_the_store)
    tab = await context.new_page()
    await tab.goto(f"http://127.0.0.1:{port}{landing}")
    await tab.get_by_text("ad").click()
    await tab.wait_for_url("https://play.google.com/**")
    came = dict((await appsflyer.next_click()).params)
    await context.close()
    await store.stop()

    assert [play(click_id)] == asked
    assert (click_id, ANDROID, "Pixel 5") == (came["clickid"], came["af_ua"], came["af_model"])
