"""Checks that take more than one key of a rule file. They read the raw YAML, so that one fault hides no other.

Each check yields (path of keys, message). The message says what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import chain
from typing import Any

from storehop.addresses import LAST_PORT
from storehop.decide.link import APP_STORE_ID, is_app_id
from storehop.decide.rules import is_glob
from storehop.settings import Store

type Finding = tuple[tuple[str | int, ...], str]

_PLACEHOLDERS = {"app", "package", "referrer"}
_ENDPOINT = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?", re.IGNORECASE)
_UNSAFE_SCHEMES = {"javascript", "data", "vbscript", "file", "blob", "about"}
_ONLY_WITH = {
    "store_url": {"custom"},
    "channel_id": {"huawei_appgallery"},
    "country": {"app_store", "auto"},
    "campaign": {"app_store", "auto"},
}


def check_file(raw: dict[str, Any]) -> Iterator[Finding]:
    """Every fault within one file that takes more than one key to see."""
    delivery = raw.get("delivery")
    if isinstance(delivery, dict):
        yield from _endpoint(delivery)
    for place, onelink in sections(raw, "onelinks"):
        yield from _onelink(place, onelink)
    for place, rule in sections(raw, "rules"):
        findings = _rule(rule, has_partner=raw.get("partner") is not None)
        for key, message in chain(findings, _consent(rule)):
            yield ("rules", place, *key), message


def sections(raw: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(place, section) for each section in the list under this key."""
    value = raw.get(key)
    for place, section in enumerate(value if isinstance(value, list) else ()):
        if isinstance(section, dict):
            yield place, section


def texts(section: dict[str, Any], key: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, text) for each text under this key, whose value is one text or a list of texts."""
    value = section.get(key)
    for place, text in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(text, str):
            yield (key, place) if isinstance(value, list) else (key,), text


def _endpoint(delivery: dict[str, Any]) -> Iterator[Finding]:
    endpoint = delivery.get("endpoint")
    if not isinstance(endpoint, str):
        return
    where = ("delivery", "endpoint")
    url = _ENDPOINT.fullmatch(endpoint)
    if url is None or int(url[3] or 0) > LAST_PORT:
        yield where, "expected scheme://host[:port] and nothing behind it"
    elif (
        url[1].lower() == "http"
        and not _is_loopback(url[2].strip("[]"))
        and delivery.get("allow_plain_http") is not True
    ):
        yield where, "http is accepted for loopback only: expected https, or allow_plain_http: true"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _onelink(place: int, onelink: dict[str, Any]) -> Iterator[Finding]:
    android, ios = onelink.get("android"), onelink.get("ios")
    if android is None and ios is None:
        yield ("onelinks", place), "expected android, ios or both"
    if isinstance(ios, str) and is_app_id(ios) and not APP_STORE_ID.fullmatch(ios):
        yield ("onelinks", place, "ios"), "expected an App Store id such as id123456789"
    if isinstance(android, str) and APP_STORE_ID.fullmatch(android):
        yield ("onelinks", place, "android"), "expected a package such as com.example.game"


def _rule(rule: dict[str, Any], *, has_partner: bool) -> Iterator[Finding]:
    store = rule.get("store", "auto")
    if isinstance(store, str):
        yield from _keys_of_store(rule, store)
    else:
        store = "auto"  # the schema says what is wrong with it
    if store == "custom" and "store_url" not in rule:
        yield ("store",), "store: custom needs a store_url"
    if isinstance(rule.get("store_url"), str):
        for message in _template(rule["store_url"]):
            yield ("store_url",), message
    if not has_partner and rule.get("partner") is None:
        yield (), "no partner: expected partner here or at the top of the file"
    match = rule.get("match")
    if isinstance(match, dict):
        for key, value in match.items():
            if value is None:  # a template variable without a value must not match everything
                yield ("match", key), "has no value: say what it matches, or leave the key out"
        for where, message in _apps_of_store(match, store):
            yield ("match", *where), message


def _consent(rule: dict[str, Any]) -> Iterator[Finding]:
    for place, case in sections(rule, "consent"):
        then, when = case.get("then"), case.get("when")
        if isinstance(then, list) and len(then) > 1 and "pass" in then:
            yield ("consent", place, "then"), "pass stands alone: nothing is sent that another outcome could limit"
        for key, value in when.items() if isinstance(when, dict) else ():
            if value is None:
                yield ("consent", place, "when", key), "has no value: say what it waits for, or leave the key out"


def _keys_of_store(rule: dict[str, Any], store: Any) -> Iterator[Finding]:
    for key, stores in _ONLY_WITH.items():
        if key in rule and store not in stores:
            yield (key,), f"only means something with store: {' or '.join(sorted(stores))}"
    if rule.get("link") == "market" and store not in {"google_play", "auto"}:
        yield ("link",), "market links only lead to google_play"


def _template(template: str) -> Iterator[str]:
    names = re.findall(r"\{([^{}]*)\}", template)
    if unknown_names := sorted(set(names) - _PLACEHOLDERS):
        yield f"unknown placeholder {{{unknown_names[0]}}}: expected {{app}}, {{package}} or {{referrer}}"
    scheme, colon, rest = template.partition(":")
    if not colon or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or scheme in _UNSAFE_SCHEMES or not rest:
        yield "expected a whole URL such as https://store.example/app/{package}"
    elif not re.fullmatch(r"[\x21-\x7e]*", template):
        yield "expected no spaces and only ASCII: encode them"
    elif scheme in {"http", "https"} and not re.match(r"//[A-Za-z0-9.-]+(:\d+)?(/|\?|$)", rest):
        yield "expected a fixed host name: no placeholder may stand in it"


def _apps_of_store(match: dict[str, Any], store: Any) -> Iterator[Finding]:
    """A finding for each app id that the rule's store cannot have."""
    for where, app in texts(match, "app"):
        if not is_glob(app) and is_app_id(app) and (message := misfit(app, store)):
            yield where, f"{app}: {message}"


def misfit(app: str, store: Any) -> str:
    """Why this store cannot have this app, or "". The text does not repeat the app: it may be a line of any file."""
    is_ios = APP_STORE_ID.fullmatch(app) is not None
    if store == Store.CUSTOM:
        return ""
    if store == Store.AUTO:
        if "-" in app:
            return "the id names a channel: expected an explicit store, since it does not say which one"
        return ""
    if store == Store.APP_STORE and not is_ios:
        return "the app is not in the App Store: expected an id such as id123456789"
    if store != Store.APP_STORE and is_ios:
        return "the app is in the App Store: expected store: app_store or auto"
    return ""
