"""What an audit comes to. `to_json` is a contract: keys are added, never changed (design §11)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from storehop.audit.plain import iso, plain

OTHERS = "(others)"
"""Stands for all names beyond those that are counted one by one."""


@dataclass(slots=True)
class Counts:
    """Clicks of a rule, an app, a campaign or a media source, as if every rule were direct at 100 %."""

    clicks: int = 0
    direct: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Why the others pass."""
    signals: dict[str, int] = field(default_factory=dict)
    """Direct clicks that AppsFlyer can match on each signal."""
    ip_and_user_agent_only: int = 0
    """Direct clicks that AppsFlyer can match by probability alone: they have no referrer and no device id."""
    drift: dict[str, int] = field(default_factory=dict)
    """Clicks whose redirect by AppsFlyer is recorded, by how it differs from ours."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One click behind a figure, redacted unless `--show-ids`."""

    place: str
    """`access.log:17`."""
    link: str
    words: str
    """Of which device, what would happen to it and why, in a sentence."""
    app: str = ""
    location: str = ""
    """Where its user would go, and the call that AppsFlyer would get: of a direct click."""
    call: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit that somebody set, and whether it holds."""

    name: str
    operator: str
    value: float | None
    """None: these recordings cannot tell. Such a gate does not hold."""
    limit: float
    holds: bool
    why: str = ""
    """What there is to know about the value, in words; mostly nothing."""


@dataclass(frozen=True, slots=True)
class Input:
    """A recording that was read."""

    name: str
    format: str
    sha256: str
    first: float | None
    """Unix seconds of its first exchange that has a time."""
    last: float | None
    lines: int
    unreadable: int
    first_faults: tuple[str, ...] = ()
    """The first broken lines, with their places."""
    is_truncated: bool = False
    cannot_tell: tuple[str, ...] = ()
    """What this format cannot know, in words."""
    knows: tuple[str, ...] = ()
    """What it can know: values of `exchange.Known`."""
    clicks: int = 0
    direct: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A share that is not what it was in the baseline: by two points and beyond chance."""

    what: str
    before: float
    now: float


