"""Click ids: UUIDv7, so that they sort by time (RFC 9562 §5.7)."""

from __future__ import annotations

import os
import time

_POOL = bytearray()
"""Random bytes of the system's, fetched many at once: a call for each click costs more than all the rest of its id."""
_FETCHED = 4096
_NEEDED = 10


def new_click_id() -> str:
    """A new UUIDv7. The standard library has one from Python 3.14 on."""
    if len(_POOL) < _NEEDED:
        _POOL.extend(os.urandom(_FETCHED))
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(_POOL[-_NEEDED:])
    del _POOL[-_NEEDED:]
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
