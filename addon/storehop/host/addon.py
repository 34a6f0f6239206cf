"""The mitmproxy addon: meets clicks, decides, delivers, answers. One addon owns storing and redirecting both.

mitmproxy goes on after a hook that raises, so a failure here leaves the request as it was: the user gets the
original link. For the same reason nothing may fail between accepting a call and redirecting the user.

Lifecycle hooks are plain functions: with `async def` a script's hot reload would stop silently.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from mitmproxy import command, ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from storehop.assets import asset
from storehop.decide import device
from storehop.decide.decision import decide
from storehop.decide.rules import RuleSet
from storehop.deliver.clock import SystemClock
from storehop.deliver.courier import Courier, NotAcceptedError
from storehop.deliver.sender import Sender
from storehop.deliver.writer import Writer
from storehop.host import flows
from storehop.host.duplicates import Duplicates
from storehop.host.ids import new_click_id
from storehop.host.rules import LiveRules
from storehop.model import Click, Dead, Decision, Delivered, Direct, Pass, Reason, Reply, RetryAt, Settled
from storehop.observe.admin import AdminServer
from storehop.rulefile import RuleFileError
from storehop.state import outbox_path

logger = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that calls under way get to finish when the process ends."""


class Storehop:
    """See the module. Options: storehop_rules, storehop_outbox, storehop_admin. Commands: storehop.reload."""

    name = "storehop"

    def __init__(self) -> None:
        self._rules: LiveRules | None = None
        self._courier: Courier | None = None
        self._duplicates: Duplicates | None = None
        self._admin: AdminServer | None = None
        self._is_upstream_down = False
        self._is_draining = False
        self._in_flight: set[str] = set()
        self._all_answered = asyncio.Event()

    # lifecycle

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "storehop_rules",
            str,
            str(asset("rules/storehop.yaml")),
            "storehop's rule file, or a folder of them. Changes are picked up while running.",
        )
        loader.add_option(
            "storehop_outbox",
            str,
            str(outbox_path()),
            "File that holds storehop's clicks until they are delivered. Read when mitmproxy starts.",
        )
        loader.add_option(
            "storehop_admin",
            str,
            "off",
            "Where storehop's admin endpoints listen, HOST:PORT or off. Read when mitmproxy starts.",
        )
        _tune_host()

    def configure(self, updated: set[str]) -> None:
        if "storehop_rules" in updated:
            path = Path(ctx.options.storehop_rules).expanduser()
            try:
                rules = LiveRules.start(path)
            except RuleFileError as error:
                message = f"storehop's rules can't be used:\n{error}"
                if self._rules:
                    raise exceptions.OptionsError(message) from error
                logger.error(message)  # noqa: TRY400  ends mitmproxy; a traceback would bury what is wrong
                return
            if self._rules:
                self._rules.stop()
            self._rules = rules
            self._use_rules(rules.current)
            if self._courier:
                rules.watch(self._use_rules)

    def running(self) -> None:
        if self._rules is None:
            return  # configure failed, and said so
        device.warm_up()
        delivery = self._rules.current.delivery
        clock = SystemClock()
        writer = Writer(Path(ctx.options.storehop_outbox).expanduser(), clock, delivery)
        self._duplicates = Duplicates(asyncio.get_running_loop().time)
        self._courier = Courier(Sender.with_pool(), writer, clock, delivery, self._settled)
        self._rules.watch(self._use_rules)
        self._admin = self._open_admin(ctx.options.storehop_admin)
        logger.info("storehop: %s from %s", self._rules.summary(), self._rules.path)

    def done(self) -> asyncio.Task[None] | None:
        if self._rules:
            self._rules.stop()
        if self._admin:
            self._admin.close()
        courier, self._courier = self._courier, None
        return asyncio.create_task(courier.close(GRACE)) if courier else None

    def _open_admin(self, address: str) -> AdminServer | None:
        if address == "off":
            return None
        try:
            return AdminServer(address, self.unready)
        except OSError as error:
            logger.error("storehop's admin endpoints can't listen on %s: %s", address, error.strerror)  # noqa: TRY400
            return None

    def unready(self) -> list[str]:
        """Why no traffic should be sent here now, for /readyz."""
        reasons = ["draining"] if self._is_draining else []
        if self._rules is None:
            reasons.append("rules: none could be loaded")
        if self._courier is None:
            reasons.append("outbox: closed")
        elif self._courier.fault:
            reasons.append(f"outbox: {self._courier.fault}")
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

    @command.command("storehop.reload")  # type: ignore[untyped-decorator]
    def reload(self) -> None:
        """Read the rule files again, now."""
        if self._rules:
            self._rules.reload(self._use_rules)

    def _use_rules(self, rules: RuleSet) -> None:
        if self._courier:
            self._courier.configure(rules.delivery)

    # hooks

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if self._rules is None or not flow.live:
            return
        rules = self._rules.current
        self._in_flight.add(flow.id)
        if flow.request.method != "GET" or not rules.is_attribution_host(flows.target_host(flow)):
            flow.request.stream = True  # what streams can't be answered by us any more, so a click never does
        flows.add_forwarded_headers(flow, rules.proxies)

    async def request(self, flow: http.HTTPFlow) -> None:
        if self._rules is None or flow.response or flow.error or not flow.live or flow.is_replay:
            return
        if not self._rules.current.is_attribution_host(flows.target_host(flow)):
            return
        if direct := await self._meet(flow, flows.own_link(flow)):
            flow.response = flows.answer(direct)

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        if self._rules is None or flow.response is None or flow.error or not flow.live:
            return
        flow.response.stream = True
        if self._is_draining and not flow.response.is_http2:
            flow.response.headers["Connection"] = "close"
        if "storehop" in flow.metadata:
            return  # our own answer, or a click that passed already
        link = flows.redirect_link(flow)
        if link is None or flow.is_replay:
            return
        if direct := await self._meet(flow, link):
            flows.rewrite(flow.response, direct)

    def response(self, flow: http.HTTPFlow) -> None:
        self._answered(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._answered(flow)

    def _answered(self, flow: http.HTTPFlow) -> None:
        self._in_flight.discard(flow.id)
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

    # a click

    async def _meet(self, flow: http.HTTPFlow, link: str) -> Direct | None:
        """Decides on a click and hands its call to the courier. None: the click passes, untouched."""
        try:
            decision = await self._decide(flows.read(flow, link, new_click_id()))
        except Exception:  # whatever it is: the old redirect still works, and the click is counted by it
            logger.exception("storehop failed on a click: it passes")
            decision = Pass(Reason.ERROR)
        if isinstance(decision, Pass) and decision.reason is Reason.NOT_A_CLICK:
            return None
        flow.metadata["storehop"] = _outcome(decision)
        _log(decision)
        return decision if isinstance(decision, Direct) else None

    async def _decide(self, click: Click) -> Decision:
        if self._rules is None or self._duplicates is None:
            return Pass(Reason.ERROR)
        decision = decide(click, self._rules.current)
        if isinstance(decision, Pass):
            return decision
        return await self._duplicates.once(click, decision, self._accept)

    async def _accept(self, direct: Direct) -> Decision:
        if self._courier is None:
            return Pass(Reason.OUTBOX_DOWN, direct.rule, direct.app, direct.platform, direct.store)
        try:
            await self._courier.accept(direct.call)
        except NotAcceptedError as refused:
            return Pass(refused.reason, direct.rule, direct.app, direct.platform, direct.store)
        return direct

    def _settled(self, settled: Settled) -> None:
        call, outcome = settled.call, settled.outcome
        said = outcome.status if isinstance(outcome, Reply) else outcome.fault if outcome else "not sent"
        match settled.verdict:
            case Delivered():
                logger.info("s2s delivered: %s after %.0f ms click=%s", said, settled.age * 1000, call.id)
            case RetryAt():
                logger.info("s2s put off: %s attempt=%s click=%s", said, settled.attempt, call.id)
            case Dead(reason):
                logger.warning("s2s given up: %s (%s) attempt=%s click=%s", reason, said, settled.attempt, call.id)


def _tune_host() -> None:
    """Sets what storehop can't do without on a stock mitmproxy, so that it needs no further flags."""
    options = ctx.options
    # `eager` dials the upstream when a client connects, and drops the click when it is down.
    # Without keep_host_header a reverse proxy overwrites Host before anybody can see it.
    wanted: dict[str, object] = {"connection_strategy": "lazy", "keep_host_header": True}
    if all(mode.startswith("reverse:") for mode in options.mode) and "block_global" in options:
        # The public is who clicks. Only for reverse proxies: a forward proxy must not be everybody's.
        wanted["block_global"] = False
    options.update(**wanted)


def _outcome(decision: Decision) -> str:
    """What mitmproxy may save with the flow: plain text."""
    return "direct" if isinstance(decision, Direct) else f"pass {decision.reason}"


def _log(decision: Decision) -> None:
    """One line a click, without addresses, device ids and User-Agents."""
    if isinstance(decision, Direct):
        logger.info(
            "direct app=%s rule=%s store=%s click=%s",
            decision.app,
            decision.rule,
            decision.store,
            decision.call.id,
        )
    else:
        logger.info("pass reason=%s app=%s rule=%s", decision.reason, decision.app or "-", decision.rule or "-")
