"""Consent as a rule reads it: signals on the link and the request, and what they leave to be said.

A rule lists cases. All that hold count together: a click obeys the union of their limits. Signals are read with
doubt on privacy's side: what is there and can't be understood counts as a refusal, what is absent says nothing.
Limits are put on what the S2S call is built from, so that nothing built from it can break them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from urllib.parse import quote

from storehop.decide import address
from storehop.decide.link import Link
from storehop.decide.s2s import DEVICE_IDS, Subject
from storehop.decide.unfilled import is_unfilled
from storehop.model import Click, Param, Source
from storehop.settings import Consent, Enrich, Gdpr, Limit

USER_AGENT = "storehop"
"""Says who calls where nothing may be said about the device: the call's own User-Agent would tell as much."""

_PERSONS_IDS = DEVICE_IDS | {"mac", "sha1_mac", "md5_mac", "sha1_el", "md5_el", "af_web_id"}
_ENRICHMENT = frozenset(Enrich) | {"af_os"}
_US_PRIVACY = re.compile(r"1[YN-]([YN-])[YN-]", re.IGNORECASE)
_NO_SECTION = "-1"

# A core string of TCF 2, six bits a character: version 2 (a `C`); dates, CMP and screen; the consent's language as two
# letters (bits 108 to 119); list, policy and special features; 24 purposes (bits 152 to 175); what follows, at least up
# to bit 258. See "The Core String" in IAB Tech Lab's "Consent string and vendor list formats v2".
_TCF_CORE = re.compile(r"C[A-Za-z0-9_-]{17}[A-Z]{2}[A-Za-z0-9_-]{24,}")
_TCF_HEAD = 30
"""Characters up to the end of the purposes, and 4 bits of what follows."""
_TCF_PURPOSES = 24
_SIX_BITS = {
    char: value for value, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}


def limits(cases: Iterable[Consent], click: Click, link: Link) -> dict[Limit, str]:
    """Each limit that a case of the rule puts on this click, with the signals that led to it."""
    found: dict[Limit, str] = {}
    for case in cases:
        signals = list(_signals(case, click, link))
        if all(signals):
            why = f"consent ({', '.join(signals) or 'always'})"
            found.update({limit: why for limit in case.then if limit not in found})
    return found


def _signals(case: Consent, click: Click, link: Link) -> Iterator[str]:
    """What each condition of a case finds, "" where it does not hold."""
    if case.gdpr:
        said = _gdpr(link)
        yield f"gdpr {said}" if said in case.gdpr else ""
    if case.gdpr_consent_lacks:
        yield _lack(link, case.gdpr_consent_lacks)
    if case.us_privacy:
        yield "us_privacy opted_out" if _is_opted_out(link) else ""
    if case.gpp:
        yield "gpp present" if _has_gpp(link) else ""
    if case.gpc:
        yield "Sec-GPC" if click.headers.get("sec-gpc", "").strip() not in {"", "0"} else ""
    for name, pattern in case.params:
        values = (value for key, value, _ in link.params if key == name)
        yield f"param {name}" if any(pattern.fullmatch(value) for value in values) else ""


def _said(link: Link, name: str) -> list[str]:
    """Every value of a parameter that was filled in: of two that contradict each other, the stricter one counts."""
    values = (value.strip() for key, value, _ in link.params if key == name)
    return [value for value in values if value and not is_unfilled(value)]


def _gdpr(link: Link) -> Gdpr | None:
    """None where the link says that the GDPR does not apply."""
    said = _said(link, "gdpr")
    if said:
        return Gdpr.APPLIES if any(value != "0" for value in said) else None
    return Gdpr.APPLIES if _said(link, "gdpr_consent") else Gdpr.UNSAID


def _lack(link: Link, wanted: frozenset[int]) -> str:
    """What `gdpr_consent` lacks of these purposes, or "" where it has them all."""
    strings = _said(link, "gdpr_consent")
    if not strings:
        return "gdpr_consent missing"
    for text in strings:
        given = consented_purposes(text)
        if given is None:
            return "gdpr_consent unreadable"
        if lacking := wanted - given:
            return f"gdpr_consent lacks {', '.join(map(str, sorted(lacking)))}"
    return ""


