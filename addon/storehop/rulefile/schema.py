"""The shape of a rule file, key by key. The single source of the checks, of the JSON Schema and of its help.

Here we check each key on its own; checks.py checks keys that depend on each other.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from storehop.decide.rules import DEFAULT_HOSTS
from storehop.rulefile.values import (
    App,
    AppPatterns,
    Duration,
    Gdprs,
    Host,
    Limits,
    Name,
    NetworkText,
    Origin,
    OutboxWait,
    Partner,
    Platforms,
    Proxy,
    Purpose,
    ShortDuration,
    Size,
    Switch,
    Text,
    Texts,
    Token,
    Yes,
    like,
    off_word,
    version_1,
)
from storehop.settings import Canary, ClientHints, Enrich, Mode, Store


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ClientIpSection(_Section):
    trusted_proxies: list[NetworkText] = []
    """Networks of your own proxies and load balancers. Only what they say about the client is believed."""
    header: Name = "X-Forwarded-For"
    """The one header they say it in: X-Forwarded-For, Forwarded, or one such as CF-Connecting-IP."""


class DeliverySection(_Section):
    endpoint: str | None = None
    """scheme://host[:port] in place of the link's own, for every S2S call: staging and tests."""
    allow_plain_http: bool = False
    """Accept an http endpoint beyond loopback."""
    proxy: Proxy | None = None
    """http://host[:port] through which every S2S call leaves; env: HTTPS_PROXY and NO_PROXY of the environment."""
    timeout: Duration = 5.0
    """How long one S2S call may take."""
    max_age: Duration = 120.0
    """A click is worth nothing later."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 64
    """Calls that are sent at the same time: at most, for all workers of a sidecar."""
    retry_ambiguous: bool = True
    """Send again what may have been counted already, such as after a read timeout."""
    recovery_rate: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """Calls a second that recovery sends, after an outage or a restart: at most, for the whole outbox."""
    durability: Literal["power", "process"] = "power"
    """power: a stored click survives a power cut; process: only a crash of the process. Counts from the start."""
    max_outbox: Size = 256 * 1024**2
    """Size of the outbox above which clicks pass. Counts from the start."""
    outbox_replicas: Annotated[int, Field(ge=0, le=5)] = 1
    """Of a shared outbox: replicas that must have a click before it is answered; 0: none. Counts from the start."""
    outbox_wait: OutboxWait = 0.1
    """How long they may take, 1ms to 250ms; then the click passes. Counts from the start."""
    outbox_name: Name = "storehop"
    """Names one outbox of those that share a server: all hosts of a fleet say the same. Counts from the start."""


class OneLinkSection(_Section):
    host: Host
    """brand.onelink.me, or the branded domain."""
    template: Annotated[str, like(r"[A-Za-z0-9]{4,10}")]
    """The template id: the first part of the link's path."""
    android: App | None = None
    """The app that the template opens on Android."""
    ios: App | None = None
    """The app that the template opens on iOS."""


class MatchSection(_Section):
    app: AppPatterns | None = None
    """App id, glob, or a list of them."""
    app_file: Texts | None = None
    """A file of exact app ids, one a line, `#` begins a comment; relative to this file."""
    pid: Texts | None = None
    """Media source: exact, glob, or a list."""
    host: Texts | None = None
    """The link's host: exact, glob, or a list."""
    platform: Platforms | None = None
    """android, ios or other."""
    param: dict[Text, Texts] = {}
    """Any parameter of the link: name to exact value, glob, or a list."""


class CampaignSection(_Section):
    pt: Token | None = None
    """App Store provider token."""
    ct: Annotated[str, like(r"[\x20-\x7e]{1,40}")] | None = None
    """App Store campaign token."""
    mt: Annotated[str, like(r"\d{1,3}")] | None = None
    """App Store media type; 8 is apps."""


