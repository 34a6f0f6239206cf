"""The sidecar's own host: a mitmproxy Master with only the addons that a reverse proxy needs (design §1, §8)."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options

from storehop.addresses import OFF
from storehop.app import Settings
from storehop.deliver.engines import SharedOutbox
from storehop.host.addon import Storehop
from storehop.host.connections import Connections, connections_of
from storehop.host.door import HeldPortLoop
from storehop.host.layers.lean import LeanHttp
from storehop.host.layers.stack import Port
from storehop.host.lean import LeanMaster
from storehop.host.leaving import Leaving
from storehop.host.opening import Opening
from storehop.host.tls.addon import Tls
from storehop.host.tuning import CLICK_COLUMNS
from storehop.listening.line import HandoverError, is_possible
from storehop.listening.presence import Presence
from storehop.listening.successor import start_successor
from storehop.observe.counts import CountedElsewhere
from storehop.observe.log import ClickLog
from storehop.observe.metrics import DROPPED_LINES, Metrics
from storehop.options import RunOptions
from storehop.serving import (
    RETIRE,
    CannotServeError,
    Opened,
    collect_garbage,
    introduction,
    listen,
    log_to_stderr,
    open_listeners,
    own_command,
)

if TYPE_CHECKING:
    from mitmproxy.addons.proxyserver import Proxyserver
    from mitmproxy.tools.web.master import WebMaster

logger = logging.getLogger(__name__)

_UNUSED = (
    "browser",
    "block",
    "stripdnshttpsrecords",
    "blocklist",
    "anticache",
    "anticomp",
    "onboarding",
    "proxyauth",
    "scriptloader",
    "dnsresolver",
    "serverplayback",
    "mapremote",
    "maplocal",
    "modifybody",
    "modifyheaders",
    "stickyauth",
    "stickycookie",
    "upstreamauth",
    "updatealtsvc",
    "tlsconfig",
    "disableh2c",
)
"""Of mitmweb's addons those that have no part in a reverse proxy, nor in showing and replaying its flows.

In place of the last two stands code of ours.
"""

_DRY_RUN = (
    "dry run: AppsFlyer hears nothing of direct clicks, so an install after one of them is attributed to nobody; "
    "with real users, mode: observe in the rules is the way. A click that passes gets the link to AppsFlyer, as always"
)

_NEVER_S = 10 * 365 * 86_400
"""Mitmproxy ends what is silent for `tcp_timeout`: WebSockets and event streams, too. Our limits take its place."""


def serve(options: RunOptions, standin: str | None = None) -> None:
    """Serves until SIGTERM, which drains, or SIGINT. SIGHUP reloads rules and certificates, SIGUSR2 restarts.

    With `standin`, an origin, it is a dry run: that gets every S2S call, whatever the rules say.
    Raises CannotServeError; exits with 1 when the host reports another fault while starting.
    """
    collect_garbage()
    opened = open_listeners(options, is_alone=bool(standin))
    connections = connections_of(options)
    with asyncio.Runner(loop_factory=lambda: HeldPortLoop(opened.listeners.clients, connections.admission)) as runner:
        runner.run(_serve(options, opened, connections, standin))


async def _serve(options: RunOptions, opened: Opened, connections: Connections, standin: str | None) -> None:
    loop = cast("HeldPortLoop", asyncio.get_running_loop())
    lines = log_to_stderr(options)
    if standin:
        logger.warning("%s", _DRY_RUN)
    # mitmweb shows what is logged, so there the lines take the long way.
    click_log = ClickLog(personal_data=options.log_personal_data, lines=None if options.web else lines)
    tls = Tls.of(options.tls_cert)
    http = None if options.web else LeanHttp
    port = Port(tls=tls.is_spoken, h2c=options.h2c, proxy_protocol=options.proxy_protocol, http=http)
    metrics = Metrics(*tls.metrics, CountedElsewhere(*DROPPED_LINES, lambda: lines.dropped))
    storehop = Storehop(click_log, _settings(options, opened, standin), port, connections, metrics)
    host_options = Options(confdir=str(options.state))
    master = _with_page(host_options, tls) if options.web else LeanMaster(host_options, tls)
    leaving = Leaving(master, storehop, cast("Proxyserver", master.addons.get("proxyserver")))
    presence = None if options.worker_socket else _presence(options, opened, leaving, is_alone=bool(standin))
    _add(master, storehop, Opening(loop, storehop, leaving, presence))
    try:
        master.options.update(**_for_mitmproxy(options))
    except OptionsError as error:
        raise CannotServeError(str(error)) from error
    if presence:
        _handle_signals(options, leaving, presence)
    else:
        _handle_signals_of_worker(options, leaving)
    loop.add_signal_handler(signal.SIGHUP, _reload, storehop, tls)
    listen(options, opened)
    if options.worker_socket is None:
        logger.info("%s", introduction(options, opened.listeners))
    await master.run()


def _reload(storehop: Storehop, tls: Tls) -> None:
    storehop.reload()
    tls.reload()


def _presence(options: RunOptions, opened: Opened, leaving: Leaving, *, is_alone: bool) -> Presence:
    async def restart() -> None:
        if is_alone or not is_possible(options.listen):
            raise HandoverError(f"nothing can take {options.listen} over: end this process and start a new one")
        logger.info("restarting: a new process takes %s over", options.listen)
        await start_successor(own_command(sys.argv[1:]), presence.replaced)

    def retire() -> None:
        leaving.retire(options.retire)

    presence = Presence(options.listen, opened.listeners, opened.taken, retire, restart, is_alone=is_alone)
    leaving.when_shut = presence.leave
    return presence


def _handle_signals(options: RunOptions, leaving: Leaving, presence: Presence) -> None:
    loop = asyncio.get_running_loop()

    def end(seconds: float) -> None:
        leaving.drain(seconds)
        presence.stopping()

    loop.add_signal_handler(signal.SIGTERM, end, options.drain)
    loop.add_signal_handler(signal.SIGINT, end, 0.0)
    loop.add_signal_handler(signal.SIGUSR2, presence.restart)


def _handle_signals_of_worker(options: RunOptions, leaving: Leaving) -> None:
    """The supervisor hands SIGTERM on, and a service manager may have sent it to every process before."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leaving.drain_once, options.drain)
    loop.add_signal_handler(signal.SIGINT, leaving.drain, 0.0)
    loop.add_signal_handler(RETIRE, leaving.retire, options.retire)
    _when_abandoned(leaving.drain_once, 0.0)


