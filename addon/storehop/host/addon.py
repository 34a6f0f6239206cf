"""The mitmproxy addon: hooks, and nothing else. What they do is `storehop.app`'s and its handler's.

One addon owns storing and redirecting both. mitmproxy goes on after a hook that raises, so a failure here leaves the
request as it was: the user gets the original link. For the same reason nothing may fail between accepting a call and
redirecting the user.

Lifecycle hooks are plain functions: with `async def` a script's hot reload would stop silently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from mitmproxy import command, ctx, exceptions, flow, http
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import layer, mode_specs
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from storehop.addresses import without_credentials
from storehop.app import App, Settings
from storehop.decide.points import Headers
from storehop.deliver.engines import check_location
from storehop.host import flows, retries
from storehop.host.clicks import Clicks
from storehop.host.connections import Connections
from storehop.host.layers.listener import Listener
from storehop.host.layers.stack import ANY, Port
from storehop.host.strangers import Strangers
from storehop.host.traffic import TrafficCounter
from storehop.host.tuning import OptionalInspector, inspector_if_wanted, tune
from storehop.host.upstream import Upstream
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics
from storehop.observe.readiness import Readiness
from storehop.options import AddonOptions, rows
from storehop.rulefile import RuleFileError
from storehop.rulefile.live import LiveRules

logger = logging.getLogger(__name__)


class Storehop:
    """See the module. Options: storehop_rules, storehop_outbox, storehop_admin, storehop_view_*.

    Commands: storehop.explain, storehop.stats, storehop.reload.
    """

    name = "storehop"

    def __init__(
        self,
        click_log: ClickLog | None = None,
        settings: Settings | None = None,
        port: Port = ANY,
        connections: Connections | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`settings` are the sidecar's; in another tool mitmproxy's options say them."""
        self._settings = settings
        self._rules: LiveRules | None = None
        self._app: App | None = None
        self._metrics = metrics or Metrics()
        self._click_log = click_log or ClickLog()
        self._inspector: OptionalInspector = None
        self._clicks: Clicks | None = None
        self._listener = Listener(port, lambda: self._rules)
        self._upstream = Upstream()
        self._strangers = Strangers()
        self._metrics.registry.register(self._strangers.metric)
        self.connections = connections or Connections()
        self.addons = [self.connections, TrafficCounter(self._metrics.traffic)]  # mitmproxy calls them after us
        self._is_draining = False
        self._in_flight: WeakKeyDictionary[http.HTTPFlow, Headers] = WeakKeyDictionary()
        self._all_answered: asyncio.Event | None = None
        """For who waits until nothing is in flight."""

    # lifecycle

    def load(self, loader: Loader) -> None:
        for row in rows(AddonOptions):
            loader.add_option(f"{self.name}_{row.name}", row.type, row.default, row.addon_help)
        tune()

    def configure(self, updated: set[str]) -> None:
        if "storehop_outbox" in updated:
            try:
                check_location(ctx.options.storehop_outbox)
            except ValueError as error:
                self._refuse(f"storehop_outbox {without_credentials(ctx.options.storehop_outbox)!r}: {error}", error)
                return
        if "storehop_rules" in updated:
            path = Path(ctx.options.storehop_rules).expanduser()
            try:
                rules = LiveRules.start(path, self._settings.standin if self._settings else None)
            except RuleFileError as error:
                self._refuse(f"storehop's rules can't be used:\n{error}", error)
                return
            self._rules = rules
            if self._app:
                self._app.watch(rules)

    def _refuse(self, message: str, error: Exception) -> None:
        """Keeps what was there before. At the start there is nothing, and a logged error ends mitmproxy."""
        if self._rules:
            raise exceptions.OptionsError(message) from error
        logger.error(message)  # a traceback would bury what is wrong

    def running(self) -> None:
        if self._rules is None:
            return  # configure failed, and said so
        self._inspector = inspector_if_wanted()
        watchers = [self._click_log, *([self._inspector] if self._inspector else [])]
        settings = self._settings or Settings(ctx.options.storehop_outbox, ctx.options.storehop_admin)
        try:
            self._app = App(self._rules, settings, self._metrics, watchers, self.readiness)
        except ValueError as error:
            logger.error("storehop: %s", error)  # noqa: TRY400  ends mitmproxy; a traceback would bury what is wrong
            return
        self._clicks = Clicks(self._app.handler, self._app.outbox, self._inspector)

    def done(self) -> asyncio.Task[None] | None:
        if self._inspector:
            self._inspector.close()
        if self._app is None:
            return None
        app, self._app, self._clicks = self._app, None, None
        return asyncio.create_task(app.close())

    def readiness(self) -> Readiness:
        """For /readyz."""
        unready = ["draining"] if self._is_draining else []
        unready += self.connections.unready
        if self._rules is None:
            unready.append("rules: none could be loaded")
        if self._app is None:
            unready.append("clicks: not handled before the start and after the end")
        return Readiness(tuple(unready), (*(self._app.degraded if self._app else ()), *self._upstream.degraded))

    def drain(self) -> None:
        """From now on clients are sent elsewhere: /readyz says 503, answers close their connections."""
        self._is_draining = True
        self.connections.retire()

    def leave_admin(self) -> None:
        """From now on another process answers the admin endpoints. A worker goes on: its supervisor asks it."""
        if self._app and not (self._settings and isinstance(self._settings.admin, Path)):
            self._app.close_admin()

    @property
    def is_serving(self) -> bool:
        """Whether clicks are handled."""
        return self._app is not None

    async def idle(self, timeout: float) -> None:
        """Returns when no answer is under way, or after `timeout` seconds."""
        if self._in_flight:
            self._all_answered = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_answered.wait(), timeout)

    @command.command("storehop.explain")  # type: ignore[untyped-decorator]
    def explain(self, shown: Sequence[flow.Flow]) -> str:
        """What was decided about these flows' clicks: storehop.explain @focus."""
        if self._inspector is None:
            raise exceptions.CommandError("storehop.explain needs mitmweb's or the console's list of flows")
        return "\n\n".join(self._inspector.explain(one) for one in shown)

    @command.command("storehop.stats")  # type: ignore[untyped-decorator]
    def stats(self) -> str:
        """Clicks so far, and how soon AppsFlyer had them."""
        return self._metrics.summary()

    @command.command("storehop.reload")  # type: ignore[untyped-decorator]
    def reload(self) -> None:
        """Read the rule files again, now."""
        if self._rules:
            self._rules.reload()

    # hooks

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        self._listener.choose(nextlayer, self.connections.link_of(nextlayer.context.client))

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if self._rules is None or not flow.live:
            return
        rules = self._rules.current
        self._in_flight[flow] = headers = flows.headers_of(flow.request)
        # Only where there is a body: a request without one can still be answered. A replayed one is in memory.
        flow.request.stream = not flow.is_replay
        if flow.is_replay:
            flows.forget_decision(flow)
        else:
            if retries.COOKIE in headers.get("cookie", ""):
                retries.hide_cookie(flow, headers)
            flows.add_forwarded_headers(flow, headers, rules.proxies, self._strangers)
        if "upgrade" in headers:
            flows.drop_h2c(flow, headers)

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """What is to be waited for; None where it is no click: that takes no task."""
        if flow.request.trailers:
            flows.drop_trailers(flow)
        headers = self._in_flight.get(flow)  # None: it came while the rules were not there yet
        if self._rules is None or self._clicks is None or headers is None or not flow.live:
            return None  # starting: nothing can be stored yet
        if flow.response or flow.error:
            return None  # somebody else has answered
        return self._clicks.meet(flow, headers, self._rules.current)

    def responseheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """As `request`."""
        response, headers = flow.response, self._in_flight.get(flow)
        if self._rules is None or response is None or flow.error or headers is None:
            return None
        response.stream = True
        return self._clicks.meet_answer(flow, response, headers, self._rules.current) if self._clicks else None

    def response(self, flow: http.HTTPFlow) -> None:
        if flow.metadata.get("storehop") == "direct":
            flows.end_without_body(flow)
        self.error(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Nothing follows any more, well answered or not."""
        if self._inspector and "storehop" not in flow.metadata:
            self._inspector.other(flow)
        self._in_flight.pop(flow, None)
        if self._all_answered and not self._in_flight:
            self._all_answered.set()

    def server_connect(self, data: ServerConnectionHookData) -> None:
        mode = data.client.proxy_mode
        if isinstance(mode, mode_specs.ReverseMode):
            # With keep_host_header mitmproxy would check the upstream's certificate against the client's Host.
            data.server.sni = mode.address[0]

    def server_connected(self, data: ServerConnectionHookData) -> None:
        self._upstream.connected(data)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        self._upstream.failed(data)
