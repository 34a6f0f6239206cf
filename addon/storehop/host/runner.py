"""The sidecar's own host: a mitmproxy Master with only the addons that a reverse proxy needs (design §1, §8)."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mitmproxy.addons import proxyserver
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options

from storehop.addresses import OFF
from storehop.app import GRACE_S
from storehop.host.addon import Storehop
from storehop.host.lean import LeanMaster
from storehop.observe.log import ClickLog
from storehop.options import RunOptions
from storehop.serving import CannotServeError, log_to_stderr, prepare

if TYPE_CHECKING:
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
)
"""Of mitmweb's addons those that have no part in a reverse proxy, nor in showing and replaying its flows."""


def serve(options: RunOptions) -> None:
    """Serves until SIGTERM, which drains, or SIGINT. SIGHUP reloads the rules.

    Raises CannotServeError; exits with 1 when the host reports another fault while starting.
    """
    prepare(options)
    asyncio.run(_serve(options), loop_factory=_SharedPortLoop if options.worker_socket else None)


class _SharedPortLoop(asyncio.SelectorEventLoop):
    """An event loop whose servers share their port with the other workers'; mitmproxy has no option for it."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        return await super().create_server(*arguments, **options, reuse_port=True)


async def _serve(options: RunOptions) -> None:
    lines = log_to_stderr(options)
    # mitmweb shows what is logged, so there the lines take the long way.
    click_log = ClickLog(personal_data=options.log_personal_data, lines=None if options.web else lines)
    storehop = Storehop(click_log, options.worker_socket, options.workers)
    host_options = Options(confdir=str(options.state))
    master = _with_page(host_options) if options.web else LeanMaster(host_options)
    _add(master, storehop)
    try:
        master.options.update(**_for_mitmproxy(options))
    except OptionsError as error:
        raise CannotServeError(str(error)) from error
    _handle_signals(options, _Drain(master, storehop, master.proxyserver), storehop)
    await master.run()


def _handle_signals(options: RunOptions, drain: _Drain, storehop: Storehop) -> None:
    loop = asyncio.get_running_loop()
    if options.worker_socket:
        # The supervisor hands SIGTERM on, and a service manager may have sent it to every process before.
        loop.add_signal_handler(signal.SIGTERM, drain.begin_once, options.drain)
        _when_abandoned(drain.begin_once, 0.0)
    else:
        loop.add_signal_handler(signal.SIGTERM, drain.begin, options.drain)
    loop.add_signal_handler(signal.SIGINT, drain.begin, 0.0)
    loop.add_signal_handler(signal.SIGHUP, storehop.reload)


def _when_abandoned(do: Callable[[float], None], seconds: float) -> None:
    """Calls `do` when the supervisor, which holds the other end of standard input, is gone."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def abandoned() -> None:
        loop.remove_reader(stdin)
        logger.error("the supervisor is gone: ending")
        do(seconds)

    loop.add_reader(stdin, abandoned)


def _with_page(options: Options) -> WebMaster:
    """Mitmweb's Master without the addons that neither the lean host nor the page has a use for.

    What they would do to traffic in production's place (block, cache, rewrite, script) does not happen here either.
    It logs the page's URL with its token.
    """
    from mitmproxy.tools.web.master import WebMaster  # noqa: PLC0415  a second's imports for debugging only

    master = WebMaster(options, with_termlog=False)
    for addon in filter(None, map(master.addons.get, _UNUSED)):
        master.addons.remove(addon)
    return master


def _add(master: Master, storehop: Storehop) -> None:
    """Our choice of layers comes before mitmproxy's, as in its own tools, where scripts stand before it."""
    theirs = master.addons.get("nextlayer")
    master.addons.remove(theirs)
    master.addons.add(storehop, theirs)


class _Drain:
    """The way out: say so, let clients go, finish the answers in flight, then end. A second signal ends at once."""

    def __init__(self, master: Master, storehop: Storehop, servers: proxyserver.Proxyserver) -> None:
        self._master = master
        self._storehop = storehop
        self._servers = servers
        self._task: asyncio.Task[None] | None = None

    def begin(self, seconds: float) -> None:
        if self._task:
            self._master.shutdown()
        else:
            self._task = asyncio.get_running_loop().create_task(self._run(seconds), name="storehop drain")

    def begin_once(self, seconds: float) -> None:
        """As `begin`, where the same signal again means nothing new."""
        if not self._task:
            self.begin(seconds)

    async def _run(self, seconds: float) -> None:
        try:
            self._storehop.drain()
            logger.info("draining for %g s", seconds)
            await asyncio.sleep(seconds)
            await self._servers.servers.update([])
            await self._storehop.idle(GRACE_S)
        finally:
            self._master.shutdown()


def _for_mitmproxy(options: RunOptions) -> dict[str, object]:
    """The options of mitmproxy's and of the addon's that say the same."""
    values: dict[str, object] = {
        "mode": [f"reverse:{options.upstream}"],
        "listen_host": options.listen.host,
        "listen_port": options.listen.port,
        "storehop_rules": str(options.rules),
        "storehop_outbox": options.outbox_location,
        "storehop_admin": str(options.admin or OFF),
    }
    if options.web:
        values |= {"web_host": options.web.host, "web_port": options.web.port, "web_open_browser": False}
    if options.tls_cert:
        values["certs"] = [f"*={options.tls_cert}"]
    if options.upstream_ca:
        values["ssl_verify_upstream_trusted_ca"] = str(options.upstream_ca)
    return values
