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

from storehop.decide import link

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
_NETWORKS = {host: network for network, hosts in HOSTS.items() for host in hosts}


def network_of(url: str) -> str | None:
    """Whose attribution link this is; None where nobody knows the host."""
    parts = link.split(url)
    host = parts.host if parts else ""
    while host:
        if host in _NETWORKS:
            return _NETWORKS[host]
        host = host.partition(".")[2]
    return None
