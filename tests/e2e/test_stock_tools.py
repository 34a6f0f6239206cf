"""The addon in stock mitmproxy's three tools, with no flags that it would need (design §1)."""

from __future__ import annotations

import asyncio
import os
import re

import pytest_asyncio

from tests.support.clients import ANDROID, get, talk
from tests.support.load import until
from tests.support.patience import SOON_S
from tests.support.processes import Process, free_port, listening, stock_command
from tests.support.scenes import android_call, link_of, new_id, path_of, play

OWN_FLAGS = {
    "mitmdump": list,
    "mitmweb": lambda: ["--no-web-open-browser", "--web-port", str(free_port())],
    "mitmproxy": list,
}
"""Ports, and not to open a browser."""


@pytest_asyncio.fixture(loop_scope="session", params=OWN_FLAGS)
async def port(request, start, ads, module_rules, tmp_path):
    """Where the tool listens, as a reverse proxy of the ad stack."""
    tool, port = request.param, free_port()
    command = stock_command(tool, f"reverse:http://127.0.0.1:{ads.port}", module_rules, port, tmp_path)
    process = await start(Process.start, *command, *OWN_FLAGS[tool](), terminal=tool == "mitmproxy")
    await listening(port, process)
    return port


async def click(port, ads):
    """The first click that does not pass: it listens a moment before its addons run."""
    async with asyncio.timeout(SOON_S):
        while True:
            link = link_of(click_id := new_id())
            answer = await get(port, ads.redirect(link))
            if answer.location != link:
                return click_id, answer


async def test_it_answers_clicks(port, ads, appsflyer):
    """A redirect becomes one to the store and a call, and a click addressed to AppsFlyer is answered."""
    redirected, rewritten = await click(port, ads)
    own = await get(port, path_of(addressed := new_id()), host="app.appsflyer.com")

    assert [play(redirected), play(addressed)] == [rewritten.location, own.location]
    assert {android_call(redirected, ANDROID), android_call(addressed, ANDROID)} == {
        (await appsflyer.next_click()).target,
        (await appsflyer.next_click()).target,
    }


async def test_it_refuses_heads_as_the_sidecar_does(port, ads):
    """Our layer is in force with no flag: a head without an end is cut, one of two meanings is refused."""
    async with asyncio.timeout(SOON_S):
        await click(port, ads)
        endless, twofold = await talk(port, b"GET /" + b"a" * 70_000), await talk(port, b"GET / HTTP/1.1\r\n\r\n")

    assert [(431, b"431 Request Header Fields Too Large\n"), (400, b"400 Bad Request\n")] == [
        (endless.status, endless.body),
        (twofold.status, twofold.body),
    ]


async def test_an_outbox_of_an_unknown_kind_ends_it(tmp_path, start, module_rules):
    """Nothing is stored by guessing: mitmproxy ends, and says in one line what was expected."""
    usual = stock_command("mitmdump", "regular", module_rules, free_port(), tmp_path)
    command = [re.sub("^storehop_outbox=.*", "storehop_outbox=postgres://localhost/0", str(word)) for word in usual]
    process = await start(Process.start, *command)

    assert 1 == await process.ended()
    assert "storehop_outbox 'postgres://localhost/0': expected a path" in process.output.text
    assert "Traceback" not in process.output.text


async def test_the_console_tells_a_click_s_story(tmp_path, start, ads, appsflyer, module_rules):
    """In mitmproxy's console `storehop.explain @focus` shows the decision."""
    port = free_port()
    command = stock_command("mitmproxy", f"reverse:http://127.0.0.1:{ads.port}", module_rules, port, tmp_path)
    process = await start(Process.start, *command, terminal=True)
    await listening(port, process)
    await click(port, ads)
    await appsflyer.next_click()
    os.write(process.terminal, b":set view_filter=~marked\r")  # what came before the addons ran is no click to it
    os.write(process.terminal, b":storehop.explain @focus\r")

    assert await until(lambda: "games: matches" in process.output.text, SOON_S), process.output.text
