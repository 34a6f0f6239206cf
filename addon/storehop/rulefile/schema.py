"""The shape of a rule file, key by key. The single source of the checks, of the JSON Schema and of its help.

Only what one key says on its own is checked here; what keys say together is in checks.py.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from storehop.decide.address import Network
from storehop.decide.link import is_app_id
from storehop.decide.rules import DEFAULT_HOSTS, is_glob
from storehop.model import ClientHints, Enrich, Gdpr, Limit, Mode, Platform, Store
from storehop.rulefile.apps import meant_app

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)(kB|MB|GB)")
_BYTES = {"kB": 1024, "MB": 1024**2, "GB": 1024**3}
_MAPPED_BITS = 96
"""Bits before the IPv4 address in ::ffff:10.0.0.0."""
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")


def parse_duration(value: Any) -> float:
    """Seconds of `250ms`, `5s`, `2m` or `1h`. Raises ValueError that says what was expected."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found[1]) == 0:
        raise ValueError("expected a duration above zero such as 250ms, 5s or 2m")
    return float(found[1]) * _SECONDS[found[2]]


def _bytes(value: Any) -> int:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) * _BYTES[found[2]] < _BYTES["MB"]:
        raise ValueError("expected a size of 1MB or more such as 256MB or 2GB")
    return int(found[1]) * _BYTES[found[2]]


