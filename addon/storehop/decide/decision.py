"""The decision: the gates in their order, then the two URLs (design §3). On any doubt the click passes."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from storehop.decide import address, consent, device, duplicate, link, s2s, store
from storehop.decide.device import Device
from storehop.decide.link import Link
from storehop.decide.own_words import real_value
from storehop.decide.rules import IMPRESSION_HOSTS, Facts, RuleSet
from storehop.decide.unfilled import is_unfilled
from storehop.model import Click, Decision, Direct, Param, Pass, Platform, Reason, Source
from storehop.settings import Limit, Mode, Rule, Store

_OTHER_TARGETS = ("af_r", "af_android_url", "af_ios_url", "af_web_dp")
_FORCED = ("af_force_deeplink", "af_deeplink")
_ASKING = frozenset({*_OTHER_TARGETS, "signature", "af_dp", *_FORCED, "is_retargeting"})
"""Parameters by which a link can ask for more than the store."""
_PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-moz", "x-purpose")
_PREFETCH = ("prefetch", "prerender", "preview")
_NAVIGATION = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
"""What browsers say of a person's navigation in a window or tab (W3C Fetch Metadata); older ones say nothing."""


def decide(click: Click, rules: RuleSet) -> Decision:
    """Direct or Pass. Pure: the same click and rules make the same decision. Never raises on any input."""
    url = link.split(click.link)
    if url is None:
        return Pass(Reason.NOT_A_CLICK)
    if url.host in IMPRESSION_HOSTS:
        return Pass(Reason.IMPRESSION)
    if not rules.is_click_host(url.host):
        return Pass(Reason.NOT_A_CLICK)
    if len(click.link) > link.LONGEST_LINK:
        return Pass(Reason.TOO_LONG)
    reader = device.read(click.headers.get("user-agent", ""))
    target = find_target(url, reader.platform, rules)
    if isinstance(target, Pass):
        return target
    return _by_rule(click, target, reader, rules)


def find_target(url: Link, platform: Platform, rules: RuleSet) -> Facts | Pass:
    """The app that the link is for, or why there is none."""
    if url.is_s2s:
        return Pass(Reason.ALREADY_S2S, platform=platform)
    if url.invalid:
        return Pass(Reason.INVALID_LINK, platform=platform, why=url.invalid)
    app = _app_of_onelink(url, platform, rules) if rules.is_onelink_host(url.host) else link.app_id(url.path)
    if isinstance(app, Reason):
        return Pass(app, platform=platform)
    return Facts(app, platform, url) if app else Pass(Reason.INVALID_LINK, platform=platform)


def _app_of_onelink(url: Link, platform: Platform, rules: RuleSet) -> str | Reason:
    template = link.onelink_path(url.path)
    if template is None:
        return Reason.INVALID_LINK
    name, is_short = template
    if is_short:
        return Reason.SHORT_LINK
    known = rules.onelinks.get((url.host, name))
    if known is None:
        return Reason.UNKNOWN_ONELINK
    app = known.ios if platform is Platform.IOS else known.android
    if app is None and platform is Platform.OTHER:
        app = known.ios
    return app or Reason.UNKNOWN_ONELINK


def _by_rule(click: Click, facts: Facts, reader: Device, rules: RuleSet) -> Decision:
    rule = rules.find(facts)
    if rule is None:
        return Pass(Reason.NO_RULE, app=facts.app, platform=facts.platform)
    shop = store.resolve(rule, facts.app)
    reason = (
        _rule_gate(rule, shop, at_answer=click.at_answer)
        or _person_gate(click, reader)
        or _platform_gate(facts, reader, shop)
        or _link_gate(facts.link, rule)
    )
    if reason or shop is None:
        return Pass(reason or Reason.NO_STORE, rule.name, facts.app, facts.platform, shop)
    return _direct(click, _Way(facts, rule, shop), reader, rules)


def _rule_gate(rule: Rule, shop: Store | None, *, at_answer: bool) -> Reason | None:
    if rule.mode is Mode.OFF or (at_answer and not rule.answers):
        return Reason.RULE_OFF
    return Reason.NO_STORE if shop is None else None


def _person_gate(click: Click, reader: Device) -> Reason | None:
    """Only a person's navigation is a click."""
    if click.method != "GET":
        return Reason.NOT_GET
    for name in _PREFETCH_HEADERS:
        if (value := click.headers.get(name)) and value.strip().lower().startswith(_PREFETCH):
            return Reason.PREFETCH
    if any(click.headers.get(name, wanted).strip() != wanted for name, wanted in _NAVIGATION):
        return Reason.NOT_NAVIGATION
    user_agent = click.headers.get("user-agent", "").strip()
    if not user_agent or not link.is_clean(user_agent):
        return Reason.NO_USER_AGENT  # one that is no text could not be repeated in our call
    return Reason.BOT if device.is_bot(reader, click.headers) else None


