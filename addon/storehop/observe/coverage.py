"""The signals by which AppsFlyer can match a direct click, and the share of clicks that have each of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from storehop.decide.params import Shape, shape_of
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
"""The signal of each parameter of the S2S call."""


def signals(direct: Direct) -> frozenset[Signal]:
    """The signals by which AppsFlyer can match this click, from the link or from us."""
    return signals_of(shape_of(direct.params), has_referrer=direct.referrer is not None)


def signals_of(shape: Shape, *, has_referrer: bool) -> frozenset[Signal]:
    """The signals of a direct click whose parameters have this shape."""
    result = {SIGNALS[name] for name, _, has_value in shape if has_value and name in SIGNALS}
    if has_referrer:  # an `af_ref` that no store hands to the app matches nothing
        result.add(Signal.REFERRER)
    return frozenset(result)


class Coverage:
    """Counts clicks and their signals."""

    def __init__(self) -> None:
        self.clicks = 0
        self.directs = 0
        self.signal_counts = dict.fromkeys(Signal, 0)

    def count_direct(self, click_signals: Iterable[Signal]) -> None:
        """Counts a direct click with its signals."""
        self.clicks += 1
        self.directs += 1
        self.add_signals(click_signals)

    def add_signals(self, new_signals: Iterable[Signal]) -> None:
        """Adds these signals to a direct click that was counted already."""
        for signal in new_signals:
            self.signal_counts[signal] += 1

    def count_pass(self) -> None:
        """Counts a click that passed."""
        self.clicks += 1

    def __str__(self) -> str:
        text = f"direct {self.directs:,} of {self.clicks:,} clicks ({_share(self.directs, self.clicks)})"
        if not self.directs:
            return text
        shares = ", ".join(
            f"{NAMES[signal]} {_share(count, self.directs)}" for signal, count in self.signal_counts.items()
        )
        return f"{text}; AppsFlyer can match on: {shares}"


def _share(part: int, whole: int) -> str:
    """The share in per cent, rounded down, so that only all of them are 100 %."""
    tenths = 1000 * part // whole if whole else 0
    return f"{tenths / 10:.1f}".removesuffix(".0") + " %"
