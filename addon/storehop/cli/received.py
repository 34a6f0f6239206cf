"""What a stand-in for AppsFlyer received: one call read as AppsFlyer would read it, and a tally of all."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

from cachetools import LRUCache

from storehop.decide.link import decoded
from storehop.observe.coverage import NAMES, SIGNALS, Signal

REMEMBERED_IDS = 100_000
"""Click ids that a tally knows again: the last ones."""
MOST_APPS = 1000
"""Apps that a tally counts one by one."""
_SHOWN_APPS = 5


@dataclass(frozen=True)
class ReceivedCall:
    """A request as it came to a stand-in, and the status that it was answered."""

    method: str
    target: str
    """Path and query, as on the wire."""
    headers: tuple[tuple[str, str], ...]
    status: int = 200
    is_doubled: bool = False
    """A call with this click id was taken before."""

    def answered(self, status: int) -> ReceivedCall:
        return replace(self, status=status)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def app(self) -> str:
        """The app id, as it stands in the path."""
        return self.path.rpartition("/")[2]

    @cached_property
    def params(self) -> tuple[tuple[str, str], ...]:
        """Names and values in their order, decoded."""
        segments = self.target.partition("?")[2].split("&")
        pairs = (segment.partition("=") for segment in segments if segment)
        return tuple((decoded(name), decoded(value)) for name, _, value in pairs)

    @property
    def click_id(self) -> str | None:
        """The network's id of the click: `clickid`, else what stands behind the network's name in the referrer."""
        values = dict(self.params)
        return values.get("clickid") or values.get("af_ref", "").rpartition("_")[2] or None

    @property
    def is_s2s(self) -> bool:
        """Whether it asks not to be redirected."""
        return ("redirect", "false") in self.params

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What AppsFlyer can match an install on. The App Store hands no referrer to the app."""
        found = {SIGNALS[name] for name, value in self.params if value and name in SIGNALS}
        if dict(self.params).get("af_ref") and not self._is_for_apple:
            found.add(Signal.REFERRER)
        return tuple(signal for signal in Signal if signal in found)

    @property
    def _is_for_apple(self) -> bool:
        return self.app.startswith("id") and self.app[2:].isdigit()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, in sentences."""
        names = Counter(name for name, _ in self.params)
        found = {
            f"the method is {self.method}: expected GET": self.method != "GET",
            "no app id in the path": not self.app,
            "no pid: AppsFlyer does not know whose click it is": not dict(self.params).get("pid"),
            "no redirect=false: AppsFlyer answers with a redirect, as to a browser": not self.is_s2s,
            f"the click id {self.click_id} came before: AppsFlyer may count the click twice": self.is_doubled,
        }
        twice = (f"{name} is there {count} times" for name, count in names.items() if count > 1)
        return (*(sentence for sentence, is_so in found.items() if is_so), *twice)


def in_words(signals: tuple[Signal, ...]) -> str:
    """For people: `referrer, IP`, or `nothing`."""
    return ", ".join(NAMES[signal] for signal in signals) or "nothing"


def printable(text: str) -> str:
    """Without what a stranger could write to end the line, or to steer a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Tally:
    """Counts calls, and knows a click id that came before. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: LRUCache[tuple[str, str], None] = LRUCache(REMEMBERED_IDS)
        self._calls = self._faulty = 0
        self._apps: Counter[str] = Counter()
        self._signals: Counter[Signal] = Counter()

    def add(self, call: ReceivedCall) -> ReceivedCall:
        """Counts a call. Returns it with what can only be known from those before it.

        A call that came again after it was refused is a retry, as it should be.
        """
        with self._lock:
            if call.click_id:
                key = (call.app, call.click_id)
                call = replace(call, is_doubled=key in self._taken)
                if call.status < 300:  # noqa: PLR2004  RFC 9110 §15.3
                    self._taken[key] = None
            self._calls += 1
            self._faulty += bool(call.problems)
            app = printable(call.app) or "none"
            self._apps[app if app in self._apps or len(self._apps) < MOST_APPS else "others"] += 1
            self._signals.update(call.signals)
        return call

    def __str__(self) -> str:
        if not self._calls:
            return "no S2S call came"
        apps = ", ".join(f"{app} {count:,}" for app, count in self._apps.most_common(_SHOWN_APPS))
        more = f", {len(self._apps) - _SHOWN_APPS} more" if len(self._apps) > _SHOWN_APPS else ""
        signals = ", ".join(f"{NAMES[signal]} {self._signals[signal]:,}" for signal in Signal)
        calls = "1 S2S call" if self._calls == 1 else f"{self._calls:,} S2S calls"
        wrong = f"{self._faulty:,} with something wrong" if self._faulty else "nothing wrong with them"
        return f"{calls}, {wrong}; by app: {apps}{more}; AppsFlyer could match on: {signals}"
