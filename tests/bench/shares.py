"""Where samples of a running storehop belong: the rules of `make profile`, and its tables.

A sample is a stack of the thread that held the interpreter's lock. It belongs to its innermost frame that a rule of
`RULES` knows. A frame of a library (json, h11, cachetools, asyncio's own helpers) has no rule: it counts for who called
it. So the loop has what is left where nobody of ours or mitmproxy's is between it and the end of the stack.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Frame(NamedTuple):
    """A function and its file, as py-spy shortens it: from the outermost package on."""

    function: str
    file: str

    def __str__(self) -> str:
        return f"{self.function} ({self.file})"


LAYERS = "mitmproxy: layers"
SERVER = "mitmproxy: server and hook tasks"
COURIER = "delivery: courier and sender"
TRANSPORT = "delivery: transport"
OUTBOX_THREAD = "delivery: the outbox's thread"
DECISION = "the decision"
LOOP = "asyncio's loop"
HOOKS = "our hooks, flows, hints"
WATCHING = "metrics and log"
HOOK_TABLE = "hook table"
ACCEPT = "duplicates and accept"
REST = "the rest"

RULES = (
    # beginning of "file [function]", and whose it is; the longest one that fits decides
    ("asyncio/base_events.py [BaseEventLoop._run_once]", LOOP),
    ("mitmproxy/", LAYERS),
    ("mitmproxy/proxy/server.py", SERVER),
    ("mitmproxy/proxy/mode_servers.py", SERVER),
    ("mitmproxy/utils/asyncio_utils.py", SERVER),
    ("mitmproxy/hooks.py", HOOK_TABLE),
    ("mitmproxy/proxy/server_hooks.py", HOOK_TABLE),
    ("mitmproxy/addonmanager.py", HOOK_TABLE),
    ("mitmproxy/addons/", HOOK_TABLE),
    ("mitmproxy/master.py", REST),
    ("storehop/", REST),
    ("storehop/background.py", None),  # helpers: they count for who called them
    ("storehop/ids.py", None),
    ("storehop/addresses.py", None),
    ("storehop/durations.py", None),
    ("storehop/model.py", None),
    ("storehop/decide/", DECISION),
    ("storehop/decide/duplicate.py", ACCEPT),
    ("storehop/duplicates.py", ACCEPT),
    ("storehop/handler.py", ACCEPT),
    ("storehop/deliver/", COURIER),
    ("storehop/deliver/wire/", TRANSPORT),
    ("storehop/deliver/batcher.py", OUTBOX_THREAD),
    ("storehop/deliver/debts.py", OUTBOX_THREAD),
    ("storehop/deliver/sqlite/", OUTBOX_THREAD),
    ("storehop/deliver/redis/", OUTBOX_THREAD),
    ("storehop/host/", HOOKS),
    ("storehop/host/layers/", LAYERS),  # ours stand in the place of mitmproxy's
    ("storehop/host/lean/", SERVER),
    ("storehop/host/lean/hooks.py", HOOK_TABLE),
    ("storehop/host/traffic.py", WATCHING),
    ("storehop/observe/", WATCHING),
    ("storehop/canary/", WATCHING),  # it counts clicks
)
ON_A_THREAD = {"storehop/deliver/batcher.py": OUTBOX_THREAD, "storehop/observe/writer.py": WATCHING}
"""The file in which a thread's work begins: all that this thread does is one thing."""
CATEGORIES = (
    LAYERS, SERVER, COURIER, TRANSPORT, OUTBOX_THREAD, DECISION, LOOP, HOOKS, WATCHING, HOOK_TABLE, ACCEPT, REST,
)  # fmt: skip

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+?)(:\d+)?\)")
_BY_LENGTH = sorted(RULES, key=lambda rule: -len(rule[0]))
_THREAD = "Thread._bootstrap"


@dataclass(slots=True)
class Profile:
    """Samples by stack, outermost frame first."""

    samples: Counter[tuple[Frame, ...]]

    @classmethod
    def read(cls, lines: Iterable[str]) -> Profile:
        """py-spy's raw format: frames divided by semicolons, then a blank and how often."""
        samples: Counter[tuple[Frame, ...]] = Counter()
        for line in lines:
            stack, _, number = line.rstrip("\n").rpartition(" ")
            samples[tuple(map(_frame, stack.split(";")))] += int(number)
        return cls(samples)

    @property
    def number(self) -> int:
        return self.samples.total()

    def shares(self) -> dict[str, int]:
        """Samples by category, in the order of CATEGORIES."""
        found: Counter[str] = Counter()
        for stack, number in self.samples.items():
            found[category(stack)] += number
        return {name: found[name] for name in CATEGORIES}

    def own(self) -> Counter[Frame]:
        """Samples by the function that ran."""
        found: Counter[Frame] = Counter()
        for stack, number in self.samples.items():
            found[stack[-1]] += number
        return found

    def inclusive(self) -> Counter[Frame]:
        """Samples by each function that ran or waited for what it had called, from the loop on."""
        found: Counter[Frame] = Counter()
        for stack, number in self.samples.items():
            start = next((at for at, frame in enumerate(stack) if _rule(frame) == LOOP), 0)
            found.update(dict.fromkeys(stack[start:], number))
        return found


def _frame(text: str) -> Frame:
    if found := _FRAME.fullmatch(text):
        return Frame(found["function"], found["file"])
    return Frame(text, "")


def category(stack: tuple[Frame, ...]) -> str:
    """Whose sample this is."""
    if stack[0].function == _THREAD:
        for frame in stack:
            if frame.file in ON_A_THREAD:
                return ON_A_THREAD[frame.file]
    return next(filter(None, map(_rule, reversed(stack))), REST)


def _rule(frame: Frame) -> str | None:
    named = f"{frame.file} [{frame.function}]"
    return next((name for beginning, name in _BY_LENGTH if named.startswith(beginning)), None)


def share_table(profile: Profile, clicks: int, rate: int, cpu_us: float | None) -> str:
    """Of `rate` samples a second during so many whole clicks; in Markdown.

    `cpu_us` is the processor time of a click that nobody watches: the last column divides it by the shares.
    """
    lines = ["| share | samples a click | µs a click | of the unwatched µs | |", "|---|---|---|---|---|"]
    rows = [*profile.shares().items(), ("**together**", profile.number)]
    for name, number in rows:
        share, each = number / max(profile.number, 1), number / clicks
        unwatched = "–" if cpu_us is None else f"{share * cpu_us:,.0f}"
        lines.append(f"| {share:.1%} | {each:.3f} | {each / rate * 1e6:,.0f} | {unwatched} | {name} |")
    return "\n".join(lines)


def function_table(title: str, functions: list[tuple[Frame, int]], profile: Profile, clicks: int, rate: int) -> str:
    """Functions and their share of all samples; in Markdown."""
    lines = [f"| {title} | µs a click | function |", "|---|---|---|"]
    for frame, number in functions:
        lines.append(f"| {number / profile.number:.1%} | {number / clicks / rate * 1e6:,.1f} | {frame} |")
    return "\n".join(lines)
