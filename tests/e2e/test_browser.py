"""A real browser: Chromium looks at mitmweb's page, and follows clicks past AppsFlyer (design §1)."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import async_playwright

from tests.support.clients import ANDROID, PUBLIC, get
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


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium, inspected, ads, appsflyer):
    """Mitmweb's page after an Android click that went direct and one that passed."""
    port, url = inspected
    await get(port, ads.redirect(link_of(new_id())))
    await appsflyer.next_click()
    await get(port, ads.redirect(link_of(new_id(), "&is_retargeting=true")))
    page = await chromium.new_page(viewport={"width": 1360, "height": 760})
    page.set_default_timeout(PATIENCE)
    await page.goto(url)
    yield page
    await page.close()


async def open_click(page):
    """Chooses the direct click in the list, by its comment, and opens its response."""
    await page.get_by_text("S2S 200 in").first.click()
    await page.get_by_text("Response", exact=True).first.click()


async def test_the_page_lists_the_click_with_its_comment(page):
    """The click is found by its comment."""
    await page.get_by_text("direct · games · google play").first.wait_for()


async def test_the_page_lists_the_s2s_call(page):
    """The call stands beside its click."""
    await page.get_by_text("S2S of ").first.wait_for()


async def test_the_click_view_opens_by_itself(page):
    """The response of a click shows the whole decision, without anything chosen."""
    await page.get_by_text("direct · games · google play").first.wait_for()
    await open_click(page)
    await page.get_by_text("user_agent: User-Agent").first.wait_for()
    if SCREENSHOT:
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
