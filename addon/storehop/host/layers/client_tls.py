"""TLS with a client: its ClientHello within bounds, and in the sidecar no log line for each handshake that fails."""

from __future__ import annotations

from logging import DEBUG

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers import ClientTLSLayer

from storehop.host.layers.refusal import TLS_ALERT

MAX_HELLO_BYTES = 16_384
"""Of a ClientHello with the heads of its records. With post-quantum key shares and ECH it has 2 KB to 4 KB."""
_RECORD_HEAD_BYTES = 5
_MESSAGE_HEAD_BYTES = 4


class BoundedTls(ClientTLSLayer):
    """Parses a ClientHello once, when it is whole: mitmproxy would parse all that is there at each read."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._hello = _Hello()

    def receive_handshake_data(self, data: bytes) -> CommandGenerator[tuple[bool, str | None]]:
        if not self.client_hello_parsed:
            if not self._hello.ends_with(data):
                if self._hello.size <= MAX_HELLO_BYTES:
                    return False, None
                yield commands.SendData(self.conn, TLS_ALERT)
                return False, "Cannot parse ClientHello: it is too large"
            data = self._hello.received
        result: tuple[bool, str | None] = yield from super().receive_handshake_data(data)
        return result


class ClientTls(BoundedTls):
    """Logs no failure: anybody can cause those at any rate. The hook `tls_failed_client` hears of them."""

    def on_handshake_error(self, err: str) -> CommandGenerator[None]:
        return _quiet(super().on_handshake_error(err))

    def receive_data(self, data: bytes) -> CommandGenerator[None]:
        return _quiet(super().receive_data(data))


class _Hello:
    """What has come of a ClientHello: records, each with a head that gives its length; the message in their bodies."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._message = bytearray()
        self._next_record = 0

    @property
    def received(self) -> bytes:
        return bytes(self._received)

    @property
    def size(self) -> int:
        return len(self._received)

    def ends_with(self, data: bytes) -> bool:
        """Whether these bytes complete it within the bound, or show that it is none. Each byte is looked at once."""
        self._received += data
        known = self._received[:MAX_HELLO_BYTES] if self.size > MAX_HELLO_BYTES else self._received
        while len(known) >= (begin := self._next_record + _RECORD_HEAD_BYTES):
            head = bytes(known[self._next_record : begin])
            end = begin + int.from_bytes(head[3:])
            if end == begin or not starts_like_tls_record(head):
                return True
            if end > len(known):
                return False
            self._message += known[begin:end]
            self._next_record = end
            if self._is_whole():
                return True
        return False

    def _is_whole(self) -> bool:
        said = int.from_bytes(self._message[1:_MESSAGE_HEAD_BYTES])
        return len(self._message) >= _MESSAGE_HEAD_BYTES + said


def _quiet(said: CommandGenerator[None]) -> CommandGenerator[None]:
    for command in said:
        if isinstance(command, commands.Log):
            command.level = DEBUG
        yield command
