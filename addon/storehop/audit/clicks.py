"""Exchanges to clicks, as the live host meets them (design §2): at *answer*, or at *rewrite*."""

from __future__ import annotations

from typing import NamedTuple

from storehop.audit.exchange import Exchange
from storehop.decide import points
from storehop.decide.link import DEFAULT_PORTS
from storehop.decide.rules import RuleSet
from storehop.model import Click

NO_CLICKS = frozenset({"retry", "s2s"})
"""What a storehop that stood there did with requests that are no clicks of their own."""


class Target(NamedTuple):
    """What a URL is addressed to, as written."""

    scheme: str
    host: str
    port: str
    path: str
    """With the query; without a fragment."""


def target_of(url: str) -> Target | None:
    """The parts of an absolute URL; None where it has no host."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return None
    authority, slash, path = rest.partition("/")
    host, _, port = authority.partition(":")
    scheme = scheme.lower()
    return Target(scheme, host, port or DEFAULT_PORTS.get(scheme, ""), slash + path)


def click_of(exchange: Exchange, rules: RuleSet, new_id: str) -> Click | None:
    """The click that the live host would decide on; None where it would decide on none.

    A redirect that leads elsewhere is a click here too: `decide` says `not_a_click` of it, as it does live.
    """
    if exchange.done in NO_CLICKS:
        return None
    if exchange.url is not None and not exchange.has_body and (link := _own_link(exchange, rules)):
        is_believed = exchange.is_forward
        return Click(new_id, exchange.method, link, exchange.headers, exchange.client_ip, True, is_believed)
    link = exchange.location if exchange.status in points.REDIRECTS else None
    if link is None:
        link = exchange.link
    return None if link is None else Click(new_id, exchange.method, link, exchange.headers, exchange.client_ip)


def _own_link(exchange: Exchange, rules: RuleSet) -> str | None:
    """The link that the request itself is, where it is addressed to an attribution host."""
    target = target_of(exchange.url or "")
    if target is None:
        return None
    host = points.target_of_host(target.host)
    if not rules.is_attribution_host(host):
        return None
    if exchange.is_forward:
        return points.link_of_target(target.scheme, target.host, target.port, target.path)
    return points.link_of_host(host, target.path)
