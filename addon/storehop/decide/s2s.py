"""The server-to-server click (design §3.2): the link's own bytes, plus what we know, plus `redirect=false`.

Original parameters stay byte for byte and in order, except those that are replaced. No name is sent twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from storehop.decide import address, device
from storehop.decide.device import Device, Fact
from storehop.decide.link import Link, encoded, is_clean, may_be_kept
from storehop.decide.own_words import EMPTY, NEVER_FILLED_IN, NO_TEXT, OURS, Said, own_words
from storehop.decide.unfilled import is_absent, is_unfilled
from storehop.model import Click, Param, S2SCall, Source
from storehop.settings import Rule

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
_NOTABLE = DEVICE_IDS | frozenset(OURS) | {"redirect"}
"""Parameters of a link that may not stay as they are."""
_REDIRECT = Param("redirect", "false", Source.GENERATED, "marks a server-to-server click")
_HEADERS = (("Accept", "*/*"), ("Content-Type", "application/json"))
_BROWSER_ENCODES = str.maketrans({'"': "%22", "<": "%3C", ">": "%3E"})
"""What browsers encode in a query (WHATWG URL, query percent-encode set) and links hold as it is."""


class Subject(NamedTuple):
    """A click that will go direct, with what was found out about it on the way through the gates."""

    click: Click
    link: Link
    rule: Rule
    device: Device
    client_ip: address.Address | None


class Built(NamedTuple):
    """The call, every parameter's value and source, and the names of those that nobody had filled in."""

    call: S2SCall
    params: tuple[Param, ...]
    unfilled: tuple[str, ...]


def build(subject: Subject, referrer: Param | None, endpoint: str | None) -> Built | None:
    """The call; None where it stays longer than 2,000 characters. `referrer` is `af_ref`, where the store takes one."""
    said = own_words(subject.link, is_believed=subject.click.is_believed)
    ours = _ours(subject, referrer, said)
    kept, shown = _kept(subject.link, ours)
    origin = endpoint or f"https://{subject.link.host}"
    room = MAX_URL - len(origin)
    shed: list[str] = []
    added = [param for param in ours.values() if param.value is not None and param.source is not Source.LINK]
    while len(target := f"{subject.link.path}?{_query(kept, added)}") > room:
        name = next((name for name in SHED_ORDER if any(param.name == name for param in added)), None)
        if name is None:
            return None
        added = [param for param in added if param.name != name]
        shed.append(name)
    ours.update((name, Param(name, None, Source.OMITTED, "no room in 2,000 characters")) for name in shed)
    params = (*shown, *ours.values(), _REDIRECT)
    call = S2SCall(subject.click.id, origin, target, _headers(subject, ours), subject.rule.name)
    return Built(call, params, _unfilled(subject.link, said, shown))


def _query(kept: list[str], added: list[Param]) -> str:
    ours = [f"{param.name}={encoded(param.value or '')}" for param in added]
    return "&".join([*kept, *ours, "redirect=false"])


# what we say


def _ours(subject: Subject, referrer: Param | None, said: Mapping[str, Said]) -> dict[str, Param]:
    """Our parameters in the order in which they are added. One with Source.LINK stays where the link has it."""
    ours = {param.name: param for param in _known(subject, said.get("af_ua"))}
    if referrer:
        ours = {"af_ref": referrer, **ours}
    for name, own in said.items():
        if name not in ours and (own.why == EMPTY or (own.why == NO_TEXT and name == "af_ref")):
            continue  # we say nothing, and nothing false is said: it stays
        ours[name] = _chosen(name, own, ours.get(name), is_believed=subject.click.is_believed)
    return ours


def _chosen(name: str, own: Said, known: Param | None, *, is_believed: bool) -> Param:
    """The link's real value wins over ours; a stranger's does where we know none."""
    if own.value is not None and (is_believed or known is None or known.value is None):
        return Param(name, own.value, Source.LINK)
    why = f"the link's own is {own.why or "a stranger's word"}"
    if known is None:
        return Param(name, None, Source.OMITTED, why)
    return known._replace(why=f"{known.why}; {why}")


