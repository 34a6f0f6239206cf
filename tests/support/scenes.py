"""What most tests are about: links, rules, and what design.md says comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

from tests.support.clients import PUBLIC, get
from tests.support.processes import Host
from tests.support.standins import AdStack, AppsFlyer

RULES = """
version: 1
partner: NetworkA
client_ip: {{trusted_proxies: [127.0.0.0/8]}}
delivery: {{endpoint: "http://127.0.0.1:{appsflyer}"}}
onelinks:
  - {{host: brand.onelink.me, template: AbC1, android: com.example.game, ios: id123456789}}
rules:
  - {{name: switched-off, match: {{app: com.example.off}}, mode: "off"}}
  - {{name: watched, match: {{app: com.example.watched}}, mode: observe}}
  - {{name: nobody, match: {{app: com.example.nobody}}, percent: 0}}
  - {{name: games, match: {{app: "com.example.*", pid: networka_int}}}}
  - {{name: games-ios, match: {{app: id123456789}}, store: app_store, country: us}}
"""
_ids = count(1)


@dataclass(frozen=True, slots=True)
class World:
    """A host between its two neighbours."""

    host: Host
    ads: AdStack
    appsflyer: AppsFlyer

    @property
    def port(self) -> int:
        return self.host.port

    async def logged(self) -> int:
        """How long the log is when it has all that happened so far: lines are written a moment later, in order."""
        app = f"com.example.{new_id().lower()}"
        await get(self.port, self.ads.redirect(link_of(new_id(), "&is_retargeting=true", app)))
        await self.host.log.saw(f"app={app} ")
        return len(self.host.log.text)


def write_rules(folder: Path, text: str, appsflyer: AppsFlyer) -> Path:
    """A rule file for a stand-in AppsFlyer."""
    file = folder / "rules.yaml"
    file.write_text(text.format(appsflyer=appsflyer.port))
    return file


def new_id() -> str:
    """A click id that no other click has: equal clicks within ten seconds are one."""
    return f"T{next(_ids)}"


def path_of(click_id: str, more: str = "", app: str = "com.example.game") -> str:
    """An attribution link's path and query; `more` are further parameters, each with its `&` before it."""
    return f"/{app}?pid=networka_int&c=spring&clickid={click_id}&af_siteid=77{more}"


def link_of(click_id: str, more: str = "", app: str = "com.example.game") -> str:
    return f"https://app.appsflyer.com{path_of(click_id, more, app)}"


def play(click_id: str, app: str = "com.example.game") -> str:
    """Where an Android click goes."""
    return f"https://play.google.com/store/apps/details?id={app}&referrer=NetworkA_{click_id}"


APP_STORE = "https://apps.apple.com/us/app/id123456789"
"""Where an iOS click goes."""


def android_call(click_id: str, user_agent: str, address: str = PUBLIC) -> str:
    """Path and query of the S2S call of `link_of(click_id)`, clicked on a Pixel 5."""
    return (
        f"{path_of(click_id)}&af_ref=NetworkA_{click_id}&af_ip={address}&af_ua={quote(user_agent, safe='')}"
        "&af_lang=en-US&af_os_version=12&af_model=Pixel%205&redirect=false"
    )
