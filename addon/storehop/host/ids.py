"""Click ids: UUIDv7, so that they sort by time (RFC 9562 §5.7)."""

from __future__ import annotations

import os
import time
import uuid


def new_click_id() -> str:
    """A new UUIDv7. The standard library has one from Python 3.14 on."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=value))
