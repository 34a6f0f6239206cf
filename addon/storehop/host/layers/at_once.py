"""Layers that go on at once behind a hook whose handlers had nothing to wait for; the lean host alone tells them so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator, Layer, Paused

AT_ONCE: Any = object()
"""The `blocking` of a hook that is over when its `yield` returns: no HookCompleted tells its layer so."""


class AtOnce(Layer):
    """Pauses and goes on as mitmproxy's Layer, but not for a hook that is over already.

    It spares an event all the way down the layers, for each of four hooks a request: 580 instructions of an answer, 820
    of a forwarded request (see `lean`).
    """

    goes_on_at_once = True
    """For the host: it may mark a hook AT_ONCE in place of sending its HookCompleted."""

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        paused = self._paused
        if paused is None:
            yield from self._run(self._handle_event(event), None)
        elif isinstance(event, events.CommandCompleted) and event.command is paused.command:
            self._paused = None
            yield from self._run(paused.generator, event.reply)
            while not self._paused and self._paused_event_queue:
                yield from self._run(self._handle_event(self._paused_event_queue.popleft()), None)
        else:
            self._paused_event_queue.append(event)

    def _run(self, work: CommandGenerator[None], reply: Any) -> Iterator[commands.Command]:
        """Yields the commands of this work up to one that has to be waited for."""
        try:
            command = work.send(reply)
            while True:
                if command.blocking is True:
                    command.blocking = self
                    self._paused = Paused(command, work)
                    yield command
                    if command.blocking is not AT_ONCE:
                        return
                    self._paused = None
                else:
                    yield command
                command = next(work)
        except StopIteration:
            return
