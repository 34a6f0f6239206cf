"""`storehop demo`: three clicks on this machine, before and after.

The ad stack and AppsFlyer are stand-ins; the sidecar between them is the real `storehop run`. What is shown are its
times at work, not those of its first clicks: it is ready and has answered some before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from queue import Empty, SimpleQueue

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storehop.cli import sidecar, standins
from storehop.cli.explain import source
from storehop.cli.fail import fail
from storehop.cli.hops import Hop, Way, compared
from storehop.cli.received import ReceivedCall
from storehop.cli.screen import Screen
from storehop.decide.decision import decide
from storehop.model import Click, Direct, Pass
from storehop.rulefile import load

WAIT_S = 30.0
"""Time that we wait for an S2S click."""
WARM_UPS = 25
"""Clicks of each scene before those that are shown, on either way."""
CLICKS = 9
"""Clicks of each scene that are measured: a time that is shown is their median."""
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
    number: int
    app: str
    more: str
    """Parameters of its link, beside those that all have."""
    user_agent: str

    def path(self, turn: int) -> str:
        """At the ad stack. Each click has its own, since the same click again is a duplicate."""
        return f"/click/{self.number}/{turn}"

    def click_id(self, turn: int) -> str:
        return f"K{self.number}" if turn == 0 else f"K{self.number}-{turn + 1}"

    def link(self, turn: int) -> str:
        return f"https://{APPSFLYER}/{self.app}?{_CAMPAIGN}&clickid={self.click_id(turn)}{self.more}"

    @property
    def headers(self) -> dict[str, str]:
        return {
            "User-Agent": self.user_agent,
            "Accept-Language": "en-US,en;q=0.9",
            "X-Forwarded-For": CLIENT_IP,
        }


_CAMPAIGN = "pid=networka_int&c=spring"
SCENES = (
    Scene("An Android click", 1, "com.example.game", "&af_siteid=77", _ANDROID),
    Scene("An iOS click", 2, "id123456789", "&af_siteid=77", _IPHONE),
    Scene(
        "A retargeting click, which must open the installed app: it passes, untouched",
        3,
        "com.example.game",
        "&is_retargeting=true",
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


def demo() -> None:
    """Shows all scenes. Exits with one sentence where the sidecar does not start."""
    console = Screen(highlight=False)
    received: SimpleQueue[ReceivedCall] = SimpleQueue()
    turns = range(-WARM_UPS, CLICKS)
    links = {scene.path(turn): scene.link(turn) for scene in SCENES for turn in turns}
    with (
        tempfile.TemporaryDirectory(prefix="storehop-demo-") as folder,
        standins.ad_stack(links) as ads,
        standins.appsflyer(received.put) as appsflyer,
    ):
        rules = Path(folder) / "rules.yaml"
        rules.write_text(_RULES.format(port=appsflyer.port), encoding="utf-8")
        with sidecar.running(ads, rules) as ours:
            before = Way({AD_STACK: ads, APPSFLYER: appsflyer.port})
            after = Way({AD_STACK: ours, APPSFLYER: appsflyer.port})
            _warm_up(before, after)
            for scene in SCENES:
                _show(console, scene, *_measured(scene, before, after))
                _show_s2s(console, scene, rules, received)
    console.print(
        f"[dim]ms: the median of {CLICKS} clicks, each hop on a new connection. All of it ran on this machine, where "
        "stand-ins answer at once. Over a real network the user is spared the whole hop to AppsFlyer: a DNS lookup, "
        "a TLS handshake and a round trip.[/]",
    )


def _follow(scene: Scene, way: Way, turn: int) -> Iterator[Hop]:
    return way.follow(AD_STACK, scene.path(turn), scene.headers)


def _warm_up(*ways: Way) -> None:
    for scene, way in product(SCENES, ways):
        for turn in range(-WARM_UPS, 0):
            list(_follow(scene, way, turn))


def _measured(scene: Scene, before: Way, after: Way) -> tuple[list[Hop], list[Hop]]:
    return compared(CLICKS, partial(_follow, scene), before, after)


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


def _show_s2s(console: Console, scene: Scene, rules: Path, received: SimpleQueue[ReceivedCall]) -> None:
    """Shows the S2S click as AppsFlyer received it; the sources come from our own decision about the same click."""
    headers = {name.lower(): value for name, value in scene.headers.items()}
    decision = decide(Click("demo", "GET", scene.link(0), headers, "127.0.0.1"), load(rules))
    if isinstance(decision, Pass):
        console.print(f"No S2S click: the click passes ({decision.reason}), and AppsFlyer logs it itself.\n")
    else:
        _show_received(console, decision, _call_of(scene.click_id(0), received))


def _call_of(click_id: str, received: SimpleQueue[ReceivedCall]) -> ReceivedCall:
    """The S2S click with this id; those of the clicks beside it are dropped."""
    while True:
        try:
            call = received.get(timeout=WAIT_S)
        except Empty:
            fail("no S2S click arrived")
        if call.is_s2s and call.click_id == click_id:
            return call


def _show_received(console: Console, decision: Direct, call: ReceivedCall) -> None:
    sources = {param.name: source(param) for param in decision.params}
    console.print(f"[bold]AppsFlyer received[/]  GET {escape(call.path)}")
    table = Table("parameter", "value", "from", box=box.SIMPLE_HEAD)
    table.columns[1].overflow = "fold"
    for name, value in call.params:
        table.add_row(escape(name), escape(value), escape(sources.get(name, "")))
    console.print(table)
    for name, value in call.headers:
        console.print(f"  [dim]{escape(name)}: {escape(value)}[/]", soft_wrap=True)
    console.print()
