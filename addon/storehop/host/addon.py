"""The mitmproxy addon: meets clicks, decides, delivers, answers. One addon owns storing and redirecting both.

mitmproxy goes on after a hook that raises, so a failure here leaves the request as it was: the user gets the
original link. For the same reason nothing may fail between accepting a call and redirecting the user.

Lifecycle hooks are plain functions: with `async def` a script's hot reload would stop silently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from mitmproxy import command, ctx, exceptions, flow, http
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import layer, mode_specs
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from storehop.addresses import parse_address_or_off
from storehop.decide import device
from storehop.decide.address import Proxies
from storehop.decide.rules import RuleSet
from storehop.deliver.clock import SystemClock
from storehop.deliver.courier import Courier
from storehop.deliver.notes import Notes
from storehop.deliver.wire import Wire
from storehop.deliver.writer import Writer
from storehop.host import flows, hints
from storehop.host.desk import Desk
from storehop.host.duplicates import Duplicates
from storehop.host.ids import new_click_id
from storehop.host.inspector import Inspector
from storehop.host.layers.head import Gate
from storehop.host.layers.stack import layers_for
from storehop.host.rules import LiveRules
from storehop.model import Direct, Reason
from storehop.observe.admin import AdminServer
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics
from storehop.options import AddonOptions, rows
from storehop.rulefile import RuleFileError
from storehop.settings import ClientHints
from storehop.state import outbox_file

logger = logging.getLogger(__name__)

SWITCHING_PROTOCOLS = 101
"""A WebSocket begins: its Connection header is part of the handshake (RFC 6455 §4.2.2)."""
GRACE = 10.0
"""Seconds that calls under way get to finish when the process ends."""


class Storehop:
    """See the module. Options: storehop_rules, storehop_outbox, storehop_admin, storehop_view_*.

    Commands: storehop.explain, storehop.stats, storehop.reload.
    """

    name = "storehop"

    def __init__(self, click_log: ClickLog | None = None, worker: Path | None = None) -> None:
        """`worker` is the admin socket of this process where it is one of several behind a supervisor."""
        self._worker = worker
        self._rules: LiveRules | None = None
        self._desk: Desk | None = None
        self._metrics = Metrics()
        self._click_log = click_log or ClickLog()
        self._admin: AdminServer | None = None
        self._inspector: Inspector | None = None
        self._retries: hints.Retries | None = None
        self._asked = hints.Asked()
        self._gate = Gate(self._client_ip_header)
        self._is_upstream_down = False
        self._is_draining = False
        self._in_flight: WeakKeyDictionary[http.HTTPFlow, flows.Seen] = WeakKeyDictionary()
        self._all_answered = asyncio.Event()

    # lifecycle

    def load(self, loader: Loader) -> None:
        for row in rows(AddonOptions):
            loader.add_option(f"{self.name}_{row.name}", row.type, row.default, row.addon_help)
        _tune_host()

    def configure(self, updated: set[str]) -> None:
        if "storehop_outbox" in updated:
            try:
                outbox_file(ctx.options.storehop_outbox)
            except ValueError as error:
                self._refuse(f"storehop_outbox {ctx.options.storehop_outbox!r}: {error}", error)
                return
        if "storehop_rules" in updated:
            path = Path(ctx.options.storehop_rules).expanduser()
            try:
                rules = LiveRules.start(path)
            except RuleFileError as error:
                self._refuse(f"storehop's rules can't be used:\n{error}", error)
                return
            if self._rules:
                self._rules.stop()
            self._rules = rules
            if self._desk:
                self._use_rules(rules.current)
                rules.watch(self._use_rules)

    def _refuse(self, message: str, error: Exception) -> None:
        """Keeps what was there before. At the start there is nothing, and a logged error ends mitmproxy."""
        if self._rules:
            raise exceptions.OptionsError(message) from error
        logger.error(message)  # a traceback would bury what is wrong

    def running(self) -> None:
        if self._rules is None:
            return  # configure failed, and said so
        device.warm_up()
        delivery, clock = self._rules.current.delivery, SystemClock()
        duplicates = Duplicates(asyncio.get_running_loop().time)
        writer = Writer(outbox_file(ctx.options.storehop_outbox), clock, delivery)
        notes = Notes(writer)
        self._retries = hints.Retries(clock.uptime, notes)
        self._desk = desk = Desk(duplicates, self._metrics, self._click_log, notes)
        self._inspector = desk.inspector = _inspector()
        holder = self._worker.stem if self._worker else None
        desk.courier = courier = Courier(Wire.through(delivery.proxy), writer, clock, delivery, desk, holder)
        self._rules.watch(self._use_rules)
        self._metrics.observe(
            lambda: courier.counts,
            lambda: len(courier.open_breakers),
            lambda: self._rules.current.digest if self._rules else "",
        )
        self._admin = self._open_admin(self._worker or ctx.options.storehop_admin)
        logger.info("storehop: %s from %s", self._rules.summary(), self._rules.path)

    def done(self) -> asyncio.Task[None] | None:
        if self._rules:
            self._rules.stop()
        if self._admin:
            self._admin.close()
        if self._inspector:
            self._inspector.close()
        if self._desk is None or self._desk.courier is None:
            return None
        courier, self._desk.courier = self._desk.courier, None
        return asyncio.create_task(courier.close(GRACE))

    def _open_admin(self, address: str | Path) -> AdminServer | None:
        try:
            where = address if isinstance(address, Path) else parse_address_or_off(address)
            return AdminServer(where, self.unready, self._metrics.registry) if where else None
        except (OSError, ValueError) as error:
            logger.error("storehop_admin %s: %s", address, getattr(error, "strerror", None) or error)  # noqa: TRY400
            return None

    def unready(self) -> list[str]:
        """Why no traffic should be sent here now, for /readyz."""
        reasons = ["draining"] if self._is_draining else []
        if self._rules is None:
            reasons.append("rules: none could be loaded")
        courier = self._desk.courier if self._desk else None
        if courier is None:
            reasons.append("outbox: closed")
        elif courier.fault:
            reasons.append(f"outbox: {courier.fault}")
        return reasons

    def drain(self) -> None:
        """From now on clients are told to go elsewhere: /readyz says 503, answers close their connections."""
        self._is_draining = True

    async def idle(self, timeout: float) -> None:
        """Returns when no answer is under way, or after `timeout` seconds."""
        self._all_answered.clear()
        if self._in_flight:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_answered.wait(), timeout)

    @command.command("storehop.explain")  # type: ignore[untyped-decorator]
    def explain(self, flows: Sequence[flow.Flow]) -> str:
        """What was decided about these flows' clicks: storehop.explain @focus."""
        if self._inspector is None:
            raise exceptions.CommandError("storehop.explain needs mitmweb's or the console's list of flows")
        return "\n\n".join(self._inspector.explain(shown) for shown in flows)

    @command.command("storehop.stats")  # type: ignore[untyped-decorator]
    def stats(self) -> str:
        """Clicks so far, and how soon AppsFlyer had them."""
        return self._metrics.summary()

    @command.command("storehop.reload")  # type: ignore[untyped-decorator]
    def reload(self) -> None:
        """Read the rule files again, now."""
        if self._rules:
            self._rules.reload()

    def _use_rules(self, rules: RuleSet | None) -> None:
        """Takes reloaded rules; None: they could not be used."""
        self._metrics.reloaded(worked=rules is not None)
        if rules and self._desk and self._desk.courier:
            self._desk.courier.configure(rules.delivery)

    # hooks

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        looks_further = ctx.options.ignore_hosts or ctx.options.allow_hosts  # mitmproxy reads the hosts first
        if nextlayer.layer is None and not looks_further:
            nextlayer.layer = layers_for(nextlayer.context, nextlayer.data_client(), self._gate)

    def _client_ip_header(self) -> str:
        return (self._rules.current.proxies if self._rules else Proxies()).header

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if self._rules is None or not flow.live:
            return
        rules = self._rules.current
        self._in_flight[flow] = seen = flows.see(flow.request)
        # Only where there is a body: a request without one can still be answered. A replayed one is in memory.
        flow.request.stream = not flow.is_replay
        if flow.is_replay:
            flows.forget_decision(flow)
        else:
            hints.hide_cookie(flow, seen)
            flows.add_forwarded_headers(flow, seen, rules.proxies)

    async def request(self, flow: http.HTTPFlow) -> None:
        flows.drop_trailers(flow)
        if self._rules is None or flow.response or flow.error or not flow.live:
            return
        if _is_rehearsal(flow) and flows.is_shown_call(flow):
            flow.response = flows.not_sent()
            return
        rules, seen = self._rules.current, self._in_flight.get(flow)
        if seen is None:
            return  # it came while the rules were not there yet
        if hints.looks_like_retry(flow, seen) and await self._repeat(flow, seen, rules):
            return
        if not rules.is_attribution_host(flows.target_host(flow, seen)):
            return
        if flow.request.raw_content != b"":
            if _is_rehearsal(flow):
                flow.response = flows.not_sent()
            return  # it had a body, which has gone upstream already: no click of a person's, and ours no more
        link = flows.own_link(flow, seen)
        if direct := await self._meet(flow, link, at_answer=True):
            flow.response = flows.answer(direct)
            await self._ask_for_hints(flow, direct, link, at_answer=True)
        elif _is_rehearsal(flow):
            flow.response = flows.not_sent()  # going on to AppsFlyer would count the click again

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        if self._rules is None or flow.response is None or flow.error or flow not in self._in_flight:
            return
        flow.response.stream = True
        if self._is_draining and not flow.response.is_http2 and flow.response.status_code != SWITCHING_PROTOCOLS:
            flow.response.headers["Connection"] = "close"
        if "storehop" in flow.metadata:
            return  # our own answer, or a click that passed already
        link = flows.redirect_link(flow)
        direct = await self._meet(flow, link) if link is not None else None
        if direct and link is not None:
            flows.rewrite(flow.response, direct, link)
        elif "storehop" in flow.metadata:
            if self._inspector:
                flow.response.stream = not flows.has_small_body(flow.response)  # a view shows nothing of what streamed
            return  # a click that passes: the ad stack's own bytes
        if direct or isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
            await self._ask_for_hints(flow, direct, link or "")

    def response(self, flow: http.HTTPFlow) -> None:
        if flow.metadata.get("storehop") == "direct":
            flows.end_without_body(flow)
        self._answered(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._answered(flow)

    def _answered(self, flow: http.HTTPFlow) -> None:
        if self._inspector and "storehop" not in flow.metadata:
            self._inspector.other(flow)
        self._in_flight.pop(flow, None)
        if not self._in_flight:
            self._all_answered.set()

    def server_connect(self, data: ServerConnectionHookData) -> None:
        mode = data.client.proxy_mode
        if isinstance(mode, mode_specs.ReverseMode):
            # With keep_host_header mitmproxy would check the upstream's certificate against the client's Host.
            data.server.sni = mode.address[0]

    def server_connected(self, data: ServerConnectionHookData) -> None:
        if self._is_upstream_down and isinstance(data.client.proxy_mode, mode_specs.ReverseMode):
            self._is_upstream_down = False
            logger.warning("upstream %s is back", data.client.proxy_mode.data)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        mode = data.client.proxy_mode
        if isinstance(mode, mode_specs.ReverseMode) and not self._is_upstream_down:
            self._is_upstream_down = True
            logger.warning("upstream %s is unreachable (%s): clients get 502", mode.data, data.server.error)

    async def _ask_for_hints(
        self, flow: http.HTTPFlow, direct: Direct | None, link: str, *, at_answer: bool = False
    ) -> None:
        """Has the browser say more about the device: with its next request, or with this one once more."""
        if self._rules is None or self._desk is None or flow.response is None:
            return
        rules = self._rules.current
        wanted = direct.client_hints if direct else rules.hints.mode
        seen = self._in_flight[flow]
        if wanted is ClientHints.OFF or not hints.is_secure(flow, seen):
            return
        self._asked.accept(flow.response, seen.get("host", ""), rules.hints)
        if direct and self._retries and (held := self._desk.held(direct)):
            click = flows.read(flow, seen, link, held.call.id, at_answer=at_answer)
            await self._retries.expect(flow, click, held.lease_until, rules)

    async def _repeat(self, flow: http.HTTPFlow, seen: flows.Seen, rules: RuleSet) -> bool:
        """Gives a browser's retry the first answer: the ad stack does not hear of it again. False: it is no retry."""
        if self._desk is None or self._retries is None or (first := await self._retries.take(flow, seen)) is None:
            return False
        flow.metadata["storehop"] = "retry"
        flow.response = first.again()
        self._desk.retried(first, seen, rules, flow)
        return True

    # a click

    async def _meet(self, flow: http.HTTPFlow, link: str, *, at_answer: bool = False) -> Direct | None:
        """Decides on a click. None: the click passes, untouched."""
        if self._desk is None or self._rules is None:
            return None  # starting: nothing can be stored yet
        seen, rules = self._in_flight[flow], self._rules.current
        click = flows.read(flow, seen, link, new_click_id(), at_answer=at_answer)
        if _is_rehearsal(flow):
            decision = self._desk.rehearse(click, rules, flow)
        else:
            may_retry = hints.may_retry(seen) and hints.is_secure(flow, seen)
            decision = await self._desk.meet(click, rules, flow, may_retry=may_retry)
        if isinstance(decision, Direct):
            flow.metadata["storehop"] = "direct"
            return decision
        if decision.reason is not Reason.NOT_A_CLICK:
            flow.metadata["storehop"] = f"pass {decision.reason}"
        return None


def _is_rehearsal(flow: http.HTTPFlow) -> bool:
    """Whether this is a replay that must send nothing: it only shows what the rules would do now."""
    return bool(flow.is_replay) and not ctx.options.storehop_replay_sends


def _inspector() -> Inspector | None:
    if not Inspector.is_wanted():
        return None
    options = ctx.options
    return Inspector(
        options.storehop_view_flows,
        keep_other=options.storehop_view_other,
        personal_data=options.storehop_view_personal_data,
    )


def _tune_host() -> None:
    """Sets what storehop can't do without on a stock mitmproxy, so that it needs no further flags."""
    options = ctx.options
    # `eager` dials the upstream when a client connects, and drops the click when it is down.
    # Without keep_host_header a reverse proxy overwrites Host before anybody can see it.
    wanted: dict[str, object] = {"connection_strategy": "lazy", "keep_host_header": True}
    if all(mode.startswith("reverse:") for mode in options.mode) and "block_global" in options:
        # The public is who clicks. Only for reverse proxies: a forward proxy must not be everybody's.
        wanted["block_global"] = False
    if "web_columns" in options and "comment" not in options.web_columns:
        # mitmweb's list hides comments, and a click's story is one.
        wanted["web_columns"] = [*options.web_columns, "comment"]
    options.update(**wanted)
