"""The decision: the gates in their order, then the two URLs (design §3). On any doubt the click passes."""

from __future__ import annotations

from storehop.decide import address, click_ids, consent, device, duplicate, link, rollout, s2s, store
from storehop.decide.click_ids import ClickIds
from storehop.decide.device import Device
from storehop.decide.link import Link
from storehop.decide.own_words import real_value
from storehop.decide.rules import IMPRESSION_HOSTS, Facts, RuleSet
from storehop.decide.store import Route
from storehop.model import Click, Decision, Direct, Param, Pass, Platform, Reason, Source
from storehop.settings import Limit, Mode, Rule, Store

_OTHER_TARGETS = ("af_r", "af_android_url", "af_ios_url", "af_web_dp")
_FORCES_DEEP_LINK = ("af_force_deeplink", "af_deeplink")
_LINK_GATE_PARAMETERS = frozenset({*_OTHER_TARGETS, "signature", "af_dp", *_FORCES_DEEP_LINK, "is_retargeting"})
"""Every parameter that `_link_gate` looks at. Most links have none of them."""
_PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-moz", "x-purpose")
_PREFETCH = ("prefetch", "prerender", "preview")
_NAVIGATION = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
"""Headers of a navigation in a window or tab (W3C Fetch Metadata). Older browsers send neither."""


def decide(click: Click, rules: RuleSet) -> Decision:
    """Direct or Pass. Pure: the same click and rules make the same decision. Never raises on any input."""
    url = link.split(click.link)
    if url is None:
        return Pass(Reason.NOT_A_CLICK)
    if url.host in IMPRESSION_HOSTS:
        return Pass(Reason.IMPRESSION)
    if not rules.is_click_host(url.host):
        return Pass(Reason.NOT_A_CLICK)
    if len(click.link) > link.MAX_LINK_CHARACTERS:
        return Pass(Reason.TOO_LONG)
    user_device = device.read(click.headers.get("user-agent", ""))
    target = find_target(url, user_device.platform, rules)
    if isinstance(target, Pass):
        return target
    return _by_rule(click, target, user_device, rules)


def find_target(url: Link, platform: Platform, rules: RuleSet) -> Facts | Pass:
    """The app that the link leads to, or a Pass with the reason where it leads to none."""
    if url.is_s2s:
        return Pass(Reason.ALREADY_S2S, platform=platform)
    if url.invalid:
        return Pass(Reason.INVALID_LINK, platform=platform, why=url.invalid)
    app = _app_of_onelink(url, platform, rules) if rules.is_onelink_host(url.host) else url.app
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
    onelink = rules.onelinks.get((url.host, name))
    if onelink is None:
        return Reason.UNKNOWN_ONELINK
    app = onelink.ios if platform is Platform.IOS else onelink.android
    if app is None and platform is Platform.OTHER:
        app = onelink.ios
    return app or Reason.UNKNOWN_ONELINK


def _by_rule(click: Click, facts: Facts, user_device: Device, rules: RuleSet) -> Decision:
    rule = rules.find(facts)
    if rule is None:
        return Pass(Reason.NO_RULE, app=facts.app, platform=facts.platform)
    route = rules.route(rule, facts.app)
    reason = (
        _rule_gate(rule, route, rules, at_answer=click.at_answer)
        or _person_gate(click, user_device)
        or _platform_gate(facts.platform, user_device, route)
        or _link_gate(facts.link, rule)
    )
    if reason or route is None:
        return Pass(reason or Reason.NO_STORE, rule.name, facts.app, facts.platform, route.store if route else None)
    return _direct(click, facts, route, user_device, rules)


def _rule_gate(rule: Rule, route: Route | None, rules: RuleSet, *, at_answer: bool) -> Reason | None:
    if (rule.mode is Mode.OFF and not rules.are_at_their_most) or (at_answer and not rule.answers):
        return Reason.RULE_OFF
    return Reason.NO_STORE if route is None else None


def _person_gate(click: Click, user_device: Device) -> Reason | None:
    """Only a person's navigation is a click."""
    headers = click.headers
    if click.method != "GET":
        return Reason.NOT_GET
    for name in _PREFETCH_HEADERS:
        if name in headers and headers[name].strip().lower().startswith(_PREFETCH):
            return Reason.PREFETCH
    for name, usual in _NAVIGATION:
        if name in headers and headers[name].strip() != usual:
            return Reason.NOT_NAVIGATION
    if not user_device.is_text:
        return Reason.NO_USER_AGENT  # our call could not repeat it
    return Reason.BOT if device.is_bot(user_device, headers) else None