@dataclass(slots=True)
class Configured:
    """What happens by the rules as they are: mode, percent and stops count."""

    clicks: int = 0
    direct: int = 0
    duplicate: int = 0
    """Clicks that repeat another one of the last ten seconds: the same answer, no second call."""
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """Figures at the top level are as if every rule were direct at 100 %."""

    version: str = ""
    """Of storehop."""
    made_at: float = 0.0
    """Unix seconds."""
    rules_path: str = ""
    rules_digest: str = ""
    inputs: list[Input] = field(default_factory=list)
    not_read: dict[str, str] = field(default_factory=dict)
    """Recordings that could not be read, and why."""
    is_stopped_early: bool = False
    """Somebody pressed Ctrl-C."""
    exchanges: int = 0
    """Lines, entries and flows that could be read."""
    further_hops: int = 0
    """Of these, AppsFlyer's answers to clicks that were met before: no clicks of their own."""
    not_clicks: int = 0
    """Of these, those that lead to no attribution link."""
    unreadable: int = 0
    clicks: int = 0
    direct: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rules: dict[str, Counts] = field(default_factory=dict)
    apps: dict[str, Counts] = field(default_factory=dict)
    campaigns: dict[str, Counts] = field(default_factory=dict)
    sources: dict[str, Counts] = field(default_factory=dict)
    """By `pid`."""
    signals: dict[str, int] = field(default_factory=dict)
    ip_and_user_agent_only: int | None = None
    """As in `Counts`, of all direct clicks. None: nobody counted them."""
    parameters: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of S2S calls: parameter to source of its value to number of direct clicks."""
    never_filled_in: dict[str, int] = field(default_factory=dict)
    never_filled_in_clicks: int = 0
    """Direct clicks with at least one such parameter."""
    longest_url: int = 0
    """Characters of the longest S2S URL."""
    repeated_click_ids: int = 0
    """Clicks whose transaction id another click had before."""
    missing_click_ids: int = 0
    private_addresses: int = 0
    """Clicks that would be direct and whose client address is private: trusted_proxies may be missing."""
    other_networks: dict[str, int] = field(default_factory=dict)
    page_redirects: int = 0
    """Pages that lead to an attribution link by meta refresh, Refresh header or script: no rule can meet them."""
    store_redirects: int = 0
    """Redirects that lead to a store already: a storehop answered them, or the ad stack knows the stores."""
    peak_calls_per_second: int = 0
    p99_calls_per_second: int = 0
    calls_in_an_outage: int = 0
    """S2S calls that came in twice the busiest minute: for so many an outbox must have room when AppsFlyer is away."""
    concurrency: int = 64
    """`delivery.concurrency` of the rules."""
    slot_seconds: int = 60
    """Width of the slots of `per_minute`."""
    per_minute: list[tuple[int, int, int]] = field(default_factory=list)
    """(Unix seconds, clicks, direct) of up to 240 equal slots, for a picture."""
    drift: dict[str, int] = field(default_factory=dict)
    drift_examples: list[Sample] = field(default_factory=list)
    harmless: dict[str, int] = field(default_factory=dict)
    """Differences that are ignored, with the reason in words."""
    not_comparable: dict[str, int] = field(default_factory=dict)
    """Why AppsFlyer's answer can't be compared with ours, in words."""
    hops: int = 0
    """Clicks whose redirect by AppsFlyer is recorded with times."""
    hop_ms_median: float | None = None
    configured: Configured = field(default_factory=Configured)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """Up to three for each figure: by `direct`, the reasons, `never_filled_in`, `private_addresses`, ..."""
    gates: list[Gate] = field(default_factory=list)
    baseline: str = ""
    """Name of the report that this one was compared with."""
    baseline_digest: str = ""
    """Of the rules of that report."""
    changes: list[Change] = field(default_factory=list)
    new_parameters: list[str] = field(default_factory=list)
    """Parameters that no click of the baseline had."""
    cannot_tell: list[str] = field(default_factory=list)
    """What these recordings cannot tell, in words."""

    @property
    def share_direct(self) -> float:
        """Of all clicks, 0 to 1."""
        return self.direct / self.clicks if self.clicks else 0.0

    @property
    def is_passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.holds for gate in self.gates)

    def to_json(self) -> dict[str, Any]:
        """The contract of `audit --json`, fit for `json.dumps`. rules/audit/README.md explains each key."""
        return {
            "storehop": self.version,
            "made_at": iso(self.made_at),
            "rules_path": self.rules_path,
            "rules_digest": self.rules_digest,
            "inputs": [_input(one) for one in self.inputs],
            "not_read": self.not_read,
            "stopped_early": self.is_stopped_early,
            "share_direct": self.share_direct,
            **{name: plain(getattr(self, name)) for name in _AS_THEY_ARE},
            "baseline": plain({name: getattr(self, name) for name in _BASELINE}) if self.baseline else None,
        }


_AS_THEY_ARE = (
    *("clicks", "direct", "reasons", "configured", "rules", "apps", "campaigns", "sources", "signals"),
    *("ip_and_user_agent_only", "parameters", "never_filled_in", "never_filled_in_clicks", "repeated_click_ids"),
    *("missing_click_ids", "private_addresses", "other_networks", "page_redirects", "store_redirects"),
    *(
        "longest_url",
        "exchanges",
        "further_hops",
        "not_clicks",
        "unreadable",
        "peak_calls_per_second",
        "p99_calls_per_second",
        "calls_in_an_outage",
        "concurrency",
    ),
    *(
        "slot_seconds",
        "per_minute",
        "drift",
        "drift_examples",
        "harmless",
        "not_comparable",
        "hops",
        "hop_ms_median",
        "samples",
    ),
    *("cannot_tell", "gates"),
)
"""Keys that have the name and the shape of their field."""
_BASELINE = ("baseline", "baseline_digest", "changes", "new_parameters")


def _input(one: Input) -> dict[str, Any]:
    found: dict[str, Any] = plain(one)
    found["from"], found["to"] = iso(found.pop("first")), iso(found.pop("last"))
    found["truncated"] = found.pop("is_truncated")
    return found
