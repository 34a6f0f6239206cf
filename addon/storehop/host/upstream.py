"""Whether the ad stack can be reached: log lines that say when it can't and when it is back, and a line for /readyz."""

from __future__ import annotations

import logging

from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

logger = logging.getLogger(__name__)

_TIME_OVER = "closed by command"
"""Mitmproxy's words where our layers end an attempt: see `storehop.host.layers.waits`."""
_CLIENT_LEFT = "client disconnected"


class Upstream:
    """Says each change once. Of reverse proxies only: elsewhere the next server is anybody's."""

    def __init__(self) -> None:
        self._fault: str | None = None

    @property
    def degraded(self) -> tuple[str, ...]:
        """What the last connection failed of, for /readyz: pages get 502, clicks on attribution hosts are answered."""
        return (f"upstream: {self._fault}",) if self._fault else ()

    def connected(self, data: ServerConnectionHookData) -> None:
        """A connection to the upstream is there."""
        mode = data.client.proxy_mode
        if self._fault and isinstance(mode, mode_specs.ReverseMode):
            self._fault = None
            logger.warning("upstream %s is back", mode.data)

    def failed(self, data: ServerConnectionHookData) -> None:
        """A connection to the upstream could not be made."""
        mode = data.client.proxy_mode
        if data.server.error == _CLIENT_LEFT:
            return
        if not self._fault and isinstance(mode, mode_specs.ReverseMode):
            is_late = data.server.error == _TIME_OVER
            why = "does not answer in time" if is_late else f"is unreachable ({data.server.error})"
            self._fault = f"{mode.data} {why}"
            logger.warning("upstream %s: clients get %d", self._fault, 504 if is_late else 502)
