"""The system's data, in the order it flows: Click, Rule, Direct or Pass, S2SCall, Outcome.

Only types live here: no behaviour beyond what a type needs to be itself, no I/O, no clock. Names are design §10's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from storehop.settings import ClientHints, Store


class Reason(StrEnum):
    """Why a click passes, in the order of the gates (design §3). A closed list: it labels metrics and logs."""

    NOT_A_CLICK = "not_a_click"
    IMPRESSION = "impression"
    ALREADY_S2S = "already_s2s"
    INVALID_LINK = "invalid_link"
    SHORT_LINK = "short_link"
    UNKNOWN_ONELINK = "unknown_onelink"
    NO_RULE = "no_rule"
    RULE_OFF = "rule_off"
    NO_STORE = "no_store"
    NOT_GET = "not_get"
    PREFETCH = "prefetch"
    NOT_NAVIGATION = "not_navigation"
    NO_USER_AGENT = "no_user_agent"
    BOT = "bot"
    WRONG_PLATFORM = "wrong_platform"
    SIGNED = "signed"
    OTHER_TARGET = "other_target"
    DEEP_LINK = "deep_link"
    RETARGETING = "retargeting"
    CONSENT = "consent"
    TOO_LONG = "too_long"
    STOPPED = "stopped"
    NOT_SAMPLED = "not_sampled"
    OBSERVED = "observed"
    S2S_DOWN = "s2s_down"
    OUTBOX_DOWN = "outbox_down"
    ERROR = "error"


class Platform(StrEnum):
    ANDROID = "android"
    IOS = "ios"
    OTHER = "other"


class Source(StrEnum):
    """Where a parameter's value came from. A closed list: it labels metrics."""

    LINK = "link"
    HEADER = "header"
    HINT = "hint"
    USER_AGENT = "user_agent"
    ADDRESS = "address"
    GENERATED = "generated"
    OMITTED = "omitted"


@dataclass(frozen=True, slots=True)
class Click:
    """What a person did: the link, and what the request around it says about the device."""

    id: str
    """UUIDv7 of this click, made by the host."""
    method: str
    link: str
    """The attribution link, absolute, as written: never decoded."""
    headers: Mapping[str, str]
    """The user's request headers by lower-case name; several lines of one name joined with ", "."""
    peer: str
    """Address of the TCP peer, without port."""
    at_answer: bool = False
    """The request is addressed to an attribution host; else the link is the ad stack's redirect (design §2)."""
    is_believed: bool = True
    """False where the link is a stranger's own word: what it says of the device does not win over what we know."""


class Param(NamedTuple):
    """One parameter of the S2S call and its source; `value` is decoded, for people, and None when it was left out."""

    name: str
    value: str | None
    source: Source
    why: str = ""
    """The header's name, or why the parameter was omitted."""


@dataclass(frozen=True, slots=True)
class S2SCall:
    """One server-to-server click, frozen: a retry is the same bytes whatever the rules say by then."""

    id: str
    """The click's id."""
    origin: str
    """`scheme://host[:port]` that it goes to."""
    target: str
    """Path and query, exactly as they go on the wire."""
    headers: tuple[tuple[str, str], ...]
    rule: str = ""
    """Name of the rule that it came from, for people."""

    @property
    def url(self) -> str:
        """Absolute."""
        return self.origin + self.target


class Likeness(NamedTuple):
    """What makes two clicks one (design §3, Duplicate), without the personal data in it."""

    key: bytes | None
    """Equal for the same click; None where nothing says that two clicks are one person's."""
    hints: str
    """Tells two clicks of the same key apart where both have one and they differ; "" is none."""


@dataclass(frozen=True, slots=True)
class Direct:
    """The user goes to the store, and the call is delivered."""

    rule: str
    app: str
    platform: Platform
    store: Store
    referrer: str | None
    location: str
    call: S2SCall
    params: Sequence[Param]
    likeness: Likeness
    client_hints: ClientHints = ClientHints.OFF
    """What the answer asks the browser for."""
    unfilled: tuple[str, ...] = ()
    """Parameters that we replaced or dropped since nobody had filled them in; a click id's is `click_id`."""
    repeats: str = ""
    """The id of the click that this one repeats: it is the same answer's, and no call of its own is delivered."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The user gets the original link, and nothing is sent. What was known by then is kept for `explain`."""

    reason: Reason
    rule: str | None = None
    app: str | None = None
    platform: Platform | None = None
    store: Store | None = None
    why: str = ""
    """What led to the reason, where the reason alone does not say it."""


type Decision = Direct | Pass


class Fault(StrEnum):
    """What went wrong with an S2S call that got no usable answer."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    READ_TIMEOUT = "read_timeout"
    RESET = "reset"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class Reply:
    """AppsFlyer answered."""

    status: int
    retry_after: str | None = None
    """The Retry-After header as it came (RFC 9110 §10.2.3)."""
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), compare=False)
    """As they came, for whoever looks."""


@dataclass(frozen=True, slots=True)
class Failure:
    """AppsFlyer did not answer."""

    fault: Fault
    maybe_sent: bool
    """True when the click may have been counted: the request could have arrived."""
    cause: str = field(default="", compare=False)  # for people, if nothing was sent: `Name or service not known`


type Outcome = Reply | Failure


class DeadReason(StrEnum):
    """Why a stored call is given up. A closed list."""

    REJECTED = "rejected"
    REDIRECT_NOT_HONOURED = "redirect_not_honoured"
    TOO_OLD = "too_old"
    AMBIGUOUS = "ambiguous"
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True)
class Delivered:
    """AppsFlyer took it."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """To be sent again."""

    seconds: float
    is_spent: bool = True
    """False gives the attempt back: it was put off before anything was sent."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up."""

    reason: DeadReason


type Verdict = Delivered | RetryIn | Dead


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one attempt at a call."""

    call: S2SCall
    outcome: Outcome | None
    """None where nothing was sent."""
    verdict: Verdict
    attempt: int
    age: float
    """Seconds since the click was stored."""


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What stands in the outbox."""

    pending: int
    dead: int
    oldest_s: float | None
    """Age of the oldest pending click."""
