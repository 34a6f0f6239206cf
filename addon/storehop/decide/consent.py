"""Consent: the signals on the link and the request, and the limits that a rule puts on the S2S call for them.

A rule lists cases. A click obeys the limits of every case that holds. On doubt privacy wins: a signal that can't be
understood counts as a refusal; a signal that is absent says nothing. The limits change what the S2S call is built
from, so nothing in the call can break them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_network
from urllib.parse import quote

from storehop.decide import address
from storehop.decide.device_ids import DEVICE_IDS
from storehop.decide.link import Link
from storehop.decide.s2s import DirectClick
from storehop.decide.unfilled import is_unfilled
from storehop.model import Click, Param, Source
from storehop.settings import Consent, Enrich, Gdpr, Limit

USER_AGENT = "storehop"
"""The call's own User-Agent where nothing may be said about the device: the user's would say just that."""

_PERSONAL_IDS = DEVICE_IDS | {"mac", "sha1_mac", "md5_mac", "sha1_el", "md5_el", "af_web_id"}
_ENRICHMENT = frozenset(Enrich) | {"af_os"}
_US_PRIVACY = re.compile(r"1[YN-]([YN-])[YN-]", re.IGNORECASE)
_NO_SECTION = "-1"

# A core string of TCF 2, six bits a character: version 2 (a `C`); dates, CMP and screen; the consent's language as two
# letters (bits 108 to 119); list, policy and special features; 24 purposes (bits 152 to 175); the rest, at least up to
# bit 258. See "The Core String" in IAB Tech Lab's "Consent string and vendor list formats v2".
_TCF_CORE = re.compile(r"C[A-Za-z0-9_-]{17}[A-Z]{2}[A-Za-z0-9_-]{24,}")
_TCF_HEAD_CHARACTERS = 30
"""Up to the end of the purposes; the last character also has 4 bits of the next field."""
_TCF_PURPOSES = 24
_SIX_BITS = {
    char: value for value, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}


def limits(cases: Iterable[Consent], click: Click, link: Link) -> dict[Limit, str]:
    """Each limit that a case of the rule puts on this click, with its cause: the signals, in words."""
    causes: dict[Limit, str] = {}
    for case in cases:
        signals = list(_signals(case, click, link))
        if all(signals):
            why = f"consent ({', '.join(signals) or 'always'})"
            causes.update({limit: why for limit in case.then if limit not in causes})
    return causes


def _signals(case: Consent, click: Click, link: Link) -> Iterator[str]:
    """For each condition of a case the signal that fulfils it, in words; "" where none does."""
    if case.gdpr:
        gdpr = _gdpr(link)
        yield f"gdpr {gdpr}" if gdpr in case.gdpr else ""
    if case.gdpr_consent_lacks:
        yield _missing_consent(link, case.gdpr_consent_lacks)
    if case.us_privacy:
        yield "us_privacy opted_out" if _is_opted_out(link) else ""
    if case.gpp:
        yield "gpp present" if _has_gpp(link) else ""
    if case.gpc:
        yield "Sec-GPC" if click.headers.get("sec-gpc", "").strip() not in {"", "0"} else ""
    for name, pattern in case.params:
        values = (value for key, value, _ in link.params if key == name)
        yield f"param {name}" if any(pattern.fullmatch(value) for value in values) else ""


def _values(link: Link, name: str) -> list[str]:
    """Every value of a parameter, without empty and unfilled ones. The caller lets the strictest of them count."""
    values = (value.strip() for key, value, _ in link.params if key == name)
    return [value for value in values if value and not is_unfilled(value)]


def _gdpr(link: Link) -> Gdpr | None:
    """What the link says about the GDPR; None where it says that the GDPR does not apply."""
    values = _values(link, "gdpr")
    if values:
        return Gdpr.APPLIES if any(value != "0" for value in values) else None
    return Gdpr.APPLIES if _values(link, "gdpr_consent") else Gdpr.UNSAID


def _missing_consent(link: Link, required: frozenset[int]) -> str:
    """Which of the required purposes `gdpr_consent` lacks, in words; "" where it has them all."""
    tc_strings = _values(link, "gdpr_consent")
    if not tc_strings:
        return "gdpr_consent missing"
    for text in tc_strings:
        purposes = consented_purposes(text)
        if purposes is None:
            return "gdpr_consent unreadable"
        if missing := required - purposes:
            return f"gdpr_consent lacks {', '.join(map(str, sorted(missing)))}"
    return ""


def consented_purposes(text: str) -> frozenset[int] | None:
    """The purposes that a TCF 2 string consents to; None where the text is no such string.

    Only consent counts. Legitimate interest, vendors' own bits and publishers' restrictions are not read.
    """
    core = text.partition(".")[0]
    if not _TCF_CORE.fullmatch(core):
        return None
    bits = 0
    for char in core[:_TCF_HEAD_CHARACTERS]:
        bits = bits << 6 | _SIX_BITS[char]
    purposes = bits >> 4
    return frozenset(number for number in range(1, _TCF_PURPOSES + 1) if purposes >> (_TCF_PURPOSES - number) & 1)


def _is_opted_out(link: Link) -> bool:
    """Whether a US Privacy string says that the user opted out of the sale of data, or is unreadable."""
    strings = [_US_PRIVACY.fullmatch(value) for value in _values(link, "us_privacy")]
    return any(string is None or string[1] in "Yy" for string in strings)


def _has_gpp(link: Link) -> bool:
    """Whether the link has a GPP string or a list of its sections in force. Neither is decoded."""
    return bool(_values(link, "gpp")) or any(value != _NO_SECTION for value in _values(link, "gpp_sid"))


@dataclass(frozen=True, slots=True)
class LimitedClick:
    """A direct click after its limits were applied, and what they changed."""

    direct_click: DirectClick
    omitted: Mapping[str, str]
    """The names of the parameters that the call must not have, each with the cause."""
    truncation: str
    """The cause for which the address is truncated, or ""."""

    def annotate(self, params: Iterable[Param]) -> tuple[Param, ...]:
        """The call's parameters, with what the limits did to each in `why`. `redirect=false` stays last."""
        result = [self._annotate_address(param) for param in params]
        names = {param.name for param in result}
        omitted = (Param(name, None, Source.OMITTED, why) for name, why in self.omitted.items() if name not in names)
        return (*result[:-1], *omitted, result[-1])

    def _annotate_address(self, param: Param) -> Param:
        if not self.truncation or param.name != Enrich.AF_IP or param.value is None:
            return param
        return param._replace(why=", ".join(filter(None, (param.why, f"truncated: {self.truncation}"))))


