"""Links of other networks, by their names (design §11): storehop does AppsFlyer's only."""

from __future__ import annotations

from storehop.decide import link

SUFFIXES: dict[str, str] = {}


def network_of(url: str) -> str | None:
    """Whose attribution link this is; None where nobody knows the host."""
    parts = link.split(url)
    if parts is None:
        return None
    host = parts.host
    while host:
        if host in SUFFIXES:
            return SUFFIXES[host]
        host = host.partition(".")[2]
    return None