def _one_or_many(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError("expected text or a list of texts: put it in quotes")  # noqa: TRY004  pydantic's way
    return [value] if isinstance(value, str) else value


def _host(value: Any) -> str:
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise ValueError("expected a host name in lower case, without scheme, port and path")
    return value


def _origin(value: Any) -> str:
    scheme, _, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
    host, colon, port = rest.partition(":")
    if scheme != "https" or not _HOST.fullmatch(host) or (colon and not re.fullmatch(r"[1-9]\d{0,4}", port)):
        raise ValueError("expected an origin such as https://ads.network.example, without a path")
    return f"{scheme}://{rest}"


def _network(value: Any) -> Network:
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ValueError(_meant_network(str(value))) from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped and network.prefixlen >= _MAPPED_BITS:  # an address like that is read as IPv4, too
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _meant_network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return "expected a network such as 10.0.0.0/8, or an address"
    address = text.partition("/")[0]
    return f"has bits behind its /{network.prefixlen}: expected {network}, or {address} for the one address"


def _app_pattern(value: Any) -> str:
    if isinstance(value, str) and (is_glob(value) or is_app_id(value)):
        return value
    kinds = "an app id (id123456789, com.example.game, com.example.game-channel) or a glob"
    raise ValueError(f"expected {meant_app(value) or kinds}")


def _app(value: Any) -> str:
    if isinstance(value, str) and is_app_id(value):
        return value
    raise ValueError(f"expected {meant_app(value) or 'an app id such as id123456789 or com.example.game'}")


def _true(value: Any) -> Any:
    if value is not True:
        raise ValueError("expected true")
    return value


def _switch(value: Any) -> bool:
    """YAML 1.2 reads a bare on as text, YAML 1.1 as true: people mean the same."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"on", "off"}:
        return value == "on"
    raise ValueError("expected on or off")


def _version(value: Any) -> Any:
    """A document's numbers are text (document.py)."""
    if value != "1":
        raise ValueError("expected 1")
    return 1


def _off(value: Any) -> Any:
    """A bare off is false in YAML 1.1, and programs that read and write it make that of it."""
    return "off" if value is False else value


_CHARACTERS = {
    r"[A-Za-z0-9_.-]": "only A-Z a-z 0-9 _ . -",
    r"[A-Za-z0-9]": "only A-Z a-z 0-9",
    r"[\x20-\x7e]": "only ASCII, no control characters",
    r"\d": "only digits",
    r"[a-z]": "only a-z",
}


def _like(pattern: str) -> StringConstraints:
    return StringConstraints(pattern=f"^{pattern}$")


def in_words(pattern: str) -> str:
    """What a pattern of `_like` allows: `only A-Z a-z 0-9, 4 to 10 characters`."""
    characters, _, counts = pattern.strip("^$").partition("{")
    least, _, most = counts.rstrip("}").partition(",")
    length = least if not most else f"{least} to {most}"
    return f"{_CHARACTERS[characters]}, {length} characters"


def _typed(check: Any, json_type: dict[str, Any]) -> Any:
    return BeforeValidator(check), WithJsonSchema(json_type)


type Duration = Annotated[float, *_typed(parse_duration, {"type": "string", "pattern": rf"^{_DURATION.pattern}$"})]
type ShortDuration = Annotated[Duration, Field(le=2)]
type Origin = Annotated[str, *_typed(_origin, {"type": "string", "examples": ["https://ads.network.example"]})]
type Size = Annotated[int, *_typed(_bytes, {"type": "string", "pattern": rf"^{_SIZE.pattern}$"})]
type Host = Annotated[str, *_typed(_host, {"type": "string", "pattern": f"^{_HOST.pattern}$"})]
type NetworkText = Annotated[Network, *_typed(_network, {"type": "string", "examples": ["10.0.0.0/8"]})]
type AppPattern = Annotated[str, *_typed(_app_pattern, {"type": "string"})]
type App = Annotated[str, *_typed(_app, {"type": "string"})]
type Text = Annotated[str, StringConstraints(min_length=1)]
type Name = Annotated[str, _like(r"[A-Za-z0-9_.-]{1,64}")]
type Token = Annotated[str, _like(r"[A-Za-z0-9_.-]{1,100}")]
type Partner = Annotated[str, _like(r"[A-Za-z0-9_.-]{1,91}")]  # with _ and a UUID: 128
type Texts = Annotated[
    list[Text],
    Field(min_length=1),
    BeforeValidator(_one_or_many, json_schema_input_type=str | list[str]),
]
type AppPatterns = Annotated[
    list[AppPattern],
    Field(min_length=1),
    BeforeValidator(_one_or_many, json_schema_input_type=str | list[str]),
]
type Platforms = Annotated[
    list[Platform],
    Field(min_length=1),
    BeforeValidator(_one_or_many, json_schema_input_type=Platform | list[Platform]),
]
type Gdprs = Annotated[
    list[Gdpr],
    Field(min_length=1),
    BeforeValidator(_one_or_many, json_schema_input_type=Gdpr | list[Gdpr]),
]
type Limits = Annotated[
    list[Limit],
    Field(min_length=1),
    BeforeValidator(_one_or_many, json_schema_input_type=Limit | list[Limit]),
]
type Purpose = Annotated[int, Field(ge=1, le=11)]
type Switch = Annotated[bool, *_typed(_switch, {"enum": ["on", "off", True, False]})]
type Yes = Annotated[bool, *_typed(_true, {"type": "boolean", "const": True})]


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
    timeout: Duration = 5.0
    """How long one S2S call may take."""
    max_age: Duration = 120.0
    """A click is worth nothing later."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 64
    """S2S calls at the same time."""
    retry_ambiguous: bool = True
    """Send again what may have been counted already, such as after a read timeout."""
    recovery_rate: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """Stored calls a second that are sent again, at most."""
    durability: Literal["power", "process"] = "power"
    """power: a stored click survives a power cut; process: only a crash of the process. Counts from the start."""
    max_outbox: Size = 256 * 1024**2
    """Size of the outbox above which clicks pass. Counts from the start."""


class OneLinkSection(_Section):
    host: Host
    """brand.onelink.me, or the branded domain."""
    template: Annotated[str, _like(r"[A-Za-z0-9]{4,10}")]
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
    ct: Annotated[str, _like(r"[\x20-\x7e]{1,40}")] | None = None
    """App Store campaign token."""
    mt: Annotated[str, _like(r"\d{1,3}")] | None = None
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
    mode: Annotated[Mode, BeforeValidator(_off)] = Mode.DIRECT
    """direct; observe: decide and say so, but let the click pass; off: let it pass."""
    percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    """Share of the clicks that go direct, stable per click."""
    store: Store = Store.AUTO
    """auto: id… is the App Store, a plain package is Google Play."""
    store_url: str | None = None
    """Template of `store: custom`; {app}, {package} and {referrer} are filled in."""
    link: Literal["https", "market"] = "https"
    """market: open Google Play by market:// instead of https://."""
    country: Annotated[str, _like(r"[a-z]{2}")] | None = None
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
    client_hints: Annotated[ClientHints, BeforeValidator(_off)] | None = None
    """In place of the file's client_hints, for this rule's direct clicks."""
    answer: Switch | None = None
    """In place of the file's answer, for this rule's clicks."""
    consent: list[ConsentSection] = []
    """What signals of consent lead to. All cases that hold count together."""


class RuleFile(_Section):
    version: Annotated[Literal[1], BeforeValidator(_version)]
    """Version of this format: 1."""
    partner: Partner | None = None
    """Referrer prefix: PARTNER_<transaction>. AppsFlyer wants the partner's name."""
    click_id: Texts = ["clickid"]
    """Link parameters that hold the transaction id; the first present one wins."""
    hosts: list[Host] = sorted(DEFAULT_HOSTS)
    """Hosts of single-platform attribution links. *.onelink.me is known anyway."""
    client_ip: ClientIpSection = ClientIpSection()
    """Where the client's address comes from."""
    client_hints: Annotated[ClientHints, BeforeValidator(_off)] = ClientHints.ACCEPT
    """accept: ask browsers for model and OS version with the next request; critical: with this one, again; off."""
    hints_wait: ShortDuration = 0.25
    """How long the S2S call of a first click waits for the browser's retry, 2s at most."""
    hints_delegate: list[Origin] = []
    """Origins of ad frames that get the hints too."""
    answer: Switch = True
    """off: requests that are addressed to an attribution host itself pass."""
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
