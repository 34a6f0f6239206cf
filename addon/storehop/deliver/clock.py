"""The clock of delivery: the machine's uptime, which is the same for every process and which no time server moves."""

from __future__ import annotations

import time
from functools import partial

# CLOCK_BOOTTIME counts suspended time too, as leases need it; where it is missing, monotonic is the next best.
uptime = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds since the machine started."""
