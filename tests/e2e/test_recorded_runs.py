"""The law of an audit: a recorded run is decided by the same rules as it was live, every click of it (design §11)."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

import pytest
import pytest_asyncio
from ruamel.yaml import YAML

from storehop.audit.clicks import click_of
from storehop.audit.exchange import Exchange
from storehop.audit.readers import flows
from storehop.decide.decision import decide
from storehop.model import Direct, Reason
from storehop.rulefile import load
from tests.support.certificates import server_context
from tests.support.clients import HEADERS, Answer, get_by_connect, request, talk
from tests.support.load import until
from tests.support.patience import SOON_S, START_S
from tests.support.processes import Process, free_port, listening, start_sidecar, start_stock, stock_command
from tests.support.scenes import RULES, link_of, new_id, path_of
from tests.support.standins import AdStack, response

ADS, APPSFLYER = "ads.network.example", "app.appsflyer.com"
AT_ONCE = 16
"""Requests."""
TESTS = Path(__file__).parents[1]
SOME = 6
"""Every so many of the User-Agents that are known is tried."""
MORE_RULES = """\
  - {{name: some, match: {{app: com.example.some}}, percent: 40}}
  - {{name: stores, match: {{app: "com.example.*"}}, deep_links: store, client_hints: accept}}
  - {{name: ios, match: {{app: "id*"}}}}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A request: where its redirect leads, or what it asks AppsFlyer for, and its headers."""

    link: str
    headers: dict[str, str]
    method: str = "GET"


def _read(file: Path):
    return YAML(typ="safe").load(file)


def cases() -> list[Case]:
    """Clicks from the wild, the golden ones, User-Agents from everywhere, and a rule with a share of its clicks."""
    found = [Case(case["link"], case["headers"]) for case in _read(TESTS / "decide/wild.yaml")]
    for file in sorted((TESTS / "clicks").glob("*.yaml")):
        asked = _read(file)["request"]
        found.append(Case(asked["link"], asked["headers"], asked.get("method", "GET")))
    agents = [entry for group in _read(TESTS / "decide/user_agents.yaml").values() for entry in group]
    for entry in agents[::SOME]:
        app = "com.example.game" if len(found) % 3 else "id123456789"
        found.append(Case(link_of(new_id(), app=app), {"User-Agent": entry["ua"], **(entry.get("headers") or {})}))
    found += [Case(link_of(new_id(), app="com.example.some"), {"User-Agent": HEADERS["User-Agent"]}) for _ in range(40)]
    return [case for case in found if _can_be_sent(case)]


def _can_be_sent(case: Case) -> bool:
    """Whether HTTP/1.1 carries it as it is."""
    texts = [case.link, *case.headers.values()]
    return all(text.isprintable() and text.isascii() and text == text.strip() for text in texts)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was recorded: the file, what the users got by what they asked for, and the log."""

    exchanges: list[Exchange]
    answers: dict[str, Answer]
    log: str