class ConsentWhenSection(_Section):
    gdpr: Gdprs | None = None
    """applies: gdpr=1, or a TC string without gdpr; unsaid: the link has neither; a list: one of them."""
    gdpr_consent_lacks: Annotated[list[Purpose], Field(min_length=1)] | None = None
    """TCF purposes: gdpr_consent is missing, unreadable, or consents to less. Implies gdpr: applies."""
    us_privacy: Literal["opted_out"] | None = None
    """opted_out: us_privacy=1?Y?, or one that can't be read."""
    gpp: Literal["present"] | None = None
    """present: there is a gpp, or a gpp_sid other than -1. They are not decoded."""
    gpc: Yes | None = None
    """true: the browser sent Sec-GPC: 1."""
    param: dict[Text, Texts] = {}
    """Any parameter of the link: name to exact value, glob, or a list."""


class ConsentSection(_Section):
    when: ConsentWhenSection
    """Signals that must all hold; {} is always."""
    then: Limits
    """omit_ids, truncate_ip, omit_enrichment, pass, or a list."""


class RuleSection(_Section):
    name: Name
    """Unique; it labels metrics and logs."""
    match: MatchSection
    """All conditions must hold. The first rule that matches decides."""
    mode: Annotated[Mode, BeforeValidator(off_word)] = Mode.DIRECT
    """direct; observe: decide and say so, but let the click pass; off: let it pass."""
    percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    """Share of the clicks that go direct, stable per click."""
    store: Store = Store.AUTO
    """auto: id… is the App Store, a plain package is Google Play."""
    store_url: str | None = None
    """Template of `store: custom`; {app}, {package} and {referrer} are filled in."""
    link: Literal["https", "market"] = "https"
    """market: open Google Play by market:// instead of https://."""
    country: Annotated[str, like(r"[a-z]{2}")] | None = None
    """App Store country, two lower-case letters."""
    campaign: CampaignSection = CampaignSection()
    """App Store campaign tokens."""
    channel_id: Token | None = None
    """Huawei AppGallery channel."""
    partner: Partner | None = None
    """Referrer prefix of this rule's clicks."""
    click_id: Texts | None = None
    """Link parameters of this rule's clicks that hold the transaction id."""
    enrich: list[Enrich] = list(Enrich)
    """What to say about the device; [] says nothing."""
    deep_links: Literal["pass", "store"] = "pass"
    """store: send deep links and retargeting clicks to the store too."""
    client_hints: Annotated[ClientHints, BeforeValidator(off_word)] | None = None
    """In place of the file's client_hints, for this rule's direct clicks."""
    answer: Switch | None = None
    """In place of the file's answer, for this rule's clicks."""
    canary: Annotated[Canary, BeforeValidator(off_word)] | None = None
    """In place of the file's canary, for this rule's clicks."""
    consent: list[ConsentSection] = []
    """What signals of consent lead to. All cases that hold count together."""


class RuleFile(_Section):
    version: Annotated[Literal[1], BeforeValidator(version_1)]
    """Version of this format: 1."""
    partner: Partner | None = None
    """Referrer prefix: PARTNER_<transaction>. AppsFlyer wants the partner's name."""
    click_id: Texts = ["clickid"]
    """Link parameters that hold the transaction id; the first present one wins."""
    hosts: list[Host] = sorted(DEFAULT_HOSTS)
    """Hosts of single-platform attribution links. *.onelink.me is known anyway."""
    client_ip: ClientIpSection = ClientIpSection()
    """Where the client's address comes from."""
    client_hints: Annotated[ClientHints, BeforeValidator(off_word)] = ClientHints.ACCEPT
    """accept: ask browsers for model and OS version with the next request; critical: with this one, again; off."""
    hints_wait: ShortDuration = 0.25
    """How long the S2S call of a first click waits for the browser's retry, 2s at most."""
    hints_delegate: list[Origin] = []
    """Origins of ad frames that get the hints too."""
    answer: Switch = True
    """off: requests that are addressed to an attribution host itself pass."""
    canary: Annotated[Canary, BeforeValidator(off_word)] = Canary.OFF
    """auto: watch the direct clicks of each rule, and stop a rule whose clicks do harm; off."""
    delivery: DeliverySection = DeliverySection()
    """How S2S calls are sent."""
    onelinks: list[OneLinkSection] = []
    """OneLink templates and the apps they stand for."""
    rules: list[RuleSection] = []
    """First match wins."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a rule file, for editors."""
    schema = RuleFile.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "storehop rules"
    return schema
