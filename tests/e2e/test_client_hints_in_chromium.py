"""A real browser decides about client hints: Chromium as an Android phone, over TLS and in the clear."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support.load import report
from tests.support.needs import need
from tests.support.phones import REDUCED
from tests.support.processes import Host, start_sidecar
from tests.support.scenes import RULES, link_of, new_id, play, write_rules
from tests.support.standins import AdStack, AppsFlyer, response

PHONE = {
    "brands": [{"brand": "Chromium", "version": "139"}, {"brand": "Google Chrome", "version": "139"}],
    "fullVersion": "139.0.7258.62",
    "platform": "Android",
    "platformVersion": "15.0.0",
    "architecture": "",
    "model": "SM-S918B",
    "mobile": True,
}
"""What the phone says of itself, to whom it tells."""
ADS = "ads.network.example"
PATIENT = "2s"
"""So long a retry may take on a busy machine; more is not to be had."""
PATIENCE = 120_000
"""Milliseconds that Chromium may take for each step."""
SCREEN = {"user_agent": REDUCED, "is_mobile": True, "viewport": {"width": 400, "height": 800}}
STAYS_HOME = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@dataclass(frozen=True, slots=True)
class Clicked:
    """What came of a click."""

    call: dict[str, str]
    """The S2S click's parameters."""
    hits: int
    """How often the ad stack saw it."""
    more: int
    """S2S clicks beyond the first."""

    @property
    def device(self) -> tuple[str | None, str | None]:
        return self.call.get("af_model"), self.call.get("af_os_version")


@dataclass(slots=True)
class Phone:
    """Chromium as a phone, in front of sidecars that its name resolution leads to."""

    browser: Browser
    flags: list[str]
    ads: AdStack
    appsflyer: AppsFlyer

    async def click(self, page: Page, origin: str) -> Clicked:
        """Follows an ad from somebody's page to the store."""
        path = self.ads.redirect(link_of(click_id := new_id()))
        self.ads.forget()
        await self.tap(page, origin, path)
        call = dict((await self.appsflyer.next_click()).params)
        hits = [await self.ads.next_request() for _ in range(self.ads.requests.qsize())]
        assert (play(click_id), click_id) == (page.url, call["clickid"])
        return Clicked(call, [hit.target for hit in hits].count(path), self.appsflyer.clicks_waiting())

    async def tap(self, page: Page, origin: str, path: str) -> str:
        """Follows this ad from somebody's page to the store. Returns the store's URL."""
        landing = self.ads.serve(
            response("200 OK", "Content-Type: text/html", body=f'<a href="{origin}{path}">the ad</a>'.encode()),
        )
        await page.goto(f"http://127.0.0.1:{self.ads.port}{landing}")
        await page.get_by_text("the ad").click()
        await page.wait_for_url("https://play.google.com/**")
        return page.url

    async def another_call(self, page: Page, origin: str) -> str | None:
        """What came before a new click's own call, which may overtake nothing; None where nothing did."""
        click_id = new_id()
        await self.tap(page, origin, self.ads.redirect(link_of(click_id)))
        call = dict((await self.appsflyer.next_click()).params)
        return None if call.get("clickid") == click_id else str(call)

    async def new_page(self, context: BrowserContext | None = None) -> Page:
        """A tab of a browser that has met nobody yet."""
        context = context or await self.browser.new_context(**SCREEN)
        context.set_default_timeout(PATIENCE)

        async def at_the_store(route):
            await route.fulfill(status=200, content_type="text/html", body="<title>the store</title>")

        await context.route("https://play.google.com/**", at_the_store)
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        override = {"userAgent": REDUCED, "userAgentMetadata": PHONE}
        await session.send("Emulation.setUserAgentOverride", override)
        return page


def public_key_hash(pem: bytes) -> str:
    """As --ignore-certificate-errors-spki-list wants it."""
    key = x509.load_pem_x509_certificate(pem).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


