"""What AppsFlyer can match a direct click on, and the share of clicks that have it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from storehop.model import Direct


class Signal(StrEnum):
    """Something that joins a click with an install. A closed list: it labels metrics."""

    REFERRER = "referrer"
    DEVICE_ID = "device_id"
    IP = "ip"
    USER_AGENT = "user_agent"
    OS_VERSION = "os_version"
    MODEL = "model"


NAMES = {
    Signal.REFERRER: "referrer",
    Signal.DEVICE_ID: "device id",
    Signal.IP: "IP",
    Signal.USER_AGENT: "User-Agent",
    Signal.OS_VERSION: "OS version",
    Signal.MODEL: "model",
}
"""For people."""

_IDS = ("advertising_id", "android_id", "fire_advertising_id", "idfa", "idfv", "imei", "oaid")
SIGNALS = {
    **{f"{hashed}{name}": Signal.DEVICE_ID for hashed in ("", "sha1_", "md5_") for name in _IDS},
    "af_ip": Signal.IP,
    "af_ua": Signal.USER_AGENT,
    "af_os_version": Signal.OS_VERSION,
    "af_model": Signal.MODEL,
}
"""Parameters of the S2S call, and the signal that a value of theirs is."""


def signals(direct: Direct) -> frozenset[Signal]:
    """What this click can be matched on, whoever said it: the link or we."""
    found = {SIGNALS[param.name] for param in direct.params if param.value and param.name in SIGNALS}
    if direct.referrer is not None:  # what only the link says, and no store hands to the app, matches nothing
        found.add(Signal.REFERRER)
    return frozenset(found)


class Coverage:
    """Counts clicks and their signals."""

    def __init__(self) -> None:
        self.clicks = 0
        self.directs = 0
        self.found = dict.fromkeys(Signal, 0)

    def direct(self, found: Iterable[Signal]) -> None:
        self.clicks += 1
        self.directs += 1
        self.gained(found)

    def gained(self, found: Iterable[Signal]) -> None:
        """A direct click that was counted has these signals as well."""
        for signal in found:
            self.found[signal] += 1

    def passed(self) -> None:
        self.clicks += 1

    def __str__(self) -> str:
        text = f"direct {self.directs:,} of {self.clicks:,} clicks ({_share(self.directs, self.clicks)})"
        if not self.directs:
            return text
        shares = ", ".join(f"{NAMES[signal]} {_share(count, self.directs)}" for signal, count in self.found.items())
        return f"{text}; AppsFlyer can match on: {shares}"


def _share(part: int, whole: int) -> str:
    """Rounded down: 100 % is said of all and of nothing less."""
    tenths = 1000 * part // whole if whole else 0
    return f"{tenths / 10:.1f}".removesuffix(".0") + " %"
