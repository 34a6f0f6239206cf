"""Warnings about valid rules that nobody can mean: rules that no click reaches, trust in everybody (design §4).

We warn only about what is certain, so that a file without mistakes gets no warning. We do not look for what is
expensive to know (one glob within another, hundreds of globs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from itertools import chain
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from storehop.decide.link import APP_STORE_ID
from storehop.decide.rules import DEFAULT_HOSTS, Match, RuleSet, is_glob
from storehop.model import Platform
from storehop.rulefile import checks
from storehop.rulefile.apps import meant_app
from storehop.rulefile.cover import Conditions, covering_rules
from storehop.rulefile.faults import RuleFault, position_of, with_place
from storehop.rulefile.schema import RuleFile
from storehop.settings import Mode, Rule, Store

type _Files = Sequence[tuple[Path, CommentedMap, RuleFile]]
type _Section = dict[str, Any]
type _Message = tuple[tuple[str | int, ...], str]

_OF_APP_IDS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


def warnings_of(path: Path, files: _Files, rules: RuleSet) -> Iterator[RuleFault]:
    """Every warning about these files, with its line and column. `path` is the file or folder that holds them."""
    if not rules.rules:
        yield RuleFault(path, 1, 1, "warning: no rules: every click passes")
    sections = [(file, raw, place, section) for file, raw, model in files for place, section in enumerate(model.rules)]
    covering = covering_rules(
        [Conditions.of(section.match, match) for (*_, section), (match, _) in zip(sections, rules.rules, strict=True)]
    )
    for (file, raw, place, _), (match, rule), places in zip(sections, rules.rules, covering, strict=True):
        messages = _rule(raw["rules"][place]["match"], match, rule, rules)
        for key, message in chain(_shadowed(places, rules), messages):
            yield _warning(file, raw, ("rules", place, *key), message)
    for file, raw, model in files:
        for key, message in chain(_trust(model), _hosts(model, rules), _onelinks(model, rules)):
            yield _warning(file, raw, key, message)


def _warning(file: Path, raw: CommentedMap, path: tuple[str | int, ...], message: str) -> RuleFault:
    return RuleFault(file, *position_of(raw, path), f"warning: {with_place(raw, path, message)}")


def _shadowed(covering: frozenset[int], rules: RuleSet) -> Iterator[_Message]:
    if covering:
        names = [rules.rules[place][1].name for place in sorted(covering)]
        some_names = " and ".join(filter(None, [", ".join(map(repr, names[:2])), "others" if len(names) > 2 else ""]))  # noqa: PLR2004
        yield (
            (),
            f"no click gets here: {some_names} before it {'matches' if len(names) == 1 else 'match'} all these clicks",
        )


def _rule(conditions: _Section, match: Match, rule: Rule, rules: RuleSet) -> Iterator[_Message]:
    for where, app in checks.texts(conditions, "app"):
        if message := _app(app):
            yield ("match", *where), message
    if match.app is not None and not match.app.exact and not match.app.globs:
        yield ("match", "app_file"), "no app ids in it: the rule matches nothing"
    for where, host in checks.texts(conditions, "host"):
        if not is_glob(host) and not rules.is_click_host(host):
            yield ("match", *where), f"no click comes to {host}: expected one of hosts, or a OneLink's in lower case"
    if (platforms := _wrong_platform(match, rule)) is not None:
        yield ("match", "platform"), f"every click passes: the store is not for {platforms}"
    if rule.percent == 0 and rule.mode is Mode.DIRECT:
        yield ("percent",), "every click passes: with mode: observe you would also see the decisions"


def _app(app: str) -> str:
    """What is wrong with a glob, or "". Exact ids were checked before."""
    if not is_glob(app):
        return ""
    if "://" in app or (page := meant_app(app)):
        page = meant_app(app)
        return f"a page's URL is no app id, its ? is taken for a glob: expected {page or 'the app id'}"
    literal = "" if "[" in app else app.replace("*", "").replace("?", "")
    if not _OF_APP_IDS.issuperset(literal):
        odd = next(character for character in literal if character not in _OF_APP_IDS)
        return f"matches no app id: none holds {odd!r}"
    if app[0] in _OF_APP_IDS and not app[0].isalpha():
        return f"matches no app id: none begins with {app[0]!r}"
    return ""


def _wrong_platform(match: Match, rule: Rule) -> str | None:
    """The platforms of the rule's `match`, if none of them has the store of the rule's apps; else None."""
    if not match.platform or match.app is None or match.app.globs or not match.app.exact or rule.store is Store.CUSTOM:
        return None
    platforms = {Platform.IOS if APP_STORE_ID.fullmatch(app) else Platform.ANDROID for app in match.app.exact}
    return None if platforms & match.platform else " or ".join(sorted(match.platform))


def _trust(file: RuleFile) -> Iterator[_Message]:
    message = "everybody is trusted: whoever clicks can name any address as theirs. Expected your own proxies only"
    trusted = file.client_ip.trusted_proxies
    whole = [place for place, network in enumerate(trusted) if network.prefixlen == 0]
    for place in whole:
        yield ("client_ip", "trusted_proxies", place), message
    if not whole:
        old = collapse_addresses(network for network in trusted if isinstance(network, IPv4Network))
        new = collapse_addresses(network for network in trusted if isinstance(network, IPv6Network))
        if IPv4Network("0.0.0.0/0") in old or IPv6Network("::/0") in new:
            yield ("client_ip", "trusted_proxies"), message


def _hosts(file: RuleFile, rules: RuleSet) -> Iterator[_Message]:
    if missing := sorted(DEFAULT_HOSTS - rules.hosts) if "hosts" in file.model_fields_set else []:
        yield ("hosts",), f"clicks to {' and '.join(missing)} pass: hosts stands in place of the default"


def _onelinks(file: RuleFile, rules: RuleSet) -> Iterator[_Message]:
    for place, onelink in enumerate(file.onelinks):
        for side, app in ((Platform.ANDROID, onelink.android), (Platform.IOS, onelink.ios)):
            if app is not None and not _has_rule(app, onelink.host, side, rules):
                yield ("onelinks", place, side.value), f"no rule is for {app}: the OneLink's clicks on {side} pass"


def _has_rule(app: str, host: str, side: Platform, rules: RuleSet) -> bool:
    places = sorted({*rules.by_app.get(app, ()), *rules.general})
    return any(
        (match.app is None or match.app.match(app))
        and (match.host is None or match.host.match(host))
        and (match.platform is None or side in match.platform)
        for match, _ in (rules.rules[place] for place in places)
    )