def _known(subject: Subject, own_ua: Said | None) -> tuple[Param, ...]:
    """What we know and the rule lets us say, in order."""
    enrich, headers = subject.rule.enrich_names, subject.click.headers
    user_agent = headers.get("user-agent", "")
    reader = own_ua.value if own_ua and own_ua.value else user_agent
    # Where the link speaks of another browser than the one that clicked, its hints say nothing about that one.
    hints = tuple(map(_hint, map(headers.get, device.HINT_HEADERS))) if reader == user_agent else _NO_HINTS
    about_device = _about_kept_device if may_be_kept(user_agent) and may_be_kept(reader) else _about_device
    about = about_device(enrich, user_agent, reader, device.language(headers), hints)
    return (_about_address(subject.client_ip), *about) if "af_ip" in enrich else about


_NO_HINTS = (None,) * len(device.HINT_HEADERS)


def _hint(header: str | None) -> str | None:
    return header if header and len(header) <= device.MAX_HEADER and header.isascii() else None


def _about_device(
    enrich: frozenset[str], user_agent: str, reader: str, language: Fact, hints: tuple[str | None, ...]
) -> tuple[Param, ...]:
    """What a rule wants to say about a device, in order. `reader` is what version and model are read from."""
    known = device.read(reader)
    headers = {name: value for name, value in zip(device.HINT_HEADERS, hints, strict=True) if value is not None}
    facts = (
        ("af_ua", Fact(user_agent, Source.HEADER, "User-Agent")),
        ("af_lang", language),
        ("af_os_version", device.os_version(known, headers)),
        ("af_model", device.model(known, headers)),
    )
    return tuple(Param(name, *fact) for name, fact in facts if name in enrich)


_about_kept_device = lru_cache(maxsize=8192)(_about_device)
"""It is the same for every click of a device."""


@lru_cache(maxsize=8192)
def _about_address(client_ip: address.Address | None) -> Param:
    if client_ip is None:
        return Param("af_ip", None, Source.OMITTED, "no client address")
    if not address.is_public(client_ip):
        return Param("af_ip", None, Source.OMITTED, "not a public address")
    return Param("af_ip", str(client_ip), Source.ADDRESS, "client address")


# what stays of the link


def _kept(link: Link, ours: Mapping[str, Param]) -> tuple[list[str], list[Param]]:
    """The parts of the link's query that stay, and all of the link's parameters for `explain`."""
    if _NOTABLE.isdisjoint(link.values):
        shown = [Param(name, value, Source.LINK) for name, value, segment in link.params if segment]
        return [_as_sent(link.query)] if link.query else [], shown
    kept: list[str] = []
    shown = []
    seen: set[str] = set()
    for name, value, segment in link.params:
        if name == "redirect":
            continue
        if name in ours:
            own = ours[name]
            if name not in seen and own.source is Source.LINK and own.value == value:
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
    return [_as_sent("&".join(kept))] if kept else [], shown


def _as_sent(query: str) -> str:
    """The query as a browser sends it; nothing else is changed. A strict server answers 400 to what it encodes."""
    if '"' in query or "<" in query or ">" in query:
        return query.translate(_BROWSER_ENCODES)
    return query


def _unfilled(link: Link, said: Mapping[str, Said], shown: list[Param]) -> tuple[str, ...]:
    if _NOTABLE.isdisjoint(link.values):
        return ()
    ours = (name for name, own in said.items() if own.why == NEVER_FILLED_IN)
    ids = (param.name for param in shown if param.why == NEVER_FILLED_IN)
    return (*ours, *ids)


def _unusable_id(link: Link, name: str, value: str) -> str:
    """Why this device id is left out (design §3.2), or "" where it stays."""
    if name not in DEVICE_IDS:
        return ""
    if is_unfilled(value):
        return NEVER_FILLED_IN
    if is_absent(value):
        return EMPTY
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


def _headers(subject: Subject, ours: Mapping[str, Param]) -> tuple[tuple[str, str], ...]:
    """The call's headers: `User-Agent` equals the decoded `af_ua`, `X-Forwarded-For` equals `af_ip`."""
    headers = subject.click.headers
    result = [("User-Agent", _sent(ours, "af_ua") or headers["user-agent"]), *_HEADERS]
    if ip := _sent(ours, "af_ip"):
        result.append(("X-Forwarded-For", ip))
    language = headers.get("accept-language", "")
    if language and len(language) <= device.MAX_HEADER and is_clean(language):
        result.append(("Accept-Language", language))
    return tuple(result)


def _sent(ours: Mapping[str, Param], name: str) -> str | None:
    """The value with which this parameter goes out, decoded."""
    return ours[name].value if name in ours else None
