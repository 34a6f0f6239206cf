"""The server-to-server click (design §3.2): the link's own bytes, plus what we know, plus `redirect=false`.

Original parameters stay byte for byte and in order, except those that are replaced. No name is sent twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple

from storehop.decide import address, device
from storehop.decide.device import Device, Fact
from storehop.decide.link import Link, encoded, is_absent, is_clean
from storehop.model import Click, Enrich, Param, Rule, S2SCall, Source

MAX_URL = 2000
"""Characters of a whole click URL (appsflyer-clicks.md §2.5)."""

SHED_ORDER = ("af_lang", "af_model", "af_os_version")
"""What goes first when the URL is too long. Ids and the referrer are never shed."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_ANDROID_IDS = frozenset({"android_id", "sha1_android_id", "md5_android_id"})
DEVICE_IDS = _ANDROID_IDS | {
    f"{hash_}{name}"
    for hash_ in ("", "sha1_", "md5_")
    for name in ("advertising_id", "idfa", "idfv", "oaid", "imei", "fire_advertising_id")
}
_NOTABLE = DEVICE_IDS | {name.value for name in Enrich} | {"af_ref", "redirect"}
"""Parameters of a link that may not stay as they are."""
_REDIRECT = Param("redirect", "false", Source.GENERATED, "marks a server-to-server click")
_HEADERS = (("Accept", "*/*"), ("Content-Type", "application/json"))


class Subject(NamedTuple):
    """A click that will go direct, with what was found out about it on the way through the gates."""

    click: Click
    link: Link
    rule: Rule
    device: Device
    client_ip: address.Address | None


def build(
    subject: Subject,
    referrer: Param | None,
    endpoint: str | None,
) -> tuple[S2SCall, tuple[Param, ...]] | None:
    """The call and every parameter's source; None where it stays longer than 2,000 characters.

    `referrer` is `af_ref`, where the store takes one.
    """
    ours = _ours(subject, referrer)
    kept, shown = _kept(subject.link, ours)
    base = f"{endpoint or 'https://' + subject.link.host}{subject.link.path}?"
    shed: list[str] = []
    added = [param for param in ours.values() if param.value is not None and param.source is not Source.LINK]
    while len(url := base + _query(kept, added)) > MAX_URL:
        name = next((name for name in SHED_ORDER if any(param.name == name for param in added)), None)
        if name is None:
            return None
        added = [param for param in added if param.name != name]
        shed.append(name)
    ours.update((name, Param(name, None, Source.OMITTED, "no room in 2,000 characters")) for name in shed)
    params = (*shown, *ours.values(), _REDIRECT)
    return S2SCall(subject.click.id, url, _headers(subject, ours), subject.rule.name), params


def _query(kept: list[str], added: list[Param]) -> str:
    ours = [f"{param.name}={encoded(param.value or '')}" for param in added]
    return "&".join([*kept, *ours, "redirect=false"])


def _ours(subject: Subject, referrer: Param | None) -> dict[str, Param]:
    """Our parameters in the order in which they are added. One with Source.LINK stays where the link has it."""
    enrich, link, headers = subject.rule.enrich_names, subject.link, subject.click.headers
    user_agent = headers.get("user-agent", "")
    ours = {"af_ref": referrer} if referrer else {}
    if "af_ip" in enrich:
        ours["af_ip"] = _from_link(link, "af_ip") or _about_address(subject.client_ip)
    own_ua = _from_link(link, "af_ua")
    is_other = own_ua is not None and own_ua.value != user_agent
    # Where the link speaks of another browser than the one that clicked, its hints say nothing about that one.
    hints = (None, None) if is_other else tuple(map(headers.get, device.HINT_HEADERS))
    reader = own_ua.value if own_ua and own_ua.value else user_agent
    for param in _about_device(enrich, user_agent, reader, headers.get("accept-language"), hints):
        ours[param.name] = _from_link(link, param.name) or param
    return ours


