"""Log lines that say when the ad stack is unreachable, and when it is back."""

from __future__ import annotations

import logging

from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

logger = logging.getLogger(__name__)


class UpstreamLog:
    """Says each change once. Of reverse proxies only: elsewhere the next server is anybody's."""

    def __init__(self) -> None:
        self._is_down = False

    def connected(self, data: ServerConnectionHookData) -> None:
        """A connection to the upstream is there."""
        mode = data.client.proxy_mode
        if self._is_down and isinstance(mode, mode_specs.ReverseMode):
            self._is_down = False
            logger.warning("upstream %s is back", mode.data)

    def failed(self, data: ServerConnectionHookData) -> None:
        """A connection to the upstream could not be made."""
        mode = data.client.proxy_mode
        if not self._is_down and isinstance(mode, mode_specs.ReverseMode):
            self._is_down = True
            logger.warning("upstream %s is unreachable (%s): clients get 502", mode.data, data.server.error)
