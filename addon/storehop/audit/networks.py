"""Links of other networks, by their names (design §11): storehop does AppsFlyer's only.

Told by hosts that the vendors give to all their customers, as their pages have them: Adjust (help.adjust.com,
"Set up short branded links": `go.link`, `adj.st`; dev.adjust.com, "create link": `app.adjust.com`), Branch
(help.branch.io, "Activation guide": `app.link`), Singular (support.singular.net, "Brand Singular links with your
domain": `sng.link`), Airbridge (help.airbridge.io, "Understanding tracking links": `abr.ge`), AppMetrica (the sample
link of yandex.com/support/direct, "Tracking links based on Universal Links"), and links in public code for Kochava,
Tenjin, TUNE, Voluum, MyTracker and Firebase. A domain of a customer's own, which is all that Everflow has, nobody can
know.
"""

from __future__ import annotations

from storehop.audit.exchange import Exchange
from storehop.audit.hops import key_of
from storehop.audit.names import Numbers
from storehop.decide import link
from storehop.decide.target import absolute

MAX_EXPECTED = 1_000
"""Links that a browser was sent to, and whose request is not met yet: of more, the oldest is forgotten."""
HOSTS = {
    "Adjust": (
        *("app.adjust.com", "app.eu.adjust.com", "app.us.adjust.com", "app.tr.adjust.com"),
        *("app.adjust.net.in", "app.adjust.world", "app.adjust.cn", "app.adjust.io", "adj.st", "go.link"),
    ),
    "Airbridge": ("abr.ge",),
    "AppMetrica": ("redirect.appmetrica.yandex.com", "redirect.appmetrica.yandex.ru", "appmetrica.yandex.com"),
    "Branch": ("app.link", "bnc.lt"),
    "Firebase": ("page.link", "app.goo.gl"),
    "Kochava": ("control.kochava.com", "smart.link"),
    "MyTracker": ("trk.mail.ru", "tracker.my.com"),
    "Singular": ("sng.link", "ad.apsalar.com"),
    "Tenjin": ("track.tenjin.com", "track.tenjin.io"),
    "TUNE": ("go2cloud.org", "measurementapi.com"),
    "Voluum": ("voluumtrk.com", "voluumtrk2.com", "trackvoluum.com"),
}
"""Each host stands for all below it, too."""
_MOST_HOST_CHARACTERS = 253
"""Of a name in DNS (RFC 1035 §2.3.4)."""
_NETWORKS = {host: network for network, hosts in HOSTS.items() for host in hosts}


def network_of(url: str) -> str | None:
    """Whose attribution link this is; None where nobody knows the host."""
    parts = link.split(url)
    host = parts.host[-_MOST_HOST_CHARACTERS:] if parts else ""
    while host:
        if host in _NETWORKS:
            return _NETWORKS[host]
        host = host.partition(".")[2]
    return None


class Networks:
    """Counts links of other networks. What a redirect was counted for counts no more where it is asked for."""

    def __init__(self) -> None:
        self._numbers = Numbers(str)
        self._expected: dict[bytes, int] = {}
        """By request, how many browsers of this recording were sent there."""

    def add(self, exchange: Exchange) -> tuple[str, str] | None:
        """(network, link) of what was counted; None where there is none, or another hop of it was counted before."""
        asked = exchange.url if exchange.is_on_the_way else None
        is_further = asked is not None and self._is_expected(asked)
        to = absolute(asked or "", exchange.location) if exchange.location else None
        for url in (to, exchange.link, asked):
            if url and (network := network_of(url)):
                if url is to and exchange.is_on_the_way:
                    self._expect(url)
                if is_further:
                    return None
                self._numbers.add(network)
                return network, url
        return None

    def _expect(self, url: str) -> None:
        key = key_of(url)
        self._expected[key] = self._expected.pop(key, 0) + 1
        if len(self._expected) > MAX_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def _is_expected(self, url: str) -> bool:
        """Whether a browser was sent there, and has not come yet. Now it has."""
        if not self._expected:
            return False
        key = key_of(url)
        number = self._expected.pop(key, 0)
        if number > 1:
            self._expected[key] = number - 1
        return number > 0

    def end_recording(self) -> None:
        """Nobody of this recording is expected any more."""
        self._expected.clear()

    def by_size(self) -> dict[str, int]:
        """Links by network."""
        return self._numbers.by_size()
