"""Compiles checked rule files into a RuleSet: defaults filled in, patterns compiled, settings merged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fnmatch import translate
from itertools import chain
from pathlib import Path
from typing import Any

from storehop.decide.address import Proxies
from storehop.decide.rules import DEFAULT_HOSTS, Match, Patterns, RuleSet, is_glob
from storehop.rulefile.schema import ConsentSection, MatchSection, RuleFile, RuleSection
from storehop.settings import Campaign, Consent, Delivery, Gdpr, HintSettings, Mode, OneLink, Rule

_DEFAULTS = RuleFile.model_fields


def compile_rules(
    files: Sequence[tuple[Path, RuleFile]],
    apps: dict[Path, dict[int, list[str]]],
    digest: str,
) -> RuleSet:
    """The rules in the order of the files. `apps`: for each file and rule's place the app ids of its app files."""
    rules = tuple(
        (_match(section.match, apps[path].get(place, [])), _rule(section, file))
        for path, file in files
        for place, section in enumerate(file.rules)
    )
    host_lists = [file.hosts for _, file in files if "hosts" in file.model_fields_set]
    return RuleSet(
        rules=rules,
        hosts=frozenset(chain(*host_lists)) if host_lists else DEFAULT_HOSTS,
        onelinks={(one.host, one.template): OneLink(**one.model_dump()) for _, f in files for one in f.onelinks},
        proxies=_proxies(files),
        delivery=_delivery(files),
        hints=_hints(files),
        digest=digest,
    )


def _match(section: MatchSection, ids_of_files: list[str]) -> Match:
    app_patterns = (section.app or []) + ids_of_files
    conditions = {**({"pid": section.pid} if section.pid else {}), **section.param}
    return Match(
        app=Patterns.of(app_patterns) if section.app is not None or section.app_file is not None else None,
        host=Patterns.of(section.host) if section.host else None,
        platform=frozenset(section.platform) if section.platform else None,
        params=tuple((name, Patterns.of(texts)) for name, texts in conditions.items()),
    )


def _rule(section: RuleSection, file: RuleFile) -> Rule:
    return Rule(
        name=section.name,
        mode=section.mode,
        percent=section.percent,
        store=section.store,
        store_url=section.store_url,
        market_link=section.link == "market",
        country=section.country,
        campaign=Campaign(**section.campaign.model_dump()),
        channel_id=section.channel_id,
        partner=section.partner or file.partner or "",
        click_id=tuple(section.click_id or file.click_id),
        enrich=frozenset(section.enrich),
        deep_links_to_store=section.deep_links == "store",
        client_hints=section.client_hints or file.client_hints,
        answers=file.answer if section.answer is None else section.answer,
        canary=section.canary or file.canary,
        consent=tuple(map(_consent, section.consent)),
    )


def _consent(section: ConsentSection) -> Consent:
    when = section.when
    lacks = frozenset(when.gdpr_consent_lacks or ())
    return Consent(
        then=frozenset(section.then),
        gdpr=frozenset(when.gdpr or ([Gdpr.APPLIES] if lacks else [])),
        gdpr_consent_lacks=lacks,
        us_privacy=when.us_privacy is not None,
        gpp=when.gpp is not None,
        gpc=when.gpc is not None,
        params=tuple((name, _pattern(texts)) for name, texts in when.param.items()),
    )


def _pattern(texts: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(text) if is_glob(text) else re.escape(text) for text in texts))


def _proxies(files: Sequence[tuple[Path, RuleFile]]) -> Proxies:
    for _, file in files:
        if "client_ip" in file.model_fields_set:
            return Proxies(tuple(file.client_ip.trusted_proxies), file.client_ip.header.lower())
    return Proxies()


def _hints(files: Sequence[tuple[Path, RuleFile]]) -> HintSettings:
    """Each setting comes from the first file that has it."""

    def first(key: str) -> Any:
        return next((getattr(file, key) for _, file in files if key in file.model_fields_set), _DEFAULTS[key].default)

    return HintSettings(first("client_hints"), first("hints_wait"), tuple(first("hints_delegate")))


def _delivery(files: Sequence[tuple[Path, RuleFile]]) -> Delivery:
    for _, file in files:
        if "delivery" in file.model_fields_set:
            section = file.delivery
            return Delivery(
                endpoint=section.endpoint.rstrip("/") if section.endpoint else None,
                proxy=section.proxy,
                timeout=section.timeout,
                max_age=section.max_age,
                concurrency=section.concurrency,
                retry_ambiguous=section.retry_ambiguous,
                recovery_rate=section.recovery_rate,
                power_safe=section.durability == "power",
                max_outbox=section.max_outbox,
                outbox_replicas=section.outbox_replicas,
                outbox_wait=section.outbox_wait,
                outbox_name=section.outbox_name,
            )
    return Delivery()


def summary(rules: RuleSet) -> str:
    """The rules in one line for people: `2 rules (1 observe), 1 exact app id, 0 OneLinks (3f2a…)`."""
    app_ids = {app for match, _ in rules.rules if match.app for app in match.app.exact}
    parts = (
        f"{_counted(len(rules.rules), 'rule')}{_not_direct(rules)}",
        _counted(len(app_ids), "exact app id"),
        _counted(len(rules.onelinks), "OneLink"),
    )
    return f"{', '.join(parts)} ({rules.digest})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _not_direct(rules: RuleSet) -> str:
    """How many rules only observe or are off: ` (1 observe, 2 off)`, or nothing."""
    modes = Counter(rule.mode for _, rule in rules.rules)
    parts = [f"{modes[mode]} {mode}" for mode in (Mode.OBSERVE, Mode.OFF) if modes[mode]]
    return f" ({', '.join(parts)})" if parts else ""