def as_bytes(target: str, case: Case, host: str) -> bytes:
    headers = {"Host": host, "X-Forwarded-For": HEADERS["X-Forwarded-For"], "Cookie": "a=1", **case.headers}
    lines = [f"{case.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "Connection: close"]).encode("latin-1") + b"\r\n\r\n"


def read(file: Path) -> list[Exchange]:
    with file.open("rb") as stream:
        found = list(flows.read(stream))
    assert all(isinstance(one, Exchange) for one in found), found
    return found


async def ask_all(port: int, ads: AdStack, prefix: str = "", *, own: bool = True) -> dict[str, Answer]:
    """Asks for every case: at rewrite, and where it is possible at answer. Returns the answers by path."""
    asked = {}
    for case in cases():
        path = ads.redirect(case.link)
        asked[path] = as_bytes(f"{prefix}{path}", case, f"127.0.0.1:{ads.port}")
        server, _, rest = case.link.partition("://")[2].partition("#")[0].partition("/")
        if own and server == APPSFLYER:
            asked[f"own /{rest}"] = as_bytes(f"http://{server}/{rest}" if prefix else f"/{rest}", case, server)
    answers = {}
    for batch in batched(asked.items(), AT_ONCE):
        got = await asyncio.gather(*(talk(port, raw) for _, raw in batch))
        answers |= dict(zip((path for path, _ in batch), got, strict=True))
    return answers


async def warm(port: int, ads: AdStack, prefix: str = "") -> None:
    """A tool listens a moment before its addons run: what comes until then is no click to it."""
    async with asyncio.timeout(SOON_S):
        while True:
            link = link_of(new_id())
            target = prefix + ads.redirect(link)
            answer = await talk(port, request(target, host=f"127.0.0.1:{ads.port}", connection="close"))
            if answer.location != link:
                return


@pytest.fixture(scope="module")
def rules_text():
    return RULES + MORE_RULES


NOWHERE = """
def server_connect(data):
    if data.server.address[0] != "127.0.0.1":
        data.server.address = ("127.0.0.1", {port})
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["reverse", "regular"])
async def run(request, tmp_path_factory, module_rules, ads, dead_port):
    """Mitmdump with the addon, which records what it does itself."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "nowhere.py").write_text(NOWHERE.format(port=dead_port))
    mode = f"reverse:http://127.0.0.1:{ads.port}" if request.param == "reverse" else "regular"
    prefix = "" if request.param == "reverse" else f"http://127.0.0.1:{ads.port}"
    file = folder / "run.flows"
    recorded = ("-s", folder / "nowhere.py", "--set", f"save_stream_file={file}")
    host = await start_stock("mitmdump", mode, module_rules, folder, *recorded)
    try:
        await warm(host.port, ads, prefix)
        answers = await ask_all(host.port, ads, prefix)
    finally:
        await host.process.stop()
    yield Run(read(file), answers, host.log.text)


def in_words(decision) -> str:
    """As flows' metadata have it."""
    if isinstance(decision, Direct):
        return "direct"
    return "" if decision.reason is Reason.NOT_A_CLICK else f"pass {decision.reason}"


def audited(exchange: Exchange, rules) -> str:
    click = click_of(exchange, rules, new_id())
    return in_words(decide(click, rules)) if click else ""


def test_a_recorded_run_is_decided_as_it_was_live(run, module_rules):
    """Every click of hundreds, at answer and at rewrite, with each reason."""
    rules = load(module_rules)
    first = next(number for number, exchange in enumerate(run.exchanges) if exchange.done == "direct")
    exchanges = run.exchanges[first:]
    live = [exchange.done for exchange in exchanges]

    assert [(one.url, one.done) for one in exchanges] == [(one.url, audited(one, rules)) for one in exchanges]
    assert len(live) > 400
    assert len(set(live)) > 15, Counter(live)


def test_the_recorded_run_says_where_its_links_led(run):
    """Also those of redirects that lead to the store now."""
    links = {exchange.location for exchange in run.exchanges}

    assert {case.link for case in cases() if "clickid=T" not in case.link} <= links


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def behind(tmp_path_factory, module_rules, ads):
    """`storehop run`, and a plain mitmdump that records what comes to the ad stack and its answers."""
    folder = tmp_path_factory.mktemp("behind")
    port, file = free_port(), folder / "run.flows"
    command = stock_command("mitmdump", f"reverse:http://127.0.0.1:{ads.port}", module_rules, port, folder)
    at = command.index("-s")
    plain = [*command[:at], *command[at + 2 : at + 6], "--set", f"confdir={folder}", "--set", "keep_host_header=true"]
    recorder = await Process.start(*plain, "--set", f"save_stream_file={file}")
    try:
        await listening(port, recorder)
        host = await start_sidecar(f"http://127.0.0.1:{port}", module_rules, folder)
        try:
            answers = await ask_all(host.port, ads, own=False)
        finally:
            await host.process.stop()
    finally:
        await recorder.stop()
    return Run(read(file), answers, host.log.text)


def decisions(log: str) -> Counter[str]:
    """What the log says, as flows' metadata would."""
    found = re.findall(r" (direct|duplicate|pass) click=\S+(?: first=\S+)?(?: reason=(\S+))?", log)
    return Counter("direct" if event != "pass" else f"pass {reason}" for event, reason in found)


def test_what_a_recorder_behind_it_saw_is_decided_as_it_was_live(behind, module_rules):
    """The recording knows nothing of storehop: the log of that run says the same, reason by reason."""
    rules = load(module_rules)
    found = Counter(audited(exchange, rules) for exchange in behind.exchanges)
    del found[""]

    assert decisions(behind.log) == found
    assert len(found) > 15


def test_what_a_recorder_behind_it_saw_leads_where_users_went(behind, module_rules):
    """Click by click: the same Location, a new click id apart."""
    rules = load(module_rules)
    for exchange in behind.exchanges:
        decision = decide(click_of(exchange, rules, "NEW"), rules)
        path = "/" + exchange.url.partition("://")[2].partition("/")[2]
        went = behind.answers[path].location
        if isinstance(decision, Direct):
            expected = re.escape(decision.location).replace("NEW", "[0-9a-f-]{36}")
            assert re.fullmatch(expected, went), (exchange.location, went)
        else:
            assert exchange.location == went


TO_STANDINS = """
PORTS = {ports}

def server_connect(data):
    data.server.address = ("127.0.0.1", PORTS[data.server.address[0]])
"""


async def test_a_forward_proxy_records_both_hops(tmp_path, start, authority):
    """Plain mitmdump with its own CA before a phone: the ad stack's redirect, and AppsFlyer's own."""
    servers = {}
    for name in (ADS, APPSFLYER):
        servers[name] = AdStack()
        await servers[name].start(server_context(authority.sign(name)))
    click_id = new_id()
    link, store = link_of(click_id), "https://play.google.com/store/apps/details?id=com.example.game"
    path = servers[ADS].redirect(link)
    servers[APPSFLYER].routes[path_of(click_id)] = response("302 Found", f"Location: {store}")
    script, file, port = tmp_path / "standins.py", tmp_path / "hops.flows", free_port()
    script.write_text(TO_STANDINS.format(ports={name: server.port for name, server in servers.items()}))
    command = stock_command("mitmdump", "regular", tmp_path, port, tmp_path, entry=script)[:7]
    options = {
        "confdir": tmp_path,
        "save_stream_file": file,
        "connection_strategy": "lazy",
        "ssl_verify_upstream_trusted_ca": authority.ca,
    }
    recorder = await start(
        Process.start, *command, *(part for name, value in options.items() for part in ("--set", f"{name}={value}"))
    )
    await listening(port, recorder)
    ca = tmp_path / "mitmproxy-ca-cert.pem"
    assert await until(ca.exists, START_S)
    await get_by_connect(port, ca, ADS, path)
    await get_by_connect(port, ca, APPSFLYER, path_of(click_id))
    await recorder.stop()
    for server in servers.values():
        await server.stop()
    first, second = read(file)

    assert (f"https://{ADS}{path}", link, link, store) == (first.url, first.location, second.url, second.location)
    assert [True, True] == [one.is_forward and one.seconds > 0 for one in (first, second)]
