"""The lean host's Master: a reverse proxy without storehop, which its caller adds to `addons`."""

from __future__ import annotations

from mitmproxy.addons import core, errorcheck, next_layer, proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import mode_servers

from storehop.host.lean.handler import LeanHandler
from storehop.host.lean.hooks import HookTable
from storehop.host.tls.addon import Tls


class LeanMaster(Master):
    """A Master with the addons that a reverse proxy needs. There is one in a process."""

    def __init__(self, options: Options, tls: Tls) -> None:
        super().__init__(options)
        # For addons of mitmproxy's before version 9: an event for every line that is logged.
        self._legacy_log_events.uninstall()
        self.addons = HookTable(self)
        # mitmproxy has no option for it: its servers make the handler of each connection by this name.
        mode_servers.ProxyConnectionHandler = LeanHandler  # type: ignore[misc]
        self.proxyserver = proxyserver.Proxyserver()
        self.addons.add(
            core.Core(),
            self.proxyserver,
            next_layer.NextLayer(),
            tls,
            errorcheck.ErrorCheck(),
        )
