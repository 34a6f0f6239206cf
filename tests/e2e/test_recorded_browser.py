"""A HAR of a real Chromium with both hops: what the audit reads of it (design §11).

Playwright writes it, of what Chromium's Network domain says; DevTools' own export needs a person and a window.
"""

from __future__ import annotations

import pytest_asyncio
from playwright.async_api import async_playwright

from storehop.audit.clicks import click_of
from storehop.audit.readers import har
from storehop.decide.decision import decide
from storehop.rulefile import load
from tests.support.certificates import server_context
from tests.support.clients import ANDROID
from tests.support.needs import need
from tests.support.scenes import link_of, path_of, play
from tests.support.standins import AdStack, response

PATIENCE = 120_000
"""Milliseconds that Chromium may take for each step."""
LINK, TYPED, STORE = link_of("K1"), link_of("K2"), "https://play.google.com/store/apps/details?id=com.example.game"
ADS = "https://ads.network.example"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exchanges(tmp_path_factory, authority):
    """A tap on an ad, and a page that leads on by meta refresh: every host is a stand-in."""
    program, file = need("chromium"), tmp_path_factory.mktemp("har") / "phone.har"
    internet = AdStack()
    await internet.start(server_context(authority.sign("ads.network.example")))
    path = internet.redirect(LINK)
    page = f'<meta http-equiv="refresh" content="1; url={TYPED.replace("&", "&amp;")}">'
    internet.routes |= {
        "/landing": response("200 OK", "Content-Type: text/html", body=f'<a href="{path}">ad</a>'.encode()),
        "/page": response("200 OK", "Content-Type: text/html", body=page.encode()),
        path_of("K1"): response("302 Found", f"Location: {STORE}"),
        path_of("K2"): response("302 Found", f"Location: {STORE}"),
        "*": response("200 OK", "Content-Type: text/html", body=b"<title>the store</title>"),
    }
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
    to_standins = f"--host-resolver-rules=MAP * 127.0.0.1:{internet.port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=[*quiet, to_standins], timeout=PATIENCE
        )
        context = await browser.new_context(
            user_agent=ANDROID, ignore_https_errors=True, record_har_path=file, record_har_content="embed"
        )
        context.set_default_timeout(PATIENCE)
        tab = await context.new_page()
        await tab.goto(f"{ADS}/landing")
        await tab.get_by_text("ad").click()
        await tab.wait_for_url("https://play.google.com/**")
        await tab.goto(f"{ADS}/page")
        await tab.wait_for_url("https://play.google.com/**")
        await context.close()
        await browser.close()
    await internet.stop()
    with file.open("rb") as stream:
        assert har.looks_like(stream.read(4096))
        stream.seek(0)
        return list(har.read(stream))


def of(exchanges, url):
    """The exchange with this URL."""
    (found,) = [exchange for exchange in exchanges if exchange.url == url]
    return found


def test_both_hops_are_there(exchanges):
    """The ad stack's redirect to AppsFlyer, and AppsFlyer's to the store, each with its time."""
    first = next(exchange for exchange in exchanges if exchange.location == LINK)
    second = of(exchanges, LINK)

    assert (302, 302, STORE) == (first.status, second.status, second.location)
    assert first.seconds >= 0
    assert first.at <= second.at


def test_its_click_is_decided(exchanges, module_rules):
    """With the headers that Chromium sent."""
    rules = load(module_rules)
    first = next(exchange for exchange in exchanges if exchange.location == LINK)
    decision = decide(click_of(first, rules, "NEW"), rules)

    assert play("K1") == decision.location
    assert ANDROID == first.headers["user-agent"]


def test_a_page_that_leads_on_is_seen(exchanges):
    """By its meta refresh; Chromium forgets the body of a page that leads on before it was fetched."""
    assert TYPED == of(exchanges, f"{ADS}/page").page_link
