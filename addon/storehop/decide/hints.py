"""Client hints: structured-field strings (RFC 9651 §3.3.3) about the browser, and what they say of the device.

A header that could not be a short hint is looked at no further, so that no stranger fills a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import http_sf

MAX_HEADER = 256
"""Characters of a header that are worth reading."""

_OTHER_PLATFORMS = frozenset({"chrome os", "chromium os", "fuchsia", "ios", "linux", "macos", "windows"})
"""What `Sec-CH-UA-Platform` may say but for Android and Unknown (User-Agent Client Hints §3.6), lower case."""
_NO_PERSON = ("headless", "lighthouse")
"""Parts of the names of programs in `Sec-CH-UA`, lower case: `"HeadlessChrome";v="129"`, `"HeadlessEdg"`."""


def text(headers: Mapping[str, str], name: str) -> str | None:
    """A client hint's string, or None where it is missing, empty or malformed."""
    raw = headers.get(name)
    return _string_item(raw) if raw and len(raw) <= MAX_HEADER and raw.isascii() else None


def contradict_android(headers: Mapping[str, str]) -> bool:
    """The hints are of another platform: somebody wrote a phone's User-Agent over it."""
    platform = text(headers, "sec-ch-ua-platform")
    return platform is not None and platform.lower() in _OTHER_PLATFORMS


def names_a_program(headers: Mapping[str, str]) -> bool:
    """`Sec-CH-UA`, or its long form, names a browser that runs without a person."""
    for header in ("sec-ch-ua", "sec-ch-ua-full-version-list"):
        brands = headers.get(header)
        if brands and len(brands) <= MAX_HEADER and any(name in brands.lower() for name in _NO_PERSON):
            return True
    return False


@lru_cache(maxsize=8192)
def _string_item(raw: str) -> str | None:
    try:
        item = http_sf.parse(raw.encode(), tltype="item")
    except ValueError:
        return None
    value = item[0] if isinstance(item, tuple) else None
    return value if isinstance(value, str) else None
