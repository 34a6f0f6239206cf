"""What we say of a device and an address, in each form that a call needs: made once, not for every click.

The values are those of design §3.3: the truth or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from storehop.decide import device
from storehop.decide.address import Host
from storehop.decide.device import Fact
from storehop.decide.link import encoded, is_clean, may_be_cached
from storehop.decide.params import Shape, shape_of
from storehop.model import Param, Source

type Headers = tuple[tuple[str, str], ...]

HEADERS: Headers = (("Accept", "*/*"), ("Content-Type", "application/json"))
"""Of every call, behind its User-Agent."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """Some parameters of ours, as they stand in the call's query (`&name=value`) and its headers."""

    params: tuple[Param, ...]
    query: str
    headers: Headers
    shape: Shape


NOTHING = Said((), "", (), ())


def _said(params: tuple[Param, ...], headers: Headers) -> Said:
    query = "".join([f"&{param.name}={encoded(param.value)}" for param in params if param.value is not None])
    return Said(params, query, headers, shape_of(params))


def of_device(enrich: frozenset[str], headers: Mapping[str, str], device_ua: str, language: Fact) -> Said:
    """The device's parameters that `enrich` names, in order. Version and model come from `device_ua` and hints.

    The hints are those of the browser that clicked. They say nothing about another browser that the link names.
    """
    user_agent = headers.get("user-agent", "")
    hints = _hints(headers) if device_ua == user_agent else _NO_HINTS
    is_usual = may_be_cached(user_agent) and (device_ua is user_agent or may_be_cached(device_ua))
    return (_of_device_cached if is_usual else _of_device)(enrich, user_agent, device_ua, language, hints)


_NO_HINTS = (None,) * len(device.HINT_HEADERS)


def _hints(headers: Mapping[str, str]) -> tuple[str | None, ...]:
    version, model, platform = map(headers.get, device.HINT_HEADERS)
    if version or model or platform:
        return _hint(version), _hint(model), _hint(platform)
    return _NO_HINTS


def _hint(header: str | None) -> str | None:
    return header if header and len(header) <= device.MAX_HEADER_CHARACTERS and header.isascii() else None


def _of_device(
    enrich: frozenset[str], user_agent: str, device_ua: str, language: Fact, hints: tuple[str | None, ...]
) -> Said:
    user_device = device.read(device_ua)
    headers = {name: value for name, value in zip(device.HINT_HEADERS, hints, strict=True) if value is not None}
    facts = (
        ("af_ua", Fact(user_agent, Source.HEADER, "User-Agent")),
        ("af_lang", language),
        ("af_os_version", device.os_version(user_device, headers)),
        ("af_model", device.model(user_device, headers)),
    )
    params = tuple([Param(name, *fact) for name, fact in facts if name in enrich])
    return _said(params, (("User-Agent", user_agent), *HEADERS))


_of_device_cached = lru_cache(maxsize=8192)(_of_device)
"""Every click of a device gets the same parameters."""


@lru_cache(maxsize=8192)
def of_address(host: Host | None) -> Said:
    """`af_ip`: the client's address, where it is a public one."""
    if host is None:
        return _NO_ADDRESS
    if not host.is_public:
        return _NO_PUBLIC_ADDRESS
    param = Param("af_ip", host.text, Source.ADDRESS, "client address")
    return Said((param,), f"&af_ip={encoded(host.text)}", (("X-Forwarded-For", host.text),), _ADDRESS_SHAPE)


_NO_ADDRESS = _said((Param("af_ip", None, Source.OMITTED, "no client address"),), ())
_NO_PUBLIC_ADDRESS = _said((Param("af_ip", None, Source.OMITTED, "not a public address"),), ())
_ADDRESS_SHAPE: Shape = (("af_ip", Source.ADDRESS.value, True),)


def of_language(headers: Mapping[str, str]) -> tuple[Fact, Headers]:
    """(`af_lang`, the header that the call repeats: none where it is no text)."""
    header = headers.get("accept-language", "")
    return (_cached_language if len(header) <= device.MAX_HEADER_CHARACTERS and header.isascii() else _language)(header)


def _language(header: str) -> tuple[Fact, Headers]:
    is_said = header and len(header) <= device.MAX_HEADER_CHARACTERS and is_clean(header)
    return device.language_of(header), ((("Accept-Language", header),) if is_said else ())


_cached_language = lru_cache(maxsize=2048)(_language)