def apply_limits(direct_click: DirectClick, causes: Mapping[Limit, str]) -> LimitedClick:
    """Takes out of the click what the call must not say, whether the link said it or we would.

    `causes` has each limit with its cause, as `limits` returns them.
    """
    truncation = causes.get(Limit.TRUNCATE_IP, "")
    names_to_omit = _names_to_omit(causes)
    omitted: dict[str, str] = {}
    segments: list[str] = []
    for name, value, segment in direct_click.link.params:
        if name in names_to_omit:
            omitted[name] = names_to_omit[name]
        elif truncation and name == Enrich.AF_IP and (own_address := address.single_public_address(value)):
            segments.append(f"{name}={quote(str(truncate(own_address)), safe='')}")
        else:
            segments.append(segment)  # an af_ip that is no address is left out anyway
    rule, click, client = direct_click.rule, direct_click.click, direct_click.client
    if why := causes.get(Limit.OMIT_ENRICHMENT):
        omitted |= {name: why for name in Enrich if name in rule.enrich}
        rule = replace(rule, enrich=frozenset())
        click = replace(click, headers={"user-agent": USER_AGENT})
    if truncation and client and client.is_public:
        client = _truncated(client)
    link = direct_click.link._replace(query="&".join(segments))
    return LimitedClick(direct_click._replace(click=click, link=link, rule=rule, client=client), omitted, truncation)


def _names_to_omit(causes: Mapping[Limit, str]) -> dict[str, str]:
    """The names of the link's parameters that the call must not have, each with the cause."""
    groups = ((Limit.OMIT_IDS, _PERSONAL_IDS), (Limit.OMIT_ENRICHMENT, _ENRICHMENT))
    return {name: causes[limit] for limit, group in groups if limit in causes for name in group}


@lru_cache(maxsize=8192)
def _truncated(client: address.Host) -> address.Host:
    """Cached as hosts are: what we say of one is kept with it."""
    return address.Host.at(truncate(client.address))


def truncate(full: address.Address) -> address.Address:
    """The first address of the network around this one: /24 of IPv4, /48 of IPv6."""
    return ip_network((full, 24 if full.version == 4 else 48), strict=False).network_address  # noqa: PLR2004  IPv4