def _platform_gate(platform: Platform, user_device: Device, route: Route | None) -> Reason | None:
    if route is None or platform is not route.platform:
        return Reason.WRONG_PLATFORM
    if route.store is Store.GOOGLE_PLAY and not user_device.has_google_play:
        return Reason.WRONG_PLATFORM
    return None


def _link_gate(url: Link, rule: Rule) -> Reason | None:
    """Why a store redirect would break this link: it is signed, or asks for something other than the store."""
    values = url.values
    if _LINK_GATE_PARAMETERS.isdisjoint(values):
        return None
    if "signature" in values:
        return Reason.SIGNED
    if any(values.get(name) for name in _OTHER_TARGETS):
        return Reason.OTHER_TARGET
    if rule.deep_links_to_store:
        return None
    if values.get("af_dp") or any(values.get(name, "").lower() == "true" for name in _FORCES_DEEP_LINK):
        return Reason.DEEP_LINK
    return Reason.RETARGETING if values.get("is_retargeting", "").lower() == "true" else None


def _direct(click: Click, facts: Facts, route: Route, user_device: Device, rules: RuleSet) -> Decision:
    rule = route.rule

    can_honour, page = store.custom_page(route.store, facts.app, facts.link)
    if not can_honour:
        return _pass(Reason.OTHER_TARGET, facts, route)
    client = _client(click, user_device, rules.proxies)
    direct_click = s2s.DirectClick(click, facts.link, rule, user_device, client)
    ids = own_ids = click_ids.of(facts.link, rule.click_id)
    limited_click = None
    if rule.consent and (limits := consent.limits(rule.consent, click, facts.link)):
        if Limit.PASS in limits:
            return _pass(Reason.CONSENT, facts, route, limits[Limit.PASS])
        limited_click = consent.apply_limits(direct_click, limits)
        direct_click = limited_click.direct_click
        ids = click_ids.of(direct_click.link, rule.click_id)
    referrer = _referrer(click, direct_click.link, rule, ids) if route.takes_referrer else None
    token = referrer.value if referrer else None
    if route.store is Store.HUAWEI_APPGALLERY and len(token or "") > store.HUAWEI_MAX_REFERRER_CHARACTERS:
        return _pass(Reason.TOO_LONG, facts, route)
    s2s_click = s2s.build(direct_click, referrer, rules.delivery.endpoint)
    if s2s_click is None:
        return _pass(Reason.TOO_LONG, facts, route)
    if reason := rollout.gate(click, rule, rules):
        return _pass(reason, facts, route)
    return Direct(
        rule.name,
        facts.app,
        facts.platform,
        route.store,
        token,
        route.url(page, link.encoded(token or ""), is_web_view=user_device.is_web_view),
        s2s_click.call,
        limited_click.annotate(s2s_click.params) if limited_click else s2s_click.params,
        duplicate.likeness(click, client, has_id=own_ids.real is not None),
        rule.client_hints,
        ("click_id", *s2s_click.unfilled) if ids.unfilled else s2s_click.unfilled,
    )


def _pass(reason: Reason, facts: Facts, route: Route, why: str = "") -> Pass:
    return Pass(reason, route.rule.name, facts.app, facts.platform, route.store, why)


def _client(click: Click, user_device: Device, proxies: address.Proxies) -> address.Host | None:
    """The client. Where the browser's maker fetches the page, only a trusted proxy can know it; else None."""
    if user_device.is_fetched_by_maker and not proxies.trust_peer(click.peer):
        return None
    return address.client(click.peer, click.headers, proxies)


def _referrer(click: Click, url: Link, rule: Rule, ids: ClickIds) -> Param:
    """`af_ref`: the referrer token PARTNER_TRANSACTION that the store hands to the app (design §3.1)."""
    if own_referrer := real_value(url, "af_ref"):
        return Param("af_ref", own_referrer, Source.LINK)
    if ids.real:
        name, transaction = ids.real
        token = f"{rule.partner}_{transaction}"
        if store.TOKEN.fullmatch(token):
            return Param("af_ref", token, Source.GENERATED, f"partner and {name}")
    why = "; ".join(("partner and a new id", *(f"{name} was never filled in" for name in ids.unfilled)))
    return Param("af_ref", f"{rule.partner}_{click.id}", Source.GENERATED, why)
