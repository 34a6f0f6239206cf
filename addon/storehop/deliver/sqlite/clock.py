"""The clocks of an outbox in a file.

Leases, due times and ages are counted in the machine's uptime. The wall clock is for people, and to carry ages over
a reboot.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from storehop.deliver.clock import uptime

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Times are seconds."""

    boot_id: str
    """Another one after each start of the machine."""

    def uptime(self) -> float:
        """Since the machine started; never jumps."""

    def wall(self) -> float:
        """Unix time, UTC; may jump."""


class SystemClock:
    """The boot id is read once, while there are file descriptors: no process outlives its boot."""

    def __init__(self) -> None:
        self.boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"

    uptime = staticmethod(uptime)
    wall = staticmethod(time.time)
