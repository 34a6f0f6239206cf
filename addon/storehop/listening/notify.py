"""What systemd hears of this process: sd_notify(3), a datagram to the socket that `NOTIFY_SOCKET` names."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)

PATIENCE_S = 0.1
"""So long a message waits while systemd's queue is full: the event loop waits, too."""


class ServiceManager:
    """Tells systemd how this process is. Does nothing where no systemd listens."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        # Made now: when it is needed, no descriptors may be left.
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._channel:
            self._channel.settimeout(PATIENCE_S)
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if for_us else 0.0

    def ready(self) -> None:
        """Clients are served."""
        self._say("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    def succeeded_by(self, process: int) -> None:
        """From now on the service's main process is another one; this one still ends what it has begun."""
        self._say(f"MAINPID={process}")

    async def keep_alive(self) -> None:
        """Says, until it is cancelled, that the event loop turns: twice as often as systemd expects to hear it."""
        while self._watchdog_s:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    def close(self) -> None:
        if self._channel:
            self._channel.close()

    def _say(self, line: str) -> None:
        if self._channel is None:
            return
        try:
            self._channel.sendto(line.encode(), self._address)
        except OSError as error:  # its queue is full, or it has gone
            logger.warning("systemd does not hear %s: %s", line, error)