def consented_purposes(text: str) -> frozenset[int] | None:
    """The purposes that a TCF 2 string consents to; None where it is no such string.

    Only consent counts: neither legitimate interest, nor a vendor's own bit, nor a publisher's restriction is read.
    """
    core = text.partition(".")[0]
    if not _TCF_CORE.fullmatch(core):
        return None
    bits = 0
    for char in core[:_TCF_HEAD]:
        bits = bits << 6 | _SIX_BITS[char]
    purposes = bits >> 4
    return frozenset(number for number in range(1, _TCF_PURPOSES + 1) if purposes >> (_TCF_PURPOSES - number) & 1)


def _is_opted_out(link: Link) -> bool:
    """Whether a US Privacy string says that the user opted out of the sale of data, or says nothing readable."""
    found = [_US_PRIVACY.fullmatch(value) for value in _said(link, "us_privacy")]
    return any(known is None or known[1] in "Yy" for known in found)


def _has_gpp(link: Link) -> bool:
    """Whether a GPP string, or its list of sections in force, is there. What they say is not decoded."""
    return bool(_said(link, "gpp")) or any(value != _NO_SECTION for value in _said(link, "gpp_sid"))


@dataclass(frozen=True, slots=True)
class Limited:
    """A click within its limits, and what they changed."""

    subject: Subject
    omitted: Mapping[str, str]
    """The parameters that may not be said, and why."""
    truncated: str
    """Why the address is truncated, or ""."""

    def told(self, params: tuple[Param, ...]) -> tuple[Param, ...]:
        """The call's parameters with what the limits did to them, `redirect=false` still last."""
        shown = [self._told(param) for param in params]
        names = {param.name for param in shown}
        omitted = (Param(name, None, Source.OMITTED, why) for name, why in self.omitted.items() if name not in names)
        return (*shown[:-1], *omitted, shown[-1])

    def _told(self, param: Param) -> Param:
        if not self.truncated or param.name != Enrich.AF_IP or param.value is None:
            return param
        return param._replace(why=", ".join(filter(None, (param.why, f"truncated: {self.truncated}"))))


def limited(subject: Subject, found: Mapping[Limit, str]) -> Limited:
    """The click as these limits leave it: what may not be said is no longer in it, whoever said it first."""
    truncated = found.get(Limit.TRUNCATE_IP, "")
    unsayable = _unsayable(found)
    omitted: dict[str, str] = {}
    segments: list[str] = []
    for name, value, segment in subject.link.params:
        if name in unsayable:
            omitted[name] = unsayable[name]
        elif truncated and name == Enrich.AF_IP and (known := address.sayable(value)):
            segments.append(f"{name}={quote(str(truncate(known)), safe='')}")
        else:
            segments.append(segment)  # an af_ip that is no address is left out anyway
    rule, click, client_ip = subject.rule, subject.click, subject.client_ip
    if why := found.get(Limit.OMIT_ENRICHMENT):
        omitted |= {name: why for name in Enrich if name in rule.enrich}
        rule = replace(rule, enrich=frozenset())
        click = replace(click, headers={"user-agent": USER_AGENT})
    if truncated and client_ip and address.is_public(client_ip):
        client_ip = truncate(client_ip)
    link = replace(subject.link, query="&".join(segments))
    return Limited(subject._replace(click=click, link=link, rule=rule, client_ip=client_ip), omitted, truncated)


def _unsayable(found: Mapping[Limit, str]) -> dict[str, str]:
    """The names of the link's parameters that may not be said, and why."""
    names = ((Limit.OMIT_IDS, _PERSONS_IDS), (Limit.OMIT_ENRICHMENT, _ENRICHMENT))
    return {name: found[limit] for limit, group in names if limit in found for name in group}


def truncate(full: address.Address) -> address.Address:
    """The network that an address is in: /24 of IPv4, /48 of IPv6."""
    return ip_network((full, 24 if full.version == 4 else 48), strict=False).network_address  # noqa: PLR2004  IPv4
