"""A running storehop without mitmproxy: what is built in which order, and closed in reverse."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tornado.netutil import bind_unix_socket

from storehop.addresses import parse_address_or_off
from storehop.canary.roll_call import RollCall
from storehop.canary.stop import Stop
from storehop.canary.stops import Stops, in_words
from storehop.canary.watch import CanaryWatch
from storehop.decide import device
from storehop.decide.rules import RuleSet
from storehop.deliver.courier import Courier
from storehop.deliver.engine import Engine
from storehop.deliver.engines import SharedOutbox, engine_for, terms_of
from storehop.deliver.outbox import Outbox
from storehop.deliver.wire import Wire
from storehop.duplicates import Duplicates
from storehop.handler import ClickHandler
from storehop.listening.sockets import bind
from storehop.observe.admin import AdminServer
from storehop.observe.metrics import Metrics
from storehop.observe.readiness import Readiness
from storehop.observe.state import State
from storehop.observe.watchers import Watcher, Watchers
from storehop.rulefile.live import LiveRules
from storehop.settings import Delivery

logger = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long calls under way get to finish when the process ends."""

_FROM_START = {
    "durability": "power_safe",
    **{name: name for name in ("max_outbox", "outbox_replicas", "outbox_wait", "outbox_name")},
}
"""Keys of the rule file that count from the start, and their settings."""

MAX_NAMED_NETWORKS = 8
"""Of trusted proxies, in the log: a CDN has dozens."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a storehop has its parts, as far as the rules do not say it."""

    outbox: str
    """A path, or a URL that names an engine."""
    admin: str | Path | Sequence[socket.socket]
    """HOST:PORT of the admin endpoints, the path of their Unix socket in a worker, their sockets, or `off`."""
    holder: str = ""
    """This process's name in leases; one is made where it is empty."""
    workers: int = 1
    """Processes that share one `concurrency`."""
    shared: SharedOutbox = SharedOutbox()
    """What flags say of a shared outbox, in place of the rules."""
    standin: str | None = None
    """In a dry run the origin that gets every S2S call, whatever the rules say."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What /readyz says of this process beside whether it is ready."""
        return ("dry run",) if self.standin else ()

    def delivery(self, rules: RuleSet) -> Delivery:
        """As the rules say it, and the flags in their place."""
        return self.shared.over(rules.delivery)


def _trusted(rules: RuleSet) -> str:
    """Our own proxies' networks, for people."""
    networks = rules.proxies.trusted
    if len(networks) > MAX_NAMED_NETWORKS:
        return f"{len(networks)} networks"
    return ", ".join(map(str, networks)) or "none"


def _outbox(engine: Engine, delivery: Delivery) -> str:
    """Where it is, and what makes hosts share it: with another name it is another outbox."""
    where = f"{engine.where} ({engine.kind})"
    return where if engine.kind == "sqlite" else f"{where}, with the name {delivery.outbox_name}; {terms_of(delivery)}"


