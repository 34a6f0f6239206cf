"""The server-to-server click (design §3.2): the link's own bytes, plus what we know, plus `redirect=false`.

Original parameters stay byte for byte and in order, except those that are replaced. No name is sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from storehop.decide import said
from storehop.decide.address import Host
from storehop.decide.device import Device
from storehop.decide.device_ids import DEVICE_IDS, IdJudge, sha1
from storehop.decide.link import Link, encoded
from storehop.decide.own_words import EMPTY, NEVER_FILLED_IN, NO_TEXT, OURS, OwnWord, own_words
from storehop.decide.params import Params, Shape
from storehop.model import Click, Param, S2SCall, Source
from storehop.settings import Rule

MAX_URL_CHARACTERS = 2000
"""Characters of a whole click URL (appsflyer-clicks.md §2.5)."""

SHED_ORDER = ("af_lang", "af_model", "af_os_version")
"""The parameters that we drop, in this order, when the URL is too long. Ids and the referrer always stay."""

_CHECKED_NAMES = DEVICE_IDS | frozenset(OURS) | {"redirect"}
"""Parameters of a link that may be replaced or dropped; all others stay as they are."""
_REPLACED_NAMES = frozenset(OURS) | {"redirect", "android_id"}
"""Those of them that are not only dropped."""
_REFERRER_SHAPE: Shape = (("af_ref", Source.GENERATED.value, True),)
_REDIRECT = Param("redirect", "false", Source.GENERATED, "marks a server-to-server click")
_BROWSER_ENCODES = str.maketrans({'"': "%22", "<": "%3C", ">": "%3E"})
"""Characters that browsers encode in a query (WHATWG URL, query percent-encode set) and links have as they are."""


class DirectClick(NamedTuple):
    """A click that came through the gates, with what they learned about it."""

    click: Click
    link: Link
    rule: Rule
    device: Device
    client: Host | None


class S2SClick(NamedTuple):
    """The call, each parameter with its source, and the names of the parameters that nobody had filled in."""

    call: S2SCall
    params: Sequence[Param]
    unfilled: tuple[str, ...]


def build(direct_click: DirectClick, referrer: Param | None, endpoint: str | None) -> S2SClick | None:
    """The call; None if its URL stays above 2,000 characters. `referrer` is `af_ref`, `endpoint` another origin."""
    origin = endpoint or f"https://{direct_click.link.host}"
    ids = _ids_of_whole(direct_click.link)
    joined = None if ids is None else _joined(direct_click, referrer, origin, ids)
    return joined or _built(direct_click, referrer, origin)


def _ids_of_whole(link: Link) -> Shape | None:
    """The device ids of a link that stays as it is; None: something of it is replaced or dropped, or may be."""
    values = link.values
    if _CHECKED_NAMES.isdisjoint(values):
        return ()
    if not _REPLACED_NAMES.isdisjoint(values) or link.query.count("&") >= len(values):  # a name stands twice
        return None
    judge = IdJudge.of(link)
    names = [name for name in values if name in DEVICE_IDS]
    if any(judge.why_unusable(name, values[name]) for name in names):
        return None
    return tuple([(name, Source.LINK.value, True) for name in names])


def _joined(direct_click: DirectClick, referrer: Param | None, origin: str, ids: Shape) -> S2SClick | None:
    """The call of a link that stays as it is: the link, and behind it what we say; None if it is too long."""
    click, link, rule, _, client = direct_click
    language, language_header = said.of_language(click.headers)
    device = said.of_device(rule.enrich_names, click.headers, click.headers.get("user-agent", ""), language)
    address = said.of_address(client) if "af_ip" in rule.enrich_names else said.NOTHING
    token = f"&af_ref={encoded(referrer.value or '')}" if referrer else ""
    query = f"{_as_sent(link.query)}{token}{address.query}{device.query}&redirect=false"
    target = f"{link.path}?{query if link.query else query[1:]}"
    if len(origin) + len(target) > MAX_URL_CHARACTERS:
        return None
    headers = device.headers + address.headers + language_header
    shape = ids + (_REFERRER_SHAPE if referrer else ()) + address.shape + device.shape
    make = partial(_params_of_joined, link, referrer, address.params + device.params)
    return S2SClick(S2SCall(click.id, origin, target, headers, rule.name), Params(make, shape), ())


def _params_of_joined(link: Link, referrer: Param | None, ours: tuple[Param, ...]) -> tuple[Param, ...]:
    of_link = [Param(name, value, Source.LINK) for name, value, segment in link.params if segment]
    return (*of_link, *([referrer] if referrer else ()), *ours, _REDIRECT)


def _built(direct_click: DirectClick, referrer: Param | None, origin: str) -> S2SClick | None:
    """The call, parameter by parameter."""
    words = own_words(direct_click.link, is_believed=direct_click.click.is_believed)
    ours = _ours(direct_click, referrer, words)
    segments, link_params = _link_part(direct_click.link, ours)
    room = MAX_URL_CHARACTERS - len(origin)
    omitted: list[str] = []
    additions = [param for param in ours.values() if param.value is not None and param.source is not Source.LINK]
    while len(target := f"{direct_click.link.path}?{_query(segments, additions)}") > room:
        name = next((name for name in SHED_ORDER if any(param.name == name for param in additions)), None)
        if name is None:
            return None
        additions = [param for param in additions if param.name != name]
        omitted.append(name)
    ours.update((name, Param(name, None, Source.OMITTED, "no room in 2,000 characters")) for name in omitted)
    params = (*link_params, *ours.values(), _REDIRECT)
    call = S2SCall(direct_click.click.id, origin, target, _headers(direct_click, ours), direct_click.rule.name)
    return S2SClick(call, params, _unfilled(words, link_params))


def _query(segments: list[str], additions: list[Param]) -> str:
    ours = [f"{param.name}={encoded(param.value or '')}" for param in additions]
    return "&".join([*segments, *ours, "redirect=false"])


# what we say


def _ours(direct_click: DirectClick, referrer: Param | None, words: Mapping[str, OwnWord]) -> dict[str, Param]:
    """Our parameters, in the order in which we add them. One with Source.LINK stays in its place in the link."""
    ours = {param.name: param for param in _enrichment(direct_click, words.get("af_ua"))}
    if referrer:
        ours = {"af_ref": referrer, **ours}
    for name, word in words.items():
        if name not in ours and (word.why == EMPTY or (word.why == NO_TEXT and name == "af_ref")):
            continue  # we have no value of our own, and this one says nothing false: it stays
        ours[name] = _choose(name, word, ours.get(name), is_believed=direct_click.click.is_believed)
    return ours


def _choose(name: str, word: OwnWord, our_param: Param | None, *, is_believed: bool) -> Param:
    """The link's real value wins over ours. A stranger's value wins only where we have none."""
    if word.value is not None and (is_believed or our_param is None or our_param.value is None):
        return Param(name, word.value, Source.LINK)
    why = f"the link's own is {word.why or "a stranger's word"}"
    if our_param is None:
        return Param(name, None, Source.OMITTED, why)
    return our_param._replace(why=f"{our_param.why}; {why}")


def _enrichment(direct_click: DirectClick, own_user_agent: OwnWord | None) -> tuple[Param, ...]:
    """The parameters of the rule's `enrich`, in order, with the values that we know."""
    enrich, headers = direct_click.rule.enrich_names, direct_click.click.headers
    device_ua = own_user_agent.value if own_user_agent and own_user_agent.value else headers.get("user-agent", "")
    language, _ = said.of_language(headers)
    about = said.of_device(enrich, headers, device_ua, language).params
    return said.of_address(direct_click.client).params + about if "af_ip" in enrich else about


