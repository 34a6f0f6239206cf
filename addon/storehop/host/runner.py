"""The sidecar's own host: a mitmproxy Master with only the addons that a reverse proxy needs (design §1, §8)."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from mitmproxy.addons import core, disable_h2c, errorcheck, next_layer, proxyserver, tlsconfig
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options

from storehop.host.addon import Storehop

_QUIET = ("mitmproxy.proxy.server", "asyncio", "hpack", "tornado")
"""Loggers that have a line for every connection."""


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
    tls_cert: Path | None = None
    """PEM with certificate chain and key, to speak TLS and HTTP/2 with clients."""
    upstream_ca: Path | None = None
    """PEM with the authorities that may sign the upstream's certificate."""


class CannotServeError(Exception):
    """What the host was told can't be done; the message says why."""


def serve(config: HostConfig) -> None:
    """Serves until SIGTERM or SIGINT. SIGHUP reloads the rules.

    Raises CannotServeError; exits with 1 when the host reports another fault while starting.
    """
    _check_address(config.listen_host, config.listen_port)
    _log_to_stderr()
    asyncio.run(_serve(config))


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


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


async def _serve(config: HostConfig) -> None:
    master = Master(Options(confdir=str(config.state)))
    storehop = Storehop()
    master.addons.add(
        core.Core(),
        proxyserver.Proxyserver(),
        next_layer.NextLayer(),
        tlsconfig.TlsConfig(),
        disable_h2c.DisableH2C(),
        errorcheck.ErrorCheck(),
        storehop,
    )
    try:
        master.options.update(**_options(config))
    except OptionsError as error:
        raise CannotServeError(str(error)) from error
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, master.shutdown)
    loop.add_signal_handler(signal.SIGHUP, storehop.reload)
    await master.run()


def _options(config: HostConfig) -> dict[str, object]:
    options: dict[str, object] = {
        "mode": [f"reverse:{config.upstream}"],
        "listen_host": config.listen_host,
        "listen_port": config.listen_port,
        "storehop_rules": str(config.rules),
    }
    if config.tls_cert:
        options["certs"] = [f"*={config.tls_cert}"]
    if config.upstream_ca:
        options["ssl_verify_upstream_trusted_ca"] = str(config.upstream_ca)
    return options
