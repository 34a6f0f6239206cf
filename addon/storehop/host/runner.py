"""The sidecar's own host: a mitmproxy Master with only the addons that a reverse proxy needs (design §1, §8)."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mitmproxy.addons import proxyserver
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options

from storehop.host.addon import GRACE, Storehop
from storehop.host.lean import LeanMaster
from storehop.host.supervisor import Supervisor, command_of_worker, hold_port
from storehop.observe.admin import parse_address
from storehop.observe.log import BatchHandler, ClickLog, log_to

if TYPE_CHECKING:
    from mitmproxy.tools.web.master import WebMaster

logger = logging.getLogger(__name__)

_QUIET = ("mitmproxy.proxy.server", "asyncio", "hpack", "tornado")
"""Loggers that have a line for every connection."""


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


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What `storehop run` was told."""

    upstream: str
    """http(s)://host[:port] of the ad stack."""
    rules: Path
    listen_host: str
    listen_port: int
    state: Path
    """Folder for what must outlive the process; mitmproxy keeps its certificate authority there."""
    outbox: Path
    admin: str
    """HOST:PORT of the admin endpoints, or `off`."""
    web: str | None = None
    """HOST:PORT of mitmweb's page, to look at clicks; None: the lean host, without it."""
    log_json: bool = False
    """A JSON object a line instead of text."""
    log_personal_data: bool = False
    drain: float = 5.0
    """Seconds for which SIGTERM lets new clients in, so that load balancers see /readyz first."""
    tls_cert: Path | None = None
    """PEM with certificate chain and key, to speak TLS and HTTP/2 with clients."""
    upstream_ca: Path | None = None
    """PEM with the authorities that may sign the upstream's certificate."""
    workers: int = 1
    """Processes that share the port."""
    worker_socket: Path | None = None
    """In a worker: where its admin endpoints answer the supervisor."""


class CannotServeError(Exception):
    """What the host was told can't be done; the message says why."""


def serve(config: HostConfig) -> None:
    """Serves until SIGTERM, which drains, or SIGINT. SIGHUP reloads the rules.

    Raises CannotServeError; exits with 1 when the host reports another fault while starting.
    """
    _allow_many_files()
    if config.worker_socket:
        asyncio.run(_serve(config), loop_factory=_SharedPortLoop)
        return
    _check_address(config.listen_host, config.listen_port)
    for address in (config.admin, config.web or "off"):
        if address != "off":
            _check_address(*parse_address(address))
    if config.workers > 1:
        sys.exit(asyncio.run(_supervise(config)))
    asyncio.run(_serve(config))


def _allow_many_files() -> None:
    """As many sockets as the machine lets us have: a user may need two, and the usual limit is 1,024."""
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _SharedPortLoop(asyncio.SelectorEventLoop):
    """An event loop whose servers share their port with the other workers'; mitmproxy has no option for it."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        return await super().create_server(*arguments, **options, reuse_port=True)


async def _supervise(config: HostConfig) -> int:
    _log_to_stderr(as_json=config.log_json)
    try:
        held = hold_port(config.listen_host, config.listen_port)
    except OSError as error:
        where = f"{config.listen_host}:{config.listen_port}"
        raise CannotServeError(f"cannot listen on {where}: {error.strerror or error}") from error
    try:
        # Not in the state folder: a path of a Unix socket has 107 bytes at the most.
        with TemporaryDirectory(prefix="storehop-") as sockets:
            command, outbox = command_of_worker(sys.argv[1:]), config.outbox.expanduser()
            workers = Supervisor(command, config.workers, Path(sockets), outbox, drain=config.drain)
            return await workers.run(config.admin)
    finally:
        for one in held:
            one.close()


def _check_address(host: str, port: int) -> None:
    """Binds once and lets go, to say what is wrong in one sentence before anything is started."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise CannotServeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _log_to_stderr(*, as_json: bool) -> BatchHandler:
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    return log_to(sys.stderr, as_json=as_json)


async def _serve(config: HostConfig) -> None:
    lines = _log_to_stderr(as_json=config.log_json)
    # mitmweb shows what is logged, so there the lines take the long way.
    click_log = ClickLog(personal_data=config.log_personal_data, lines=None if config.web else lines)
    storehop = Storehop(click_log, config.worker_socket)
    host_options = Options(confdir=str(config.state))
    master = _with_page(host_options) if config.web else LeanMaster(host_options)
    _add(master, storehop)
    try:
        master.options.update(**_options(config))
    except OptionsError as error:
        raise CannotServeError(str(error)) from error
    drain = _Drain(master, storehop, master.proxyserver)
    loop = asyncio.get_running_loop()
    if config.worker_socket:
        # The supervisor hands SIGTERM on, and a service manager may have sent it to every process before.
        loop.add_signal_handler(signal.SIGTERM, drain.begin_once, config.drain)
        _when_abandoned(drain.begin_once, 0.0)
    else:
        loop.add_signal_handler(signal.SIGTERM, drain.begin, config.drain)
    loop.add_signal_handler(signal.SIGINT, drain.begin, 0.0)
    loop.add_signal_handler(signal.SIGHUP, storehop.reload)
    await master.run()


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
            await self._storehop.idle(GRACE)
        finally:
            self._master.shutdown()


def _options(config: HostConfig) -> dict[str, object]:
    options: dict[str, object] = {
        "mode": [f"reverse:{config.upstream}"],
        "listen_host": config.listen_host,
        "listen_port": config.listen_port,
        "storehop_rules": str(config.rules),
        "storehop_outbox": str(config.outbox),
        "storehop_admin": config.admin,
    }
    if config.web:
        host, port = parse_address(config.web)
        options |= {"web_host": host, "web_port": port, "web_open_browser": False}
    if config.tls_cert:
        options["certs"] = [f"*={config.tls_cert}"]
    if config.upstream_ca:
        options["ssl_verify_upstream_trusted_ca"] = str(config.upstream_ca)
    return options
