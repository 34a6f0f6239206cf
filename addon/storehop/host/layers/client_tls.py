"""TLS with a client, without mitmproxy's line for each handshake that fails: anybody can cause those at any rate."""

from __future__ import annotations

from logging import DEBUG

from mitmproxy.proxy import commands
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers import ClientTLSLayer


class ClientTls(ClientTLSLayer):
    """The hook `tls_failed_client` hears of failures."""

    def on_handshake_error(self, err: str) -> CommandGenerator[None]:
        return _quiet(super().on_handshake_error(err))

    def receive_data(self, data: bytes) -> CommandGenerator[None]:
        return _quiet(super().receive_data(data))


def _quiet(said: CommandGenerator[None]) -> CommandGenerator[None]:
    for command in said:
        if isinstance(command, commands.Log):
            command.level = DEBUG
        yield command
