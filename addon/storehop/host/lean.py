"""A mitmproxy Master for production: only the addons that a reverse proxy needs, with a table of handlers (design §8).

It differs from the stock Master only in how it finds the handlers of a hook. Their arguments, their order and the
treatment of their failures are the same. Tests compare both, so that a change in mitmproxy shows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from inspect import isawaitable
from typing import Any

from mitmproxy import addonmanager, flow, hooks
from mitmproxy.addons import core, errorcheck, next_layer, proxyserver
from mitmproxy.exceptions import AddonHalt, AddonManagerError, OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options

from storehop.host.tls.addon import Tls

logger = logging.getLogger(__name__)

type Handler = Callable[..., Any]


class HookTable(addonmanager.AddonManager):
    """Looks up the handlers of an event once per event name. The stock AddonManager asks every addon at every event.

    It saved 200 of the 3,500 µs of a click when we introduced it.
    """

    def __init__(self, master: Master) -> None:
        super().__init__(master)  # type: ignore[no-untyped-call]
        self._table: dict[str, tuple[tuple[Handler, ...], ...]] = {}

    def register(self, addon: Any) -> Any:
        self._table.clear()
        return super().register(addon)  # type: ignore[no-untyped-call]

    def add(self, *addons: Any) -> None:
        super().add(*addons)  # type: ignore[no-untyped-call]
        self._table.clear()

    def remove(self, addon: Any) -> None:
        try:
            super().remove(addon)  # type: ignore[no-untyped-call]
        finally:  # the addon is gone even if its `done` failed
            self._table.clear()

    def clear(self) -> None:
        super().clear()  # type: ignore[no-untyped-call]
        self._table.clear()

    def handlers(self, event: hooks.Hook) -> tuple[tuple[Handler, ...], ...]:
        """The handlers of events of this name, in order: a tuple for each addon with its children."""
        handlers_by_addon = self._table.get(event.name)
        if handlers_by_addon is None:
            candidates = (tuple(self._handlers_of(addon, event)) for addon in self.chain)
            handlers_by_addon = self._table[event.name] = tuple(filter(None, candidates))
        return handlers_by_addon

    def _handlers_of(self, addon: Any, event: hooks.Hook) -> Iterator[Handler]:
        """The handlers of an addon. In place of one that can't be called stands one that fails when it is called."""
        try:
            for _, handler in self._iter_hooks(addon, event):
                yield handler
        except AddonManagerError as error:
            yield partial(_fail, str(error))

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        await self.trigger_event(event)
        if self.handlers(_UPDATE):
            message = event.args()[0]
            if isinstance(message, flow.Flow):
                await self.trigger_event(hooks.UpdateHook([message]))

    async def trigger_event(self, event: hooks.Hook) -> None:
        addons = self.handlers(event)
        if not addons:
            return
        arguments = event.args()
        for handlers in addons:
            try:
                for handler in handlers:
                    result = handler(*arguments)
                    if result is not None and isawaitable(result):
                        await result
            except AddonHalt:
                return
            except OptionsError:
                raise
            except Exception as error:  # as addonmanager.safecall: one addon's failure is not the next one's
                logger.exception("Addon error: %s", error)  # noqa: TRY401  mitmproxy's words


_UPDATE = hooks.UpdateHook([])


def _fail(message: str, *_arguments: Any) -> None:
    raise AddonManagerError(message)


class LeanMaster(Master):
    """A reverse proxy without storehop: its caller adds that to `addons`."""

    def __init__(self, options: Options, tls: Tls) -> None:
        super().__init__(options)
        # For addons of mitmproxy's before version 9: an event for every line that is logged.
        self._legacy_log_events.uninstall()
        self.addons = HookTable(self)
        self.proxyserver = proxyserver.Proxyserver()
        self.addons.add(
            core.Core(),
            self.proxyserver,
            next_layer.NextLayer(),
            tls,
            errorcheck.ErrorCheck(),
        )