@pytest.fixture(scope="module")
def certificate(authority):
    """The sidecars' certificate, with its key."""
    return authority.sign(ADS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def phone(request, certificate, ads, appsflyer):
    """A phone that trusts the sidecars' certificate; more flags by indirect parameters."""
    trusts = f"--ignore-certificate-errors-spki-list={public_key_hash(certificate.read_bytes())}"
    flags = [*STAYS_HOME, trusts, f"--host-resolver-rules=MAP {ADS} 127.0.0.1", *getattr(request, "param", [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=need("chromium"), args=flags, timeout=PATIENCE)
        yield Phone(browser, flags, ads, appsflyer)
        await browser.close()


KNOWN, UNKNOWN = ("SM-S918B", "15"), (None, None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sidecar(tmp_path_factory, certificate, ads, appsflyer):
    """Starts a sidecar in front of the ad stack, one for each way: `sidecar("critical", tls=True)` is its origin."""
    running: dict[tuple[str, bool], Host] = {}

    async def origin(mode: str, *, tls: bool, name: str = ADS) -> str:
        if (mode, tls) not in running:
            folder = tmp_path_factory.mktemp("sidecar")
            text = RULES.replace("trusted_proxies: [127.0.0.0/8]", "trusted_proxies: []").lstrip()
            rules = write_rules(folder, f"client_hints: {mode}\nhints_wait: {PATIENT}\n{text}", appsflyer)
            secure = ("--tls-cert", certificate) if tls else ()
            running[mode, tls] = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *secure)
        return f"{'https' if tls else 'http'}://{name}:{running[mode, tls].port}"

    yield origin
    await asyncio.gather(*(host.process.stop() for host in running.values()))


async def test_critical_brings_the_model_with_the_first_click(phone, sidecar):
    """The browser repeats its click with the hints: one S2S click with the model, one hit at the ad stack."""
    clicked = await phone.click(await phone.new_page(), await sidecar("critical", tls=True))

    assert (KNOWN, 1, 0) == (clicked.device, clicked.hits, clicked.more)


@pytest.mark.parametrize("phone", [["--disable-features=CriticalClientHint"]], indirect=True, ids=["no retry"])
async def test_critical_without_the_retry_sends_the_click_as_it_is(phone, sidecar):
    """A browser that follows the first answer is counted all the same."""
    clicked = await phone.click(await phone.new_page(), await sidecar("critical", tls=True))

    assert (UNKNOWN, 1, 0) == (clicked.device, clicked.hits, clicked.more)


@pytest.mark.parametrize("mode", ["accept", "critical"])
async def test_nothing_is_told_in_the_clear(phone, sidecar, mode):
    """Over http browsers tell no hints, and no click suffers from it."""
    page, origin = await phone.new_page(), await sidecar(mode, tls=False)
    first, second = await phone.click(page, origin), await phone.click(page, origin)

    assert [(UNKNOWN, 1, 0)] * 2 == [(one.device, one.hits, one.more) for one in (first, second)]


async def test_the_own_machine_is_a_secure_context(phone, sidecar):
    """What never leaves the machine is trusted without TLS."""
    clicked = await phone.click(await phone.new_page(), await sidecar("critical", tls=False, name="localhost"))

    assert (KNOWN, 1, 0) == (clicked.device, clicked.hits, clicked.more)


async def test_a_redirect_before_ours_makes_no_second_click(phone, sidecar, ads, appsflyer):
    """The browser begins anew with the publisher's redirect, which has a new link by then: still one S2S click."""
    origin = await sidecar("critical", tls=True)
    paths: list[str] = []

    async def publisher(_request, _reader, writer):
        paths.append(ads.redirect(link_of(new_id())))
        writer.write(response("302 Found", f"Location: {origin}{paths[-1]}"))

    start = ads.serve(publisher)
    landing = ads.serve(
        response("200 OK", "Content-Type: text/html", body=f'<a href="{start}">the ad</a>'.encode()),
    )
    page = await phone.new_page()
    await page.goto(f"http://127.0.0.1:{ads.port}{landing}")
    ads.forget()
    await page.get_by_text("the ad").click()
    await page.wait_for_url("https://play.google.com/**")
    call = dict((await appsflyer.next_click()).params)
    seen = [(await ads.next_request()).target for _ in range(ads.requests.qsize())]

    assert ("SM-S918B", play(call["clickid"]), 0) == (call["af_model"], page.url, appsflyer.clicks_waiting())
    assert (2, 1) == (seen.count(start), sum(path in seen for path in paths))


@pytest.mark.parametrize(("mode", "expected"), [("off", 0), ("accept", 1), ("critical", 2)])
async def test_how_many_of_two_clicks_have_a_model(phone, sidecar, mode, expected):
    """Two clicks of a phone that met nobody before: none, the second, both."""
    page, origin = await phone.new_page(), await sidecar(mode, tls=True)
    clicks = [await phone.click(page, origin) for _ in range(2)]
    known = sum(clicked.device == KNOWN for clicked in clicks)
    assert [(1, 0)] * 2 == [(one.hits, one.more) for one in clicks]
    report(f"client_hints: {mode}", clicks=len(clicks), with_a_model=known, hits=sum(one.hits for one in clicks))

    assert expected == known


NO_ID = "https://app.appsflyer.com/com.example.game?pid=networka_int&c={}"


async def test_a_second_tap_that_brings_hints_is_the_same_click(phone, sidecar):
    """With `accept` the first answer asks for hints: the same link within ten seconds, now with them, is one call."""
    page, origin = await phone.new_page(), await sidecar("accept", tls=True)
    path = phone.ads.redirect(NO_ID.format(new_id()))
    stores = {await phone.tap(page, origin, path) for _ in range(2)}
    await phone.appsflyer.next_click()

    assert (1, None) == (len(stores), await phone.another_call(page, origin))


@pytest_asyncio.fixture(loop_scope="session")
async def without_cookies(phone, tmp_path):
    """The same phone, where a person has blocked all cookies."""
    (tmp_path / "Default").mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocked))
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=need("chromium"), args=phone.flags, timeout=PATIENCE, **SCREEN
        )
        yield await phone.new_page(context)
        await context.close()


async def test_without_cookies_a_critical_click_is_one_call(phone, without_cookies, sidecar):
    """The browser's retry is not known by its cookie, and still no second click."""
    origin, seen = await sidecar("critical", tls=True), []
    without_cookies.on("request", lambda request: seen.append(request.headers.get("cookie")))
    path = phone.ads.redirect(NO_ID.format(new_id()))
    await phone.tap(without_cookies, origin, path)
    await phone.appsflyer.next_click()

    assert (None, {None}) == (await phone.another_call(without_cookies, origin), set(seen))