def _platform_gate(facts: Facts, reader: Device, shop: Store | None) -> Reason | None:
    if shop is None or facts.platform is not store.platform_of(shop, facts.app):
        return Reason.WRONG_PLATFORM
    if shop is Store.GOOGLE_PLAY and not reader.has_google_play:
        return Reason.WRONG_PLATFORM
    return None


def _link_gate(url: Link, rule: Rule) -> Reason | None:
    """What the link itself asks for that a store redirect would break."""
    values = url.values
    if _ASKING.isdisjoint(values):
        return None
    if "signature" in values:
        return Reason.SIGNED
    if any(values.get(name) for name in _OTHER_TARGETS):
        return Reason.OTHER_TARGET
    if rule.deep_links_to_store:
        return None
    if values.get("af_dp") or any(values.get(name, "").lower() == "true" for name in _FORCED):
        return Reason.DEEP_LINK
    return Reason.RETARGETING if values.get("is_retargeting", "").lower() == "true" else None


class _Way(NamedTuple):
    """Where a click would go."""

    facts: Facts
    rule: Rule
    shop: Store


def _direct(click: Click, way: _Way, reader: Device, rules: RuleSet) -> Decision:
    facts, rule, shop = way.facts, way.rule, way.shop

    def passes(reason: Reason, why: str = "") -> Pass:
        return Pass(reason, rule.name, facts.app, facts.platform, shop, why)

    honoured, page = store.custom_page(shop, facts.app, facts.link)
    if not honoured:
        return passes(Reason.OTHER_TARGET)
    client_ip = _client_ip(click, reader, rules.proxies)
    subject = s2s.Subject(click, facts.link, rule, reader, client_ip)
    limits = consent.limits(rule.consent, click, facts.link) if rule.consent else {}
    if why := limits.get(Limit.PASS):
        return passes(Reason.CONSENT, why)
    limited = consent.limited(subject, limits) if limits else None
    if limited:
        subject = limited.subject
    referrer = _referrer(click, subject.link, rule) if store.takes_referrer(shop, rule) else None
    if shop is Store.HUAWEI_APPGALLERY and referrer and len(referrer.value or "") > store.HUAWEI_MAX_REFERRER:
        return passes(Reason.TOO_LONG)
    built = s2s.build(subject, referrer, rules.delivery.endpoint)
    if built is None:
        return passes(Reason.TOO_LONG)
    if rule.percent < 100 and not _is_sampled(click, rules.proxies, rule.percent):  # noqa: PLR2004  per cent
        return passes(Reason.NOT_SAMPLED)
    if rule.mode is Mode.OBSERVE:
        return passes(Reason.OBSERVED)
    token = referrer.value if referrer else None
    return Direct(
        rule.name,
        facts.app,
        facts.platform,
        shop,
        token,
        store.url(shop, rule, facts.app, page, token, is_web_view=reader.is_web_view),
        built.call,
        limited.told(built.params) if limited else built.params,
        duplicate.likeness(click, facts.link, rule, client_ip),
        rule.client_hints,
        (*_unfilled_click_id(subject.link, rule), *built.unfilled),
    )


def _client_ip(click: Click, reader: Device, proxies: address.Proxies) -> address.Address | None:
    """Who clicked, as far as it is known. Where a browser's maker fetches the page only a trusted proxy can say."""
    if reader.is_fetched_by_maker and not proxies.trust_peer(click.peer):
        return None
    return address.client_address(click.peer, click.headers, proxies)


def _referrer(click: Click, url: Link, rule: Rule) -> Param:
    """`af_ref`, the token that the store hands to the app: PARTNER_TRANSACTION (design §3.1)."""
    if own := real_value(url, "af_ref"):
        return Param("af_ref", own, Source.LINK)
    for name in rule.click_id:
        transaction = url.real(name)
        if transaction is not None:
            token = f"{rule.partner}_{transaction}"
            if store.TOKEN.fullmatch(token):
                return Param("af_ref", token, Source.GENERATED, f"partner and {name}")
            break
    why = "; ".join(("partner and a new id", *(f"{name} was never filled in" for name in _unfilled_names(url, rule))))
    return Param("af_ref", f"{rule.partner}_{click.id}", Source.GENERATED, why)


def _unfilled_names(url: Link, rule: Rule) -> list[str]:
    """The link's click ids that nobody filled in."""
    return [name for name in rule.click_id if url.real(name) is None and is_unfilled(url.values.get(name, ""))]


def _unfilled_click_id(url: Link, rule: Rule) -> tuple[str, ...]:
    return ("click_id",) if _unfilled_names(url, rule) else ()


def _is_sampled(click: Click, proxies: address.Proxies, percent: float) -> bool:
    """Stable per click: the same link from the same device falls on the same side every time.

    A hash of its own, which no change may change: it would move people between the arms of a test.
    """
    farthest = address.farthest_address(click.peer, click.headers, proxies)
    who = f"{click.link}\n{farthest}\n{click.headers.get('user-agent', '')}"
    digest = hashlib.blake2b(who.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) < percent / 100 * 2**64
