"""The two clocks that delivery needs.

Leases, due times and ages are counted in seconds of the machine's uptime: it is the same for every process and
no time server moves it. The wall clock is for people, and to carry ages over a reboot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    def uptime(self) -> float:
        """Seconds since the machine started; never jumps."""

    def wall(self) -> float:
        """Unix seconds, UTC; may jump."""

    def boot_id(self) -> str:
        """Another one after each start of the machine."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    def uptime(self) -> float:
        # CLOCK_BOOTTIME counts suspended time too; where it is missing, monotonic starts with the machine as well.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    def wall(self) -> float:
        return time.time()

    def boot_id(self) -> str:
        return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"
