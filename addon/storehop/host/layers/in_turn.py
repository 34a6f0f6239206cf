"""Requests that a client sends at once are begun in turn, each when all that the one before led to is done."""

from __future__ import annotations

from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import _http1

SWITCHING_PROTOCOLS = 101


class Onward(events.Event):
    """Nothing is under way any more."""


class InTurn(_http1.Http1Connection):
    """The client's side. Mitmproxy's begins the next request within the end of the answer before.

    That is too early where no hook waits: the upstream's side has not seen the end of its own answer, and a thousand
    requests would lie in each other.
    """

    has_next = False
    """Bytes of the next request wait for an Onward."""

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, Onward):
            self.has_next = False
            return super().mark_done(request=True, response=True)
        return super()._handle_event(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> CommandGenerator[None]:
        is_done = (request or self.request_done) and (response or self.response_done)
        if self.buf and is_done and self.response and self.response.status_code != SWITCHING_PROTOCOLS:
            self.has_next = True
            return _nothing()
        return super().mark_done(request=request, response=response)


def _nothing() -> CommandGenerator[None]:
    yield from ()
