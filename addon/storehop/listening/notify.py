"""What systemd hears of this process: sd_notify(3), a datagram to the socket that `NOTIFY_SOCKET` names."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """Tells systemd how this process is. Does nothing where no systemd listens."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if for_us else 0.0

    def ready(self) -> None:
        """Clients are served."""
        self._say("READY=1", "STATUS=serving")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1", "STATUS=draining")

    def succeeded_by(self, process: int) -> None:
        """From now on the service's main process is another one; this one still ends what it has begun."""
        self._say(f"MAINPID={process}", "STATUS=replaced: another process serves")

    async def keep_alive(self) -> None:
        """Says, until it is cancelled, that the event loop turns: twice as often as systemd expects to hear it."""
        while self._watchdog_s:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto("\n".join(lines).encode(), self._address)
            except OSError:  # its queue is full, or it restarts: it will hear the next one
                return
