"""The page of an audit in a real browser: alone, on a phone, in the dark, on paper (design §11)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from storehop.audit.page import render
from storehop.audit.report import Report
from tests.audit.test_page import HOSTILE, report_full_of
from tests.support.audit_report import usual_report
from tests.support.needs import need

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

PATIENCE = 120_000
"""Milliseconds that Chromium may take for each step, on a machine that does other things too."""
SCREENSHOT = os.environ.get("STOREHOP_AUDIT_SCREENSHOT")
"""Where to put a picture of the page: `make picture` sets it."""
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1000, "height": 1360}
MOST_SHEETS = 6
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3."""
REPORTS = {"usual": usual_report(), "empty": Report(), "hostile": report_full_of("W" * 400)}

OPEN_ALL = "document.querySelectorAll('details').forEach(fold => fold.open = true)"
LOWEST_CONTRAST = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number)
  const over = (top, below) => {
    const a = top.length > 3 ? top[3] : 1
    return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a))
  }
  const ground = element => {
    const above = element.parentElement ? ground(element.parentElement) : [255, 255, 255]
    return over(numbers(getComputedStyle(element).backgroundColor), above)
  }
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    return .2126 * r + .7152 * g + .0722 * b
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  let lowest = [99, ''], seen = 0
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || element.closest('svg')) continue
    const below = ground(element)
    const [a, b] = [light(over(numbers(getComputedStyle(element).color), below)), light(below)]
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
    seen += 1
    if (contrast < lowest[0]) lowest = [contrast, element.outerHTML.slice(0, 120)]
  }
  return [...lowest, seen]
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium():
    program = need("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The page of each report, as a file."""
    folder = tmp_path_factory.mktemp("pages")
    for name, report in REPORTS.items():
        (folder / f"{name}.html").write_text(render(report), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in REPORTS}


@pytest.fixture(scope="module")
def opened(chromium, files):
    """Opens the page of a report without a network."""

    async def opened(name, viewport=DESKTOP, scheme="light"):
        context = await chromium.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        await page.goto(files[name])
        return page

    return opened


@pytest.mark.parametrize("name", REPORTS)
async def test_the_page_loads_alone(chromium, files, name):
    """Without a network: one file is read, nothing else is asked for, the console stays empty."""
    context = await chromium.new_context(offline=True)
    page = await context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(files[name], wait_until="load", timeout=PATIENCE)
    await page.evaluate(OPEN_ALL)
    await page.wait_for_load_state("networkidle", timeout=PATIENCE)
    await context.close()

    assert ([files[name]], []) == (asked, said)


@pytest.mark.parametrize("text", HOSTILE[:4])
async def test_a_stranger_s_text_makes_no_element(chromium, tmp_path, text):
    """As a browser parses the page, it has no element that it has not with plain words."""
    context = await chromium.new_context(offline=True)
    page = await context.new_page()
    counts = []
    for i, one in enumerate(("plain", text)):
        file = tmp_path / f"{i}.html"
        file.write_text(render(report_full_of(one)), encoding="utf-8")
        await page.goto(file.as_uri())
        counts.append(await page.evaluate("document.querySelectorAll('*:not(wbr)').length"))
    await context.close()

    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", REPORTS)
async def test_a_phone_scrolls_down_only(opened, name):
    """At a width of 360 pixels nothing stands out on the right, folds opened or not."""
    page = await opened(name, PHONE)
    closed = await page.evaluate("document.documentElement.scrollWidth")
    await page.evaluate(OPEN_ALL)
    whole = await page.evaluate("document.documentElement.scrollWidth")
    await page.context.close()

    assert (360, 360) == (closed, whole)


async def test_a_phone_shows_whole_tables(opened):
    """Of a usual report no table has to be scrolled on a phone."""
    page = await opened("usual", PHONE)
    await page.evaluate(OPEN_ALL)
    cut = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"
    found = await page.evaluate(cut)
    await page.context.close()

    assert [] == found


async def test_a_usual_report_prints_on_a_few_sheets(opened):
    """A4, with all folds open."""
    page = await opened("usual")
    pdf = await page.pdf(prefer_css_page_size=True)
    await page.context.close()
    width, height = map(float, re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf).groups())

    assert (595, 842) == (round(width), round(height))
    assert 2 <= len(re.findall(rb"/Type /Page\b", pdf)) <= MOST_SHEETS


async def test_paper_shows_what_is_folded(opened):
    """Nobody opens a fold on paper; the list of contents, which nobody can follow there, is left out."""
    page = await opened("usual")
    samples = page.locator(".samples")
    on_screen = [await samples.nth(i).is_visible() for i in range(await samples.count())]
    await page.emulate_media(media="print")
    heights = [(await samples.nth(i).bounding_box() or {}).get("height", 0) for i in range(await samples.count())]
    has_contents = await page.locator("nav").is_visible()
    await page.context.close()

    assert {False} == set(on_screen)
    assert (True, False) == (min(heights) > 10, has_contents)


async def test_a_dark_page_is_dark(opened):
    """Who prefers the dark gets it."""
    grounds = []
    for scheme in ("light", "dark"):
        page = await opened("usual", scheme=scheme)
        grounds.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        await page.context.close()

    assert ["rgb(255, 255, 255)", "rgb(18, 22, 28)"] == grounds


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("name", ["usual", "empty"])
async def test_all_text_can_be_read(opened, name, media, scheme):
    """Each text stands out from its ground by 4.5 to 1 at least, on a screen and on paper."""
    page = await opened(name, scheme=scheme)
    await page.emulate_media(media=media, color_scheme=scheme)
    lowest, where, seen = await page.evaluate(LOWEST_CONTRAST)
    await page.context.close()

    assert seen > 30
    assert lowest >= LEAST_CONTRAST, where


async def test_a_keyboard_opens_a_fold(opened):
    """Tab leads to what can be opened, and Enter opens it."""
    page = await opened("usual")
    await page.locator("summary").first.focus()
    await page.keyboard.press("Enter")
    is_open = await page.locator("details").first.evaluate("fold => fold.open")
    await page.context.close()

    assert is_open


async def test_the_verdict_is_on_the_first_screen(opened):
    """Limits, and whether they hold, before anybody scrolls."""
    page = await opened("usual")
    box = await page.locator("#verdict").bounding_box()
    if SCREENSHOT:
        await page.screenshot(path=Path(SCREENSHOT))
    await page.context.close()

    assert box["y"] + box["height"] < 800
