"""Client hints: structured-field strings (RFC 9651 §3.3.3) about the browser, and what they say of the device.

A header that is too long for a hint is not read, so no stranger can fill a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import http_sf

from storehop.model import Direct

MAX_HEADER_CHARACTERS = 256
"""A longer header is not read."""
HINTS_ON_REQUEST = ("sec-ch-ua-model", "sec-ch-ua-platform-version")
"""Hints that browsers send on request only, lower case."""
WHY_UNKNOWN = "the User-Agent does not say it, and no client hint came"
"""The `why` of an omitted parameter that hints would fill."""

_OTHER_PLATFORMS = frozenset({"chrome os", "chromium os", "fuchsia", "ios", "linux", "macos", "windows"})
"""Values of `Sec-CH-UA-Platform` other than Android and Unknown (User-Agent Client Hints §3.6), lower case."""
_PROGRAM_NAMES = ("headless", "lighthouse")
"""Parts of programs' names in `Sec-CH-UA`, lower case: `"HeadlessChrome";v="129"`, `"HeadlessEdg"`."""


def text(headers: Mapping[str, str], name: str) -> str | None:
    """A client hint's string, or None where it is missing, empty or malformed."""
    raw = headers.get(name)
    return _string_item(raw) if raw and len(raw) <= MAX_HEADER_CHARACTERS and raw.isascii() else None


def contradict_android(headers: Mapping[str, str]) -> bool:
    """Whether the hints name a platform other than Android: then somebody changed only the User-Agent to a phone's."""
    platform = text(headers, "sec-ch-ua-platform")
    return platform is not None and platform.lower() in _OTHER_PLATFORMS


def names_a_program(headers: Mapping[str, str]) -> bool:
    """Whether `Sec-CH-UA`, or its long form, names a browser that runs without a person."""
    for header in ("sec-ch-ua", "sec-ch-ua-full-version-list"):
        brands = headers.get(header)
        if brands and len(brands) <= MAX_HEADER_CHARACTERS and any(name in brands.lower() for name in _PROGRAM_NAMES):
            return True
    return False


def were_sent(headers: Mapping[str, str]) -> bool:
    """Whether the request has one of the hints that browsers send on request only."""
    return any(name in headers for name in HINTS_ON_REQUEST)


def without_hints(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as a browser sends them when nobody asks for hints."""
    return {name: value for name, value in headers.items() if name not in HINTS_ON_REQUEST}


def lacks_hints(direct: Direct) -> bool:
    """Whether client hints could add to what the call says about the device."""
    return any(param.name in {"af_model", "af_os_version"} and param.why == WHY_UNKNOWN for param in direct.params)


@lru_cache(maxsize=8192)
def _string_item(raw: str) -> str | None:
    try:
        item = http_sf.parse(raw.encode(), tltype="item")
    except ValueError:
        return None
    value = item[0] if isinstance(item, tuple) else None
    return value if isinstance(value, str) else None
