"""Says what somebody speaks that a port does not: a load balancer that is set up wrongly turns every user away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from storehop.decide.address import for_logs
from storehop.host.layers.proxy_header import SIGNATURE
from storehop.host.layers.stack import PREFACE, Port
from storehop.observe.seldom import Seldom, since_last

logger = logging.getLogger(__name__)

_HANDSHAKE = b"\x16\x03"
_PREFACE = PREFACE[:14]
_HEADERS = (b"PROXY ", SIGNATURE)


class Misfits:
    """A warning a minute of each kind, with a count and the last peer."""

    def __init__(self, port: Port, clock: Callable[[], float] = time.monotonic) -> None:
        self._seldom: dict[str, Seldom] = {}
        self._clock = clock
        self._kinds: list[tuple[bytes, str]] = []
        if port.tls is None:
            return  # mitmproxy's own tools speak what comes
        if not port.proxy_protocol:
            self._kinds += [(start, "with a PROXY header: --proxy-protocol is not set") for start in _HEADERS]
        if not port.tls:
            self._kinds.append((_HANDSHAKE, "with TLS: --tls-cert is not set"))
            if not port.h2c:
                self._kinds.append((_PREFACE, "with HTTP/2 without TLS: --h2c is not set"))
        self._starts = tuple(start for start, _ in self._kinds)

    def look(self, first_bytes: bytes, peer: str) -> None:
        """At the first bytes of a connection."""
        if self._kinds and first_bytes.startswith(self._starts):
            what = next(what for start, what in self._kinds if first_bytes.startswith(start))
            if count := self._seldom.setdefault(what, Seldom(self._clock)).count():
                logger.warning("a connection from %s begins %s%s", for_logs(peer), what, since_last(count))
