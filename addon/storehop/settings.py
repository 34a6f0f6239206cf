"""The content of a rule file as data (design §4): its rules and its settings, with every default filled in.

Only types live here, as in `storehop.model`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


class Store(StrEnum):
    """An app store that a rule can name; `auto` is resolved per app id (design §3.1)."""

    AUTO = "auto"
    GOOGLE_PLAY = "google_play"
    APP_STORE = "app_store"
    HUAWEI_APPGALLERY = "huawei_appgallery"
    SAMSUNG_GALAXY_STORE = "samsung_galaxy_store"
    XIAOMI_GETAPPS = "xiaomi_getapps"
    AMAZON_APPSTORE = "amazon_appstore"
    CUSTOM = "custom"


class Mode(StrEnum):
    DIRECT = "direct"
    OBSERVE = "observe"
    OFF = "off"


class Enrich(StrEnum):
    """The parameters that a rule lets us add about the device (design §3.3)."""

    AF_IP = "af_ip"
    AF_UA = "af_ua"
    AF_LANG = "af_lang"
    AF_OS_VERSION = "af_os_version"
    AF_MODEL = "af_model"


class ClientHints(StrEnum):
    """Whether and how urgently we ask browsers for client hints (design §3.3)."""

    OFF = "off"
    ACCEPT = "accept"
    """The browser sends them from its next request on."""
    CRITICAL = "critical"
    """The browser repeats a first click at once, with them."""


class Canary(StrEnum):
    """Whether a rule is watched, and stopped when its direct clicks do harm (design §11)."""

    OFF = "off"
    AUTO = "auto"


class Gdpr(StrEnum):
    """What a link says about the GDPR. A link with `gdpr=0` is neither of the two."""

    APPLIES = "applies"
    UNSAID = "unsaid"


class Limit(StrEnum):
    """A limit that a signal of consent can put on the S2S call, or PASS: the click passes."""

    OMIT_IDS = "omit_ids"
    TRUNCATE_IP = "truncate_ip"
    OMIT_ENRICHMENT = "omit_enrichment"
    PASS = "pass"  # noqa: S105  no password


@dataclass(frozen=True, slots=True)
class Campaign:
    """App Store campaign tokens: provider (`pt`), campaign (`ct`), media type (`mt`)."""

    pt: str | None = None
    ct: str | None = None
    mt: str | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """Conditions on signals of consent, and the limits for a click that fulfils all. Empty or False: no condition."""

    then: frozenset[Limit]
    gdpr: frozenset[Gdpr] = frozenset()
    gdpr_consent_lacks: frozenset[int] = frozenset()
    """TCF purposes: holds where the link's TC string consents to less than all of them."""
    us_privacy: bool = False
    gpp: bool = False
    gpc: bool = False
    params: tuple[tuple[str, re.Pattern[str]], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule does with the clicks that it matches, with the file's defaults filled in (design §4)."""

    name: str
    mode: Mode = Mode.DIRECT
    percent: float = 100.0
    """Share of clicks that go direct, 0 to 100."""
    store: Store = Store.AUTO
    store_url: str | None = None
    """Template of `store: custom`; may hold {app}, {package} and {referrer}."""
    market_link: bool = False
    """Whether Google Play opens by `market://` instead of `https://`."""
    country: str | None = None
    campaign: Campaign = Campaign()
    channel_id: str | None = None
    partner: str = ""
    click_id: tuple[str, ...] = ("clickid",)
    enrich: frozenset[Enrich] = frozenset(Enrich)
    deep_links_to_store: bool = False
    client_hints: ClientHints = ClientHints.ACCEPT
    answers: bool = True
    """Whether we answer requests whose Host is an attribution host; else they pass (design §2)."""
    canary: Canary = Canary.OFF
    consent: tuple[Consent, ...] = ()
    """A click obeys the limits of every case that holds."""
    enrich_names: frozenset[str] = field(init=False, compare=False, repr=False)
    """`enrich` as plain strings: each look-up of an enum's member would hash it in Python code."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "enrich_names", frozenset(name.value for name in self.enrich))

    def __hash__(self) -> int:
        return hash(self.name)  # one of all fields would be made anew for each look-up in a cache


@dataclass(frozen=True, slots=True)
class OneLink:
    """A OneLink template that the rules map to apps; an app id is None where it has none."""

    host: str
    template: str
    android: str | None
    ios: str | None


@dataclass(frozen=True, slots=True)
class HintSettings:
    """How the ad stack's answers ask for client hints, except for clicks whose rule has its own setting."""

    mode: ClientHints = ClientHints.ACCEPT
    wait: float = 0.25
    """Seconds. The S2S call of a first click waits so long for the browser's retry."""
    delegates: tuple[str, ...] = ()
    """Origins of frames that get the hints too."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How we send S2S calls. Durations are seconds."""

    endpoint: str | None = None
    """`scheme://host[:port]` in place of the link's own, for every call."""
    timeout: float = 5.0
    max_age: float = 120.0
    concurrency: int = 64
    """Calls that are sent at the same time: at most, for all workers of a sidecar."""
    retry_ambiguous: bool = True
    """Send again after a failure that leaves open whether AppsFlyer counted the click, such as a read timeout."""
    recovery_rate: float = 50.0
    """Calls a second that recovery sends, after an outage or a restart: at most, for the whole outbox."""
    power_safe: bool = True
    """Whether a stored click survives a power cut (SQLite's synchronous=FULL), not only a crash of the process."""
    proxy: str | None = None
    """`http://host[:port]` of the proxy for every call; `env`: from the environment; None: no proxy."""
    max_outbox: int = 256 * 1024 * 1024
    """Bytes. Above this size of the outbox clicks pass."""
    outbox_replicas: int = 1
    """Of a shared outbox: replicas that must have acknowledged a click. 0: the server itself guarantees it."""
    outbox_wait: float = 0.1
    """Seconds that they may take."""
    outbox_name: str = "storehop"
    """What the keys of a shared outbox begin with: another name is another outbox."""
