"""Advice on unknown keys: which key somebody meant, or in which section the key belongs."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel

from storehop.rulefile.schema import (
    CampaignSection,
    ClientIpSection,
    ConsentSection,
    ConsentWhenSection,
    DeliverySection,
    MatchSection,
    OneLinkSection,
    RuleFile,
    RuleSection,
)

_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): RuleFile,
    ("client_ip",): ClientIpSection,
    ("delivery",): DeliverySection,
    ("onelinks",): OneLinkSection,
    ("rules",): RuleSection,
    ("rules", "match"): MatchSection,
    ("rules", "campaign"): CampaignSection,
    ("rules", "consent"): ConsentSection,
    ("rules", "consent", "when"): ConsentWhenSection,
}
_PLACES = {
    (): "at the top of the file",
    ("rules",): "in a rule, beside its name",
    **{path: f"under {path[-1]}" for path in _SECTIONS if path not in {(), ("rules",)}},
}
_ALSO_CALLED = {
    "android": "android_app android_id package package_name play_store google_play",
    "app": "app_id appid app_ids apps application bundle bundle_id package package_name packages id",
    "app_file": "app_list apps_file file app_ids_file",
    "canary": "canary_release watch auto_stop",
    "click_id": "clickid transaction_id tid",
    "client_ip": "ip proxy proxies",
    "concurrency": "connections workers parallel max_connections",
    "country": "geo region storefront",
    "deep_links": "deeplinks deep_link deeplink",
    "endpoint": "url base_url host server",
    "enrich": "enrichment parameters",
    "header": "header_name",
    "host": "hostname domain hosts",
    "hosts": "host domains hostnames",
    "ios": "ios_app ios_id app_store bundle_id",
    "match": "matches when if conditions condition filter filters matcher matchers",
    "max_age": "ttl expiry max_retry_time",
    "mode: off": "enabled disabled active enable disable",
    "name": "title id rule",
    "onelinks": "one_links onelink",
    "outbox_name": "prefix key_prefix namespace",
    "outbox_replicas": "replicas min_replicas",
    "outbox_wait": "wait wait_timeout",
    "param": "params parameter parameters query",
    "partner": "prefix referrer referrer_prefix network partner_name",
    "percent": "percentage share sample sampling weight rate ratio",
    "pid": "media_source source partner_id media",
    "platform": "os platforms device",
    "rules": "routes rule",
    "store": "target destination appstore app_store",
    "store_url": "url template target_url",
    "template": "template_id id",
    "then": "do action actions outcome",
    "timeout": "time_out request_timeout",
    "trusted_proxies": "trusted proxies trusted_ips networks trusted_networks",
    "when": "if match signals",
}


def advice(path: tuple[str | int, ...]) -> str:
    """What to write instead of the unknown key at the end of this path of keys."""
    section, key = tuple(part for part in path[:-1] if isinstance(part, str)), str(path[-1])
    keys = sorted(_SECTIONS[section].model_fields) if section in _SECTIONS else []
    other = [_PLACES[place] for place, one in _SECTIONS.items() if key in one.model_fields]
    if other:
        return f"unknown key here: it stands {' or '.join(other)}"
    word = key.lower().replace("-", "_")
    synonyms = [name for name, others in _ALSO_CALLED.items() if name.split(":")[0] in keys and word in others.split()]
    near = synonyms or ([word] if word in keys else get_close_matches(word, keys, n=1))
    return f"unknown key: did you mean {' or '.join(near)}?" if near else f"unknown key: expected {', '.join(keys)}"
