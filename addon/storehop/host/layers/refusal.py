"""The answer to a client that speaks another language than the port does."""

from __future__ import annotations

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer

from storehop.host.layers.http1 import LINGER_S, MAX_LINGER_BYTES

TLS_ALERT = bytes.fromhex("15 0303 0002 02 28")
"""A fatal alert, handshake_failure (RFC 8446 §5.1, §6.2)."""


class Refusal(Layer):
    """Sends `answer`, then reads on for a moment as `Http1Server` does: a reset could destroy the answer."""

    def __init__(self, context: Context, answer: bytes) -> None:
        super().__init__(context)
        self._answer = answer
        self._linger_bytes: int | None = None

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, events.DataReceived) and self._linger_bytes is None:
            self._linger_bytes = 0
            yield commands.SendData(client, self._answer)
            yield commands.CloseTcpConnection(client, half_close=True)
            yield commands.RequestWakeup(LINGER_S)
        elif isinstance(event, events.DataReceived) and self._linger_bytes is not None:
            self._linger_bytes += len(event.data)
            if self._linger_bytes > MAX_LINGER_BYTES:
                yield commands.CloseConnection(client)
        elif not isinstance(event, events.Start):
            yield commands.CloseConnection(client)