# what the link says


def _link_part(link: Link, ours: Mapping[str, Param]) -> tuple[list[str], list[Param]]:
    """(the part of the link's query that stays, as one segment or none; the link's parameters, for `explain`)."""
    judge = IdJudge.of(link)
    segments: list[str] = []
    params: list[Param] = []
    names: set[str] = set()
    for name, value, segment in link.params:
        if name == "redirect":
            continue
        if name in ours:
            our_param = ours[name]
            if name not in names and our_param.source is Source.LINK and our_param.value == value:
                segments.append(segment)
                names.add(name)
        elif name in DEVICE_IDS and (why := judge.why_unusable(name, value)):
            params.append(Param(name, None, Source.OMITTED, why))
        elif name == "android_id":
            if name in names:
                continue
            names.add(name)
            segments.append(sha1_segment := f"sha1_android_id={sha1(value)}")
            params.append(Param("sha1_android_id", sha1_segment.partition("=")[2], Source.LINK, "SHA-1 of android_id"))
        else:
            segments.append(segment)
            if segment:
                params.append(Param(name, value, Source.LINK))
    return [_as_sent("&".join(segments))] if segments else [], params


def _as_sent(query: str) -> str:
    """The query with `"`, `<` and `>` encoded, as a browser sends it: a strict server answers 400 to them."""
    if '"' in query or "<" in query or ">" in query:
        return query.translate(_BROWSER_ENCODES)
    return query


def _unfilled(words: Mapping[str, OwnWord], link_params: list[Param]) -> tuple[str, ...]:
    ours = (name for name, word in words.items() if word.why == NEVER_FILLED_IN)
    ids = (param.name for param in link_params if param.why == NEVER_FILLED_IN)
    return (*ours, *ids)


def _headers(direct_click: DirectClick, ours: Mapping[str, Param]) -> said.Headers:
    """The call's headers: `User-Agent` equals the decoded `af_ua`, `X-Forwarded-For` equals `af_ip`."""
    headers = direct_click.click.headers
    user_agent = ("User-Agent", _value_of(ours, "af_ua") or headers["user-agent"])
    ip = _value_of(ours, "af_ip")
    forwarded = (("X-Forwarded-For", ip),) if ip else ()
    _, language_header = said.of_language(headers)
    return (user_agent, *said.HEADERS, *forwarded, *language_header)


def _value_of(ours: Mapping[str, Param], name: str) -> str | None:
    """The decoded value of this parameter in the call; None where the call lacks it."""
    return ours[name].value if name in ours else None