def _settings(options: RunOptions, opened: Opened, standin: str | None) -> Settings:
    worker = options.worker_socket
    return Settings(
        outbox=options.outbox_location,
        admin=worker or opened.listeners.admin,
        holder=worker.stem if worker else "",
        workers=options.workers,
        shared=SharedOutbox.of(options),
        standin=standin,
    )


def _when_abandoned(do: Callable[[float], None], seconds: float) -> None:
    """Calls `do` when the supervisor, which holds the other end of standard input, is gone."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def abandoned() -> None:
        loop.remove_reader(stdin)
        logger.error("the supervisor is gone: ending")
        do(seconds)

    loop.add_reader(stdin, abandoned)


def _with_page(options: Options, tls: Tls) -> WebMaster:
    """Mitmweb's Master without the addons that neither the lean host nor the page has a use for.

    What they would do to traffic in production's place (block, cache, rewrite, script) does not happen here either.
    It logs the page's URL with its token.
    """
    from mitmproxy.tools.web.master import WebMaster  # noqa: PLC0415  a second's imports for debugging only

    master = WebMaster(options, with_termlog=False)
    for addon in filter(None, map(master.addons.get, _UNUSED)):
        master.addons.remove(addon)
    master.addons.add(tls)
    return master


def _add(master: Master, storehop: Storehop, *last: object) -> None:
    """Our choice of layers comes before mitmproxy's, as in its own tools, where scripts stand before it."""
    theirs = master.addons.get("nextlayer")
    master.addons.remove(theirs)
    master.addons.add(storehop, theirs, *last)


def _for_mitmproxy(options: RunOptions) -> dict[str, object]:
    """The options of mitmproxy's and of the addon's that say the same."""
    values: dict[str, object] = {
        "mode": [f"reverse:{options.upstream}"],
        "listen_host": options.listen.host,
        "listen_port": options.listen.port,
        "tcp_timeout": _NEVER_S,
        "storehop_rules": str(options.rules),
        "storehop_outbox": options.outbox_location,
        "storehop_admin": str(options.admin or OFF),
    }
    if options.web:
        values |= {"web_host": options.web.host, "web_port": options.web.port, "web_open_browser": False}
        values["web_columns"] = CLICK_COLUMNS
        values["command_history"] = False  # a file in the state folder
    if options.upstream_ca:
        values["ssl_verify_upstream_trusted_ca"] = str(options.upstream_ca)
    return values