class App:
    """Handles clicks until it is closed. Must be made on a running event loop. Raises ValueError, see `Wire.through`
    and `engine_for`.

    `watchers` hear of clicks beside the metrics; `get_readiness` answers for the whole process, `degraded` included.
    """

    def __init__(
        self,
        rules: LiveRules,
        settings: Settings,
        metrics: Metrics,
        watchers: Sequence[Watcher],
        get_readiness: Callable[[], Readiness],
    ) -> None:
        device.warm_up()
        self._rules = rules
        self._metrics = metrics
        self._get_readiness, self._settings = get_readiness, settings
        self._begun = delivery = settings.delivery(rules.current)
        holder = settings.holder or str(uuid.uuid4())
        self._canary = CanaryWatch(holder, self._failed_s, self._stop_rule, lambda: self.stops.current)
        hearing = Watchers((metrics, metrics.drift, self._canary, *watchers))
        wire = Wire.through(delivery.proxy)  # what may fail comes first
        engine = engine_for(settings.outbox, delivery, metrics.engine, shared=settings.shared)
        self.outbox = Outbox(engine, holder)
        self.stops = Stops(self.outbox, self._stop_rules)
        self._courier = Courier(wire, self.outbox, delivery, hearing, settings.workers)
        duplicates = Duplicates(asyncio.get_running_loop().time)
        self.handler = ClickHandler(duplicates, self._courier, self.outbox, self.stops, hearing)
        self._canary.use(rules.current)
        self.stops.join(self._canary)
        self.stops.join(RollCall(holder, lambda: self.stops.names, lambda: self._rules.current))
        self.stops.begin()
        metrics.observe(self._state)
        metrics.expect(_names(rules.current))
        rules.watch(self._use)
        self._admin = self._admin_server(settings)
        logger.info("storehop: the outbox is %s", _outbox(engine, delivery))
        logger.info("storehop: %s from %s; trusted proxies: %s", rules.summary(), rules.path, _trusted(rules.current))

    @property
    def degraded(self) -> tuple[str, ...]:
        """Why clicks pass: the outbox, and the breakers of the origins that fail."""
        outbox = (f"outbox: {self.outbox.fault}",) if self.outbox.fault else ()
        return (*outbox, *(f"breaker: {origin} fails" for origin in self._courier.open_breakers))

    def watch(self, rules: LiveRules) -> None:
        """Takes other rules from now on."""
        self._rules.stop()
        self._rules = rules
        rules.stop_rules(self.stops.names)
        self._use(rules.current)
        rules.watch(self._use)

    def close_admin(self) -> None:
        """The admin endpoints answer no more: another process does."""
        if self._admin:
            self._admin.close()
            self._admin = None

    async def close(self) -> None:
        """Finishes the calls under way, as far as they do within GRACE_S."""
        self.close_admin()
        self._rules.stop()
        await self.stops.close()
        await self._courier.close(GRACE_S)

    def _readiness(self) -> Readiness:
        """For /readyz. A weak promise of the outbox, or a rule that is stopped, is no fault: clicks are answered."""
        outbox = (f"outbox: {remark}" for remark in self.outbox.remarks)
        stops = (in_words(stop) for stop in self.stops.current.values())
        return replace(self._get_readiness(), remarks=(*self._settings.remarks, *outbox, *stops))

    def _state(self) -> State:
        """For a scrape."""
        return State(
            self._courier.counts,
            len(self._courier.open_breakers),
            self._rules.current.digest,
            self.outbox.kind,
            self.outbox.fault is not None,
            self._readiness().is_ready,
            tuple((stop.rule, stop.signal) for stop in self.stops.current.values()),
        )

    def _use(self, rules: RuleSet | None) -> None:
        """Takes reloaded rules; None: they could not be used."""
        self._metrics.reloaded(worked=rules is not None)
        if rules:
            self.handler.rules_changed()
            self._canary.use(rules)
            self._metrics.expect(_names(rules))
            delivery = self._settings.delivery(rules)
            for key in _that_wait(self._begun, delivery):
                logger.warning("delivery.%s has changed: it counts after a restart", key)
            try:
                self._courier.configure(delivery)
            except ValueError as error:
                logger.error("delivery.proxy: %s; the settings of before stay", error)  # noqa: TRY400  it says all

    def _failed_s(self, origin: str, within_s: float) -> float:
        return self._courier.failed_s(origin, within_s)

    def _stop_rule(self, stop: Stop) -> None:
        self.stops.stop(stop)

    def _stop_rules(self, names: frozenset[str]) -> None:
        """In the rules of now: others may have come meanwhile."""
        self._rules.stop_rules(names)
        self.handler.rules_changed()

    def _admin_server(self, settings: Settings) -> AdminServer | None:
        try:
            sockets = _sockets(settings.admin)
            return AdminServer(sockets, self._readiness, self._metrics.registry) if sockets else None
        except (OSError, ValueError) as error:
            logger.error("storehop_admin %s: %s", settings.admin, getattr(error, "strerror", None) or error)  # noqa: TRY400
            return None


def _that_wait(begun: Delivery, now: Delivery) -> Iterable[str]:
    """The rule file's keys that have changed, and that count from the start."""
    return (key for key, name in _FROM_START.items() if getattr(begun, name) != getattr(now, name))


def _sockets(admin: str | Path | Sequence[socket.socket]) -> Sequence[socket.socket]:
    """Raises OSError where nobody can listen there, ValueError where it is no address."""
    if isinstance(admin, Path):
        return [bind_unix_socket(str(admin))]
    if isinstance(admin, str):
        address = parse_address_or_off(admin)
        return bind(address) if address else []
    return admin


def _names(rules: RuleSet) -> Iterable[str]:
    return (rule.name for _, rule in rules.rules)
