"""Says when a proxy speaks for its clients and is not believed: nothing else would show a forgotten trusted_proxies."""

from __future__ import annotations

import logging
import time

from storehop.decide import address
from storehop.observe.counts import CountedElsewhere
from storehop.observe.seldom import Seldom, since_last

logger = logging.getLogger(__name__)

MAX_PEERS = 1024
"""Of which we remember whether we trust them."""
_WORDS = {"x-forwarded-for": "X-Forwarded-For", "forwarded": "Forwarded", "x-real-ip": "X-Real-IP"}


class Strangers:
    """Counts requests with a forwarding header from peers that are not in client_ip.trusted_proxies.

    A log line a minute names the last peer. A public one may be a person who made the header up: of it the network.
    """

    def __init__(self) -> None:
        self.count = 0
        self.metric = CountedElsewhere(
            "storehop_untrusted_forwarding",
            "Requests with a forwarding header from a peer that is not in client_ip.trusted_proxies.",
            lambda: self.count,
        )
        self._seldom = Seldom(time.monotonic)
        self._proxies = address.Proxies()
        self._trusted: dict[str, bool] = {}
        """What is known of peers by these rules."""

    def trust(self, peer: str, proxies: address.Proxies) -> bool:
        """Whether this peer is no stranger: a proxy of ours. Looked up once, while the rules stay."""
        if proxies is not self._proxies:
            self._proxies, self._trusted = proxies, {}
        is_trusted = self._trusted.get(peer)
        if is_trusted is None:
            if len(self._trusted) >= MAX_PEERS:
                self._trusted.clear()
            is_trusted = self._trusted[peer] = proxies.trust_peer(peer)
        return is_trusted

    def look(self, peer: str, headers: dict[str, str], configured: str) -> None:
        """At a request's headers, by lower-case name, from a peer that is not trusted; `configured` is one more."""
        if "x-forwarded-for" in headers or "forwarded" in headers or "x-real-ip" in headers or configured in headers:
            self.count += 1
            if count := self._seldom.count():
                name = next(name for name in (configured, *_WORDS) if name in headers)
                logger.warning(
                    "%s from %s%s, which is not in client_ip.trusted_proxies: if it is a proxy of yours, the addresses "
                    "of its clients are not known, and X-Forwarded-Proto is replaced",
                    _WORDS.get(name, name.title()),
                    address.for_logs(peer),
                    since_last(count),
                )
