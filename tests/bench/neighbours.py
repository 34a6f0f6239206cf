"""The ad stack and AppsFlyer, both in one cheap process: answers are ready-made bytes, arrivals are noted.

Run as a script it serves, says its two ports in one line of JSON, and takes one command a line on standard input:
`counts` {"calls", "clicks", "first", "last"} and `arrivals` {click id: seconds of the monotonic clock} are answered
in one line each, `forget` begins anew. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 512\r\n\r\n" + b"<p>an ad</p>\n".ljust(512)
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
REDIRECT = (
    b"HTTP/1.1 302 Found\r\nLocation: https://app.appsflyer.com%b\r\n"
    b"Set-Cookie: seen=1; Path=/\r\nContent-Length: 0\r\n\r\n"
)
CLICK_ID = b"clickid="


class _Server(asyncio.Protocol):
    """Answers each request head, pipelined or cut in pieces, in order. Requests have no bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        if heads:
            self._transport.write(b"".join(map(self.answer, heads)))

    def answer(self, head: bytes) -> bytes:
        raise NotImplementedError


class AdStack(_Server):
    """200 for an ad; everything else is redirected to the attribution link of the same path."""

    def answer(self, head: bytes) -> bytes:
        target = head.split(b" ", 2)[1]
        return PLAIN if target.startswith((b"/ad?", b"/ready")) else REDIRECT % target


class Arrivals:
    """When each click came first, in seconds of the machine's monotonic clock, and how many calls came."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.calls = 0
        self.first_by_id: dict[str, float] = {}
        self.last = 0.0

    def note(self, head: bytes) -> None:
        self.calls += 1
        self.last = time.monotonic()
        begin = head.find(CLICK_ID) + len(CLICK_ID)
        self.first_by_id.setdefault(head[begin : head.find(b"&", begin)].decode(), self.last)

    def counts(self) -> dict[str, float]:
        clicks = self.first_by_id
        first = next(iter(clicks.values()), 0.0)
        return {"calls": self.calls, "clicks": len(clicks), "first": first, "last": self.last}


class AppsFlyer(_Server):
    """Accepts every S2S click."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def answer(self, head: bytes) -> bytes:
        self._arrivals.note(head)
        return ACCEPTED


async def serve() -> None:
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(AdStack, "127.0.0.1", 0),
        await loop.create_server(lambda: AppsFlyer(arrivals), "127.0.0.1", 0),
    ]
    _say([server.sockets[0].getsockname()[1] for server in servers])
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        match line.decode().strip():
            case "counts":
                _say(arrivals.counts())
            case "arrivals":
                _say(arrivals.first_by_id)
            case "forget":
                arrivals.forget()
                _say("forgotten")


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
