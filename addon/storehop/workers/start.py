"""`storehop run --workers N`: holds the listening sockets and runs the supervisor."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from storehop.deliver.engine import Engine
from storehop.deliver.engines import SharedOutbox, engine_for
from storehop.listening.presence import Presence
from storehop.listening.sockets import close_all
from storehop.options import RunOptions
from storehop.serving import Opened, collect_garbage, introduction, listen, log_to_stderr, open_listeners, own_command
from storehop.settings import Delivery
from storehop.workers.supervisor import Supervisor

logger = logging.getLogger(__name__)


def supervise(options: RunOptions, delivery: Delivery) -> int:
    """Serves by `options.workers` processes until a signal ends it. Returns the exit code. Raises CannotServeError.

    `delivery` is the rules'. Raises ValueError where it is no outbox.
    """
    collect_garbage()
    engine = engine_for(options.outbox_location, delivery, shared=SharedOutbox.of(options), tidies=True)
    return asyncio.run(_supervise(options, open_listeners(options), engine))


async def _supervise(options: RunOptions, opened: Opened, engine: Engine) -> int:
    lines = log_to_stderr(options)
    # Not in the state folder: a path of a Unix socket has 107 bytes at the most.
    with TemporaryDirectory(prefix="storehop-") as sockets:
        command = own_command(sys.argv[1:])
        supervisor = Supervisor(
            command,
            options.workers,
            Path(sockets),
            engine,
            opened.listeners,
            lines_dropped=lambda: lines.dropped,
        )
        presence = Presence(
            options.listen,
            opened.listeners,
            opened.taken,
            lambda: supervisor.retire(options.retire),
            supervisor.restart,
        )
        _handle_signals(options, opened, supervisor, presence)
        listen(options, opened)
        logger.info("%s", introduction(options, opened.listeners))
        if opened.taken is None:
            supervisor.open_admin()
        announcing = asyncio.create_task(_announce(supervisor, presence))
        try:
            return await supervisor.run()
        finally:
            announcing.cancel()
            presence.close()
            opened.listeners.close()


def _handle_signals(options: RunOptions, opened: Opened, supervisor: Supervisor, presence: Presence) -> None:
    loop = asyncio.get_running_loop()

    def shut() -> None:
        """The workers accept no more: who comes late is refused, and not left waiting."""
        presence.leave()
        close_all(opened.listeners.clients)

    def end(number: signal.Signals, drain: float) -> None:
        supervisor.end(number, drain)
        presence.stopping()
        loop.call_later(drain, shut)

    loop.add_signal_handler(signal.SIGTERM, end, signal.SIGTERM, options.drain)
    loop.add_signal_handler(signal.SIGINT, end, signal.SIGINT, 0.0)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    loop.add_signal_handler(signal.SIGUSR2, presence.restart)


async def _announce(supervisor: Supervisor, presence: Presence) -> None:
    if await supervisor.ready():
        supervisor.open_admin()
        presence.begin()
