"""`storehop demo`: three clicks on this machine, before and after.

The ad stack and AppsFlyer are stand-ins; the sidecar between them is the real `storehop run`.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import unquote, urlsplit

from rich import box
from rich.markup import escape
from rich.table import Table

from storehop.cli import standins
from storehop.cli.console import Console
from storehop.cli.explain import source
from storehop.cli.fail import fail
from storehop.decide.decision import decide
from storehop.model import Click, Direct, Pass
from storehop.rulefile import load
from storehop.state import VARIABLES

START_S = 60.0
"""Time that the sidecar has to start."""
WAIT_S = 30.0
"""Time that we wait for an answer or an S2S click."""
PORTS = range(20_000, 32_000)
"""Ports below those of Linux's outgoing connections: such a connection could take one, or connect to itself."""
AD_STACK = "ads.network.example"
APPSFLYER = "app.appsflyer.com"
CLIENT_IP = "81.2.69.142"
"""The demo user's address, as a trusted proxy on this machine would forward it."""

_ANDROID = (
    "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/95.0.4638.16 Mobile Safari/537.36"
)
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A click that the demo shows."""

    title: str
    path: str
    link: str
    user_agent: str

    @property
    def headers(self) -> dict[str, str]:
        return {
            "User-Agent": self.user_agent,
            "Accept-Language": "en-US,en;q=0.9",
            "X-Forwarded-For": CLIENT_IP,
        }


_CAMPAIGN = "pid=networka_int&c=spring"
SCENES = (
    Scene(
        "An Android click",
        "/click/1",
        f"https://{APPSFLYER}/com.example.game?{_CAMPAIGN}&clickid=K1&af_siteid=77",
        _ANDROID,
    ),
    Scene(
        "An iOS click",
        "/click/2",
        f"https://{APPSFLYER}/id123456789?{_CAMPAIGN}&clickid=K2&af_siteid=77",
        _IPHONE,
    ),
    Scene(
        "A retargeting click, which must open the installed app: it passes, untouched",
        "/click/3",
        f"https://{APPSFLYER}/com.example.game?{_CAMPAIGN}&clickid=K3&is_retargeting=true",
        _ANDROID,
    ),
)

_RULES = """
version: 1
partner: NetworkA
client_ip: {{trusted_proxies: [127.0.0.0/8]}}
delivery: {{endpoint: "http://127.0.0.1:{port}"}}
rules:
  - {{name: games, match: {{app: "com.example.*", pid: networka_int}}}}
  - {{name: games-ios, match: {{app: id123456789}}}}
