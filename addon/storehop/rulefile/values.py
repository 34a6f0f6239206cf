"""The values of a rule file's keys, each with its check and its type in the JSON Schema.

A check raises ValueError that says what was expected. Numbers come as text (document.py).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from storehop import durations
from storehop.addresses import LAST_PORT
from storehop.decide.address import Network
from storehop.decide.link import is_app_id
from storehop.decide.rules import is_glob
from storehop.model import Platform
from storehop.rulefile.apps import meant_app
from storehop.settings import Gdpr, Limit

_SIZE = re.compile(r"(\d+)(kB|MB|GB)")
_BYTES = {"kB": 1024, "MB": 1024**2, "GB": 1024**3}
_MAPPED_BITS = 96
"""Bits before the IPv4 address in ::ffff:10.0.0.0."""
_PROXY = re.compile(
    r"env|http://(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([1-9]\d{0,4}))?/?"
)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")


def _bytes(value: Any) -> int:
    size = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if size is None or int(size[1]) * _BYTES[size[2]] < _BYTES["MB"]:
        raise ValueError("expected a size of 1MB or more such as 256MB or 2GB")
    return int(size[1]) * _BYTES[size[2]]


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


def _proxy(value: Any) -> str:
    """No user name or password: people share the file. The environment (`env`) may have them."""
    url = _PROXY.fullmatch(value) if isinstance(value, str) else None
    if url is None or int(url[1] or 0) > LAST_PORT:
        raise ValueError("expected http://host[:port], or env for HTTPS_PROXY and NO_PROXY of the environment")
    return url[0].rstrip("/")


def _network(value: Any) -> Network:
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ValueError(_meant_network(str(value))) from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped and network.prefixlen >= _MAPPED_BITS:  # address.py reads such addresses as IPv4
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
    """A bare `on` is text in YAML 1.2 and true in YAML 1.1. People mean the same."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"on", "off"}:
        return value == "on"
    raise ValueError("expected on or off")


def version_1(value: Any) -> Any:
    """A document's numbers are text (document.py)."""
    if value != "1":
        raise ValueError("expected 1")
    return 1


def off_word(value: Any) -> Any:
    """A bare `off` is false in YAML 1.1, and programs of that version write `false` for it."""
    return "off" if value is False else value


_CHARACTERS = {
    r"[A-Za-z0-9_.-]": "only A-Z a-z 0-9 _ . -",
    r"[A-Za-z0-9]": "only A-Z a-z 0-9",
    r"[\x20-\x7e]": "only ASCII, no control characters",
    r"\d": "only digits",
    r"[a-z]": "only a-z",
}


def like(pattern: str) -> StringConstraints:
    """Text that matches the whole pattern: one of `_CHARACTERS` with its count in braces."""
    return StringConstraints(pattern=f"^{pattern}$")


def in_words(pattern: str) -> str:
    """A pattern of `like` in words: `only A-Z a-z 0-9, 4 to 10 characters`."""
    characters, _, counts = pattern.strip("^$").partition("{")
    least, _, most = counts.rstrip("}").partition(",")
    length = least if not most else f"{least} to {most}"
    return f"{_CHARACTERS[characters]}, {length} characters"


def _typed(check: Any, json_type: dict[str, Any]) -> Any:
    return BeforeValidator(check), WithJsonSchema(json_type)


_DURATION = {"type": "string", "pattern": f"^{durations.PATTERN}$"}

type Duration = Annotated[float, *_typed(durations.parse_duration, _DURATION)]
type OutboxWait = Annotated[float, *_typed(durations.parse_outbox_wait, _DURATION)]
type ShortDuration = Annotated[Duration, Field(le=2)]
type Origin = Annotated[str, *_typed(_origin, {"type": "string", "examples": ["https://ads.network.example"]})]
type Proxy = Annotated[str, *_typed(_proxy, {"type": "string", "pattern": f"^(?:{_PROXY.pattern})$"})]
type Size = Annotated[int, *_typed(_bytes, {"type": "string", "pattern": rf"^{_SIZE.pattern}$"})]
type Host = Annotated[str, *_typed(_host, {"type": "string", "pattern": f"^{_HOST.pattern}$"})]
type NetworkText = Annotated[Network, *_typed(_network, {"type": "string", "examples": ["10.0.0.0/8"]})]
type AppPattern = Annotated[str, *_typed(_app_pattern, {"type": "string"})]
type App = Annotated[str, *_typed(_app, {"type": "string"})]
type Text = Annotated[str, StringConstraints(min_length=1)]
type Name = Annotated[str, like(r"[A-Za-z0-9_.-]{1,64}")]
type Token = Annotated[str, like(r"[A-Za-z0-9_.-]{1,100}")]
type Partner = Annotated[str, like(r"[A-Za-z0-9_.-]{1,91}")]  # with _ and a UUID: 128
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