@lru_cache(maxsize=8192)
def _about_device(
    enrich: frozenset[str],
    user_agent: str,
    reader: str,
    language: str | None,
    hints: tuple[str | None, ...],
) -> tuple[Param, ...]:
    """What a rule wants to say about a device, in order: the same for every click of a device.

    `reader` is the User-Agent that version and model are read from.
    """
    known = device.read(reader)
    headers = {name: value for name, value in zip(device.HINT_HEADERS, hints, strict=True) if value is not None}
    facts = (
        ("af_ua", Fact(user_agent, Source.HEADER, "User-Agent")),
        ("af_lang", device.language({} if language is None else {"accept-language": language})),
        ("af_os_version", device.os_version(known, headers)),
        ("af_model", device.model(known, headers)),
    )
    return tuple(Param(name, *fact) for name, fact in facts if name in enrich)


def _from_link(link: Link, name: str) -> Param | None:
    """The link's own real value, which wins over ours; one with control characters counts as absent."""
    if name not in link.values:
        return None
    value = link.real(name)
    return Param(name, value, Source.LINK) if value is not None and is_clean(value) else None


@lru_cache(maxsize=8192)
def _about_address(client_ip: address.Address | None) -> Param:
    if client_ip is None:
        return Param("af_ip", None, Source.OMITTED, "no client address")
    if not address.is_public(client_ip):
        return Param("af_ip", None, Source.OMITTED, "not a public address")
    return Param("af_ip", str(client_ip), Source.ADDRESS, "client address")


def _kept(link: Link, replaced: Container[str]) -> tuple[list[str], list[Param]]:
    """The link's segments that stay, byte for byte, and all of the link's parameters for `explain`."""
    if _NOTABLE.isdisjoint(link.values):
        shown = [Param(name, value, Source.LINK) for name, value, segment in link.params if segment]
        return [link.query] if link.query else [], shown
    kept: list[str] = []
    shown = []
    seen: set[str] = set()
    for name, value, segment in link.params:
        if name == "redirect":
            continue
        if name in replaced:
            if name not in seen and link.real(name) == value and is_clean(value):
                kept.append(segment)
                seen.add(name)
        elif why := _unusable_id(link, name, value):
            shown.append(Param(name, None, Source.OMITTED, why))
        elif name == "android_id":
            if name in seen:
                continue
            seen.add(name)
            kept.append(hashed := f"sha1_android_id={_sha1(value)}")
            shown.append(Param("sha1_android_id", hashed.partition("=")[2], Source.LINK, "SHA-1 of android_id"))
        else:
            kept.append(segment)
            if segment:
                shown.append(Param(name, value, Source.LINK))
    return kept, shown


def _unusable_id(link: Link, name: str, value: str) -> str:
    """Why this device id is left out (design §3.2), or "" where it stays."""
    if name not in DEVICE_IDS:
        return ""
    if is_absent(value):
        return "empty, zeroed or an unexpanded macro"
    if name in _ANDROID_IDS and _has_advertising_id(link):
        return "the link has an advertising id"
    if name == "android_id" and link.real("sha1_android_id"):
        return "the link has its SHA-1"
    return ""


def _has_advertising_id(link: Link) -> bool:
    plain, hashed = link.real("advertising_id"), link.real("sha1_advertising_id")
    return bool((plain and _UUID.fullmatch(plain)) or (hashed and _SHA1.fullmatch(hashed)))


def _sha1(value: str) -> str:
    """SHA-1 of the id as written; one that is a SHA-1 already is never hashed twice."""
    if _SHA1.fullmatch(value):
        return value
    return hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()


def _headers(subject: Subject, ours: dict[str, Param]) -> tuple[tuple[str, str], ...]:
    """The call's headers: `User-Agent` equals the decoded `af_ua`, `X-Forwarded-For` equals `af_ip`."""
    headers = subject.click.headers
    result = [("User-Agent", _sent("af_ua", subject.link, ours) or headers["user-agent"]), *_HEADERS]
    ip = _sent("af_ip", subject.link, ours)
    if ip and address.parse(ip):
        result.append(("X-Forwarded-For", ip))
    language = headers.get("accept-language", "")
    if language and len(language) <= device.MAX_HEADER and is_clean(language):
        result.append(("Accept-Language", language))
    return tuple(result)


def _sent(name: str, link: Link, ours: dict[str, Param]) -> str | None:
    """The value with which this parameter goes out, decoded: the link's own also where the rule adds none."""
    param = ours.get(name) or _from_link(link, name)
    return param.value if param else None
