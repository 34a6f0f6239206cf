"""The device ids of a link: which of them its call may have (design §3.2)."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from storehop.decide.link import Link
from storehop.decide.own_words import EMPTY, NEVER_FILLED_IN
from storehop.decide.unfilled import is_absent, is_unfilled

_ANDROID_IDS = frozenset({"android_id", "sha1_android_id", "md5_android_id"})
DEVICE_IDS = _ANDROID_IDS | {
    f"{hash_}{name}"
    for hash_ in ("", "sha1_", "md5_")
    for name in ("advertising_id", "idfa", "idfv", "oaid", "imei", "fire_advertising_id")
}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


class IdJudge(NamedTuple):
    """Judges the device ids of a link, by what else the link has."""

    has_advertising_id: bool
    has_sha1: bool
    """It has `sha1_android_id`."""

    @classmethod
    def of(cls, link: Link) -> IdJudge:
        """The judge of this link's ids."""
        return cls(_has_advertising_id(link), link.real("sha1_android_id") is not None)

    def why_unusable(self, name: str, value: str) -> str:
        """Why the call must not have this device id (design §3.2); "" where it stays."""
        if is_unfilled(value):
            return NEVER_FILLED_IN
        if is_absent(value):
            return EMPTY
        if name in _ANDROID_IDS and self.has_advertising_id:
            return "the link has an advertising id"
        if name == "android_id" and self.has_sha1:
            return "the link has its SHA-1"
        return ""


def _has_advertising_id(link: Link) -> bool:
    plain, hashed = link.real("advertising_id"), link.real("sha1_advertising_id")
    return bool((plain and _UUID.fullmatch(plain)) or (hashed and _SHA1.fullmatch(hashed)))


def sha1(value: str) -> str:
    """SHA-1 of the id as written. An id that is a SHA-1 already stays as it is."""
    if _SHA1.fullmatch(value):
        return value
    return hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()