"""


@dataclass(frozen=True, slots=True)
class Hop:
    status: int
    host: str
    location: str
    milliseconds: float


def demo() -> None:
    """Shows all scenes. Exits with one sentence where the sidecar does not start."""
    console = Console(highlight=False)
    received_clicks: SimpleQueue[standins.ReceivedClick] = SimpleQueue()
    links = {scene.path: scene.link for scene in SCENES}
    with (
        tempfile.TemporaryDirectory(prefix="storehop-demo-") as folder,
        standins.ad_stack(links) as ads,
        standins.appsflyer(received_clicks) as appsflyer,
    ):
        rules = Path(folder) / "rules.yaml"
        rules.write_text(_RULES.format(port=appsflyer), encoding="utf-8")
        with _sidecar(ads, rules) as sidecar:
            for scene in SCENES:
                before = list(_follow(scene, {AD_STACK: ads, APPSFLYER: appsflyer}))
                after = list(_follow(scene, {AD_STACK: sidecar, APPSFLYER: appsflyer}))
                _show(console, scene, before, after)
                _show_s2s(console, scene, rules, received_clicks)
    console.print(
        "[dim]Everything above ran on this machine, so a hop costs next to nothing. On a phone each one costs "
        "a DNS lookup, a TLS handshake and a round trip, and the one to AppsFlyer is gone from the user's way.[/]",
    )


@contextmanager
def _sidecar(ads: int, rules: Path) -> Iterator[int]:
    """Runs the real `storehop run` in a process of its own, with its log in a file. Yields its port."""
    port = _free_port()
    command = [sys.executable, "-m", "storehop", "run", "--upstream", f"http://127.0.0.1:{ads}", "--rules", str(rules)]
    options = [
        "--listen",
        f"127.0.0.1:{port}",
        "--admin",
        "off",
        "--drain",
        "0",
        "--state",
        str(rules.parent / "state"),
    ]
    source_root = str(Path(__file__).resolve().parents[2])
    env = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (source_root, os.environ.get("PYTHONPATH"))))
    log = rules.parent / "sidecar.log"
    with log.open("w") as output, subprocess.Popen([*command, *options], stderr=output, env=env) as process:  # noqa: S603
        try:
            _wait_for(port, process, log)
            yield port
        finally:
            process.terminate()


def _free_port() -> int:
    return next(port for port in random.sample(PORTS, 100) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    fail(f"the sidecar did not start:\n{log.read_text()}")


def _follow(scene: Scene, network: dict[str, int]) -> Iterator[Hop]:
    """Follows the redirects as the user's browser does, up to the one that leads to a store."""
    host, target = AD_STACK, scene.path
    while host in network:
        start = time.perf_counter()
        connection = HTTPConnection("127.0.0.1", network[host], timeout=WAIT_S)
        connection.request("GET", target, headers=scene.headers | {"Host": host})
        response = connection.getresponse()
        response.read()
        connection.close()
        location = response.headers["Location"]
        yield Hop(response.status, host, location, (time.perf_counter() - start) * 1000)
        url = urlsplit(location)
        host, target = url.netloc, f"{url.path}?{url.query}"


def _show(console: Console, scene: Scene, before: list[Hop], after: list[Hop]) -> None:
    console.rule(f"[bold]{escape(scene.title)}")
    table = Table("", "asks", "gets", "ms", "sends the user to", box=box.SIMPLE_HEAD)
    table.columns[3].justify = "right"
    table.columns[4].overflow = "fold"
    for name, hops in (("before", before), ("after", after)):
        for place, hop in enumerate(hops):
            label = f"[bold]{name}[/]" if place == 0 else ""
            table.add_row(label, hop.host, str(hop.status), f"{hop.milliseconds:.1f}", escape(hop.location))
    console.print(table)


def _show_s2s(
    console: Console, scene: Scene, rules: Path, received_clicks: SimpleQueue[standins.ReceivedClick]
) -> None:
    """Shows the S2S click as AppsFlyer received it; the sources come from our own decision about the same click."""
    headers = {name.lower(): value for name, value in scene.headers.items()}
    decision = decide(Click("demo", "GET", scene.link, headers, "127.0.0.1"), load(rules))
    if isinstance(decision, Pass):
        console.print(f"No S2S click: the click passes ({decision.reason}), and AppsFlyer logs it itself.\n")
        return
    try:
        click = received_clicks.get(timeout=WAIT_S)
    except Empty:
        fail("no S2S click arrived")
    _show_received(console, decision, click)


def _show_received(console: Console, decision: Direct, click: standins.ReceivedClick) -> None:
    query = urlsplit(click.path).query
    values = dict(segment.split("=", 1) for segment in query.split("&"))
    sources = {param.name: source(param) for param in decision.params}
    console.print(f"[bold]AppsFlyer received[/]  GET {escape(urlsplit(click.path).path)}")
    table = Table("parameter", "value", "from", box=box.SIMPLE_HEAD)
    table.columns[1].overflow = "fold"
    for name, value in values.items():
        table.add_row(escape(name), escape(unquote(value)), escape(sources.get(name, "")))
    console.print(table)
    for name, value in click.headers:
        console.print(f"  [dim]{escape(name)}: {escape(value)}[/]", soft_wrap=True)
    console.print()
