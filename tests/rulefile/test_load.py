"""Rule files: what they say, and every fault with its file, line and column (design §4)."""

import json
import re
from fnmatch import translate
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storehop.decide.address import Proxies
from storehop.decide.link import split
from storehop.decide.rules import DEFAULT_HOSTS, Facts
from storehop.model import Platform
from storehop.rulefile import RuleFileError, load, read, summary
from storehop.rulefile.keys import _SECTIONS
from storehop.rulefile.schema import RuleFile, RuleSection
from storehop.settings import Campaign, Consent, Delivery, Enrich, Gdpr, Limit, Mode, OneLink, Rule, Store

SAMPLE = """\
version: 1
partner: NetworkA                  # referrer prefix: NetworkA_<transaction>
click_id: clickid                  # link parameter(s) that hold the transaction id, first present wins
hosts: [app.appsflyer.com, app.aflink.com]
client_ip:
  trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]
  header: X-Forwarded-For
delivery:
  endpoint: null                   # scheme://host[:port] that replaces the link's own for every S2S call
  timeout: 5s
  max_age: 120s                    # a click is worth nothing later: it goes to the dead letters
  concurrency: 64
onelinks:
  - {host: brand.onelink.me, template: AbC1, android: com.example.game, ios: id123456789}
rules:                             # first match wins; exact app ids are indexed
  - name: games
    match: {app: "com.example.*", pid: networka_int}     # app: id, glob, or list
    mode: direct                   # direct | observe | off
    percent: 100                   # share of clicks, stable per click
  - name: games-ios
    match: {app: id123456789}
    store: app_store
    country: us
    enrich: [af_ua, af_ip, af_lang, af_os_version, af_model]
"""
"""The sample of design §4, every key of it."""

HEAD = "version: 1\npartner: NetworkA\n"
NO_APP = "expected an app id (id123456789, com.example.game, com.example.game-channel) or a glob"
NO_STORE = "the id names a channel: expected an explicit store, since it does not say which one"
FACTS = Facts("com.example.game", Platform.ANDROID, split("https://app.appsflyer.com/com.example.game?pid=netx&geo=us"))


@pytest.fixture
def write(tmp_path):
    """Writes a file below a folder of its own and returns its path."""

    def write_file(text, name="rules.yaml"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def load_rule(write, *keys, match="{}"):
    """The rule that a file with these keys makes."""
    lines = [f"  - name: games\n    match: {match}", *(f"    {key}" for key in keys)]
    ((_, rule),) = load(write(HEAD + "rules:\n" + "\n".join(lines))).rules
    return rule


# What a file says


def test_the_sample_of_the_design_loads(write):
    """The design's sample says what the design says."""
    rules = load(write(SAMPLE))

    assert [
        Rule("games", partner="NetworkA"),
        Rule("games-ios", partner="NetworkA", store=Store.APP_STORE, country="us"),
    ] == [rule for _, rule in rules.rules]
    assert frozenset({"app.appsflyer.com", "app.aflink.com"}) == rules.hosts
    assert Proxies((ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")), "x-forwarded-for") == rules.proxies
    assert Delivery(None, 5.0, 120.0, 64) == rules.delivery
    assert [OneLink("brand.onelink.me", "AbC1", "com.example.game", "id123456789")] == list(rules.onelinks.values())


@pytest.mark.parametrize(
    ("app", "pid", "name"),
    [
        ("com.example.game", "networka_int", "games"),
        ("com.example.game", "other_int", None),
        ("com.other.game", "networka_int", None),
        ("id123456789", "anything", "games-ios"),
    ],
)
def test_the_rules_of_the_sample_match(write, app, pid, name):
    """The sample's rules match by app glob and `pid`, and by an App Store id."""
    link = split(f"https://app.appsflyer.com/{app}?pid={pid}")
    found = load(write(SAMPLE)).find(Facts(app, Platform.ANDROID, link))

    assert name == (found.name if found else None)


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        pytest.param(["mode: observe"], "mode", Mode.OBSERVE, id="mode: observe"),
        pytest.param(["mode: off"], "mode", Mode.OFF, id="mode: off"),
        pytest.param(["percent: 12.5"], "percent", 12.5, id="percent"),
        pytest.param(["percent: 0"], "percent", 0.0, id="percent: 0"),
        pytest.param(["store: samsung_galaxy_store"], "store", Store.SAMSUNG_GALAXY_STORE, id="store"),
        pytest.param(
            ["store: custom", "store_url: 'https://s.example/{package}?r={referrer}&a={app}'"],
            "store_url",
            "https://s.example/{package}?r={referrer}&a={app}",
            id="store_url",
        ),
        pytest.param(["link: market"], "market_link", True, id="link: market"),
        pytest.param(["link: https"], "market_link", False, id="link: https"),
        pytest.param(["country: no"], "country", "no", id="country, Norway too"),
        pytest.param(
            ["campaign: {pt: '1234', ct: spring sale, mt: '8'}"],
            "campaign",
            Campaign("1234", "spring sale", "8"),
            id="campaign",
        ),
        pytest.param(["store: huawei_appgallery", "channel_id: ch1"], "channel_id", "ch1", id="channel_id"),
        pytest.param(["partner: Other"], "partner", "Other", id="partner"),
        pytest.param([], "partner", "NetworkA", id="the file's partner"),
        pytest.param(["click_id: tid"], "click_id", ("tid",), id="click_id"),
        pytest.param(["click_id: [tid, clickid]"], "click_id", ("tid", "clickid"), id="click_id, a list"),
        pytest.param([], "click_id", ("clickid",), id="click_id by default"),
        pytest.param(["enrich: [af_ip, af_ua]"], "enrich", {Enrich.AF_IP, Enrich.AF_UA}, id="enrich"),
        pytest.param(["enrich: []"], "enrich", set(), id="enrich: []"),
        pytest.param([], "enrich", set(Enrich), id="enrich by default"),
        pytest.param(["deep_links: store"], "deep_links_to_store", True, id="deep_links: store"),
        pytest.param(["answer: off"], "answers", False, id="answer: off"),
        pytest.param(["answer: false"], "answers", False, id="answer: false"),
        pytest.param(["answer: on"], "answers", True, id="answer: on"),
        pytest.param(["answer: true"], "answers", True, id="answer: true"),
        pytest.param([], "answers", True, id="answer by default"),
        pytest.param(["deep_links: pass"], "deep_links_to_store", False, id="deep_links: pass"),
    ],
)
def test_each_key_of_a_rule_works(write, keys, field, value):
    """Each key of a rule says what the design says, and has its default where it is left out."""
    assert value == getattr(load_rule(write, *keys), field)


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        pytest.param("partner: 12", "partner", "12", id="whole"),
        pytest.param("partner: 012345", "partner", "012345", id="zeros before it"),
        pytest.param("partner: 1.50", "partner", "1.50", id="zeros behind it"),
        pytest.param("partner: 1_000", "partner", "1_000", id="underscore"),
        pytest.param("partner: 0x1F", "partner", "0x1F", id="hexadecimal"),
        pytest.param("partner: 0o17", "partner", "0o17", id="octal"),
        pytest.param("partner: 12e03", "partner", "12e03", id="exponent"),
        pytest.param(f"partner: {'9' * 91}", "partner", "9" * 91, id="long"),
        pytest.param("partner: 2026-11-27", "partner", "2026-11-27", id="date"),
        pytest.param("partner: 2026-13-45", "partner", "2026-13-45", id="no date"),
        pytest.param("partner: no", "partner", "no", id="what YAML 1.1 takes for false"),
        pytest.param(
            "campaign: {pt: 012345, ct: 5e22, mt: 8}", "campaign", Campaign("012345", "5e22", "8"), id="tokens"
        ),
        pytest.param("click_id: [1, 02]", "click_id", ("1", "02"), id="list"),
    ],
)
def test_text_may_look_like_a_number(write, keys, field, value):
    """What YAML takes for a number or date is the text that was written, where text is wanted."""
    assert value == getattr(load_rule(write, keys), field)


def test_names_and_templates_may_look_like_numbers(write):
    """A rule's name, an app's prefix in a glob and a OneLink's template too."""
    onelink = "onelinks: [{host: a.onelink.me, template: 5e22, ios: id123456}]"
    rules = load(
        write(f"version: '1'\npartner: A\n{onelink}\nrules: [{{name: 1, match: {{pid: 7, param: {{1: 2}}}}}}]")
    )
    ((match, rule),) = rules.rules

    assert (("a.onelink.me", "5e22"), "1") == (*rules.onelinks, rule.name)
    assert ["pid", "1"] == [name for name, _ in match.params]


def test_names_that_look_like_numbers_are_unique_too(write):
    """`name: 1` and `name: "1"` are one name."""
    (fault,) = read(write(f"{HEAD}rules: [{{name: 1, match: {{}}}}, {{name: '1', match: {{}}}}]")).faults

    assert "a rule of that name stands in" in fault.message


APPLIES = frozenset({Gdpr.APPLIES})
PASSES = frozenset({Limit.PASS})


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param("{when: {}, then: pass}", Consent(PASSES), id="always"),
        pytest.param("{when: {gpc: true}, then: [pass]}", Consent(PASSES, gpc=True), id="gpc"),
        pytest.param("{when: {gpp: present}, then: pass}", Consent(PASSES, gpp=True), id="gpp"),
        pytest.param("{when: {us_privacy: opted_out}, then: pass}", Consent(PASSES, us_privacy=True), id="us_privacy"),
        pytest.param("{when: {gdpr: applies}, then: pass}", Consent(PASSES, APPLIES), id="gdpr"),
        pytest.param("{when: {gdpr: [applies, unsaid]}, then: pass}", Consent(PASSES, frozenset(Gdpr)), id="gdpr list"),
        pytest.param(
            "{when: {gdpr_consent_lacks: [1, 7]}, then: pass}",
            Consent(PASSES, APPLIES, frozenset({1, 7})),
            id="gdpr_consent_lacks, where the GDPR applies",
        ),
        pytest.param(
            "{when: {gdpr: unsaid, gdpr_consent_lacks: [1]}, then: pass}",
            Consent(PASSES, frozenset({Gdpr.UNSAID}), frozenset({1})),
            id="gdpr_consent_lacks, where the rule says so",
        ),
        pytest.param(
            "{when: {param: {npa: ['1', 't*']}}, then: pass}",
            Consent(PASSES, params=(("npa", re.compile(f"1|{translate('t*')}")),)),
            id="param",
        ),
        pytest.param(
            "{when: {gpc: true}, then: [omit_ids, truncate_ip, omit_enrichment]}",
            Consent(frozenset(Limit) - PASSES, gpc=True),
            id="several outcomes",
        ),
    ],
)
def test_each_case_of_consent_works(write, case, expected):
    """Each signal and each outcome of `consent` says what the manual says."""
    assert (expected,) == load_rule(write, f"consent: [{case}]").consent


def test_a_rule_without_consent_reads_none(write):
    """Consent is off where a rule does not ask for it."""
    assert not load_rule(write).consent


def test_a_rule_with_only_the_needed_keys_has_the_defaults(write):
    """A rule needs a name and a match; everything else has the design's default."""
    assert Rule("games", Mode.DIRECT, 100.0, Store.AUTO, partner="NetworkA") == load_rule(write)


@pytest.mark.parametrize(
    ("text", "answers"),
    [("", [True, True, False]), ("answer: off", [False, True, False]), ("answer: false", [False, True, False])],
)
def test_the_files_answer_counts_for_rules_without_one(write, text, answers):
    """`answer` at the top counts for every rule of the file that has none of its own."""
    rules = "rules: [{name: a, match: {}}, {name: b, match: {}, answer: on}, {name: c, match: {}, answer: off}]"

    assert answers == [rule.answers for _, rule in load(write(f"{HEAD}{text}\n{rules}")).rules]


@pytest.mark.parametrize("text", ["click_id: [tid, clickid]", "click_id: tid"])
def test_the_files_click_id_is_its_rules_click_id(write, text):
    """`click_id` at the top counts for every rule of the file that has none of its own."""
    ((_, rule),) = load(write(f"{HEAD}{text}\nrules: [{{name: games, match: {{}}}}]")).rules

    assert rule.click_id[0] == "tid"


@pytest.mark.parametrize(
    ("match", "misses"),
    [
        pytest.param("{}", None, id="no condition"),
        pytest.param("{app: com.example.game}", None, id="app"),
        pytest.param("{app: 'com.*'}", None, id="app glob"),
        pytest.param("{app: [com.other.game, com.example.game]}", None, id="list of apps"),
        pytest.param("{app: com.other.game}", "app", id="another app"),
        pytest.param("{pid: 'net*'}", None, id="pid"),
        pytest.param("{pid: [a, b]}", "pid", id="another pid"),
        pytest.param("{host: '*.appsflyer.com'}", None, id="host"),
        pytest.param("{host: app.aflink.com}", "host", id="another host"),
        pytest.param("{platform: android}", None, id="platform"),
        pytest.param("{platform: [ios, other]}", "platform", id="another platform"),
        pytest.param("{param: {geo: [us, ca]}}", None, id="param"),
        pytest.param("{param: {geo: us, af_sub1: '*'}}", "af_sub1", id="a param that is missing"),
    ],
)
def test_each_condition_works(write, match, misses):
    """Each key of `match` is a condition: exact, glob or a list."""
    ((found, _),) = load(write(f"{HEAD}rules: [{{name: games, match: {match}}}]")).rules

    assert misses == found.failed_condition(FACTS)


def test_defaults_of_a_file(write):
    """A file that only says its version has the default hosts, trusts nobody and has no rules."""
    rules = load(write("version: 1"))

    assert (DEFAULT_HOSTS, Proxies(), Delivery(), ()) == (rules.hosts, rules.proxies, rules.delivery, rules.rules)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0)],
)
def test_a_duration_has_a_unit(write, text, seconds):
    """Durations are written with ms, s, m or h."""
    assert seconds == load(write(f"version: 1\ndelivery: {{timeout: {text}}}")).delivery.timeout


@pytest.mark.parametrize(
    ("section", "endpoint"),
    [
        pytest.param("{endpoint: 'https://stage.example'}", "https://stage.example", id="https"),
        pytest.param("{endpoint: 'https://stage.example:8443/'}", "https://stage.example:8443", id="port and slash"),
        pytest.param("{endpoint: 'http://127.0.0.1:9000'}", "http://127.0.0.1:9000", id="loopback"),
        pytest.param("{endpoint: 'http://127.8.8.8'}", "http://127.8.8.8", id="any loopback"),
        pytest.param("{endpoint: 'http://localhost:9000'}", "http://localhost:9000", id="localhost"),
        pytest.param("{endpoint: 'http://[::1]:9000'}", "http://[::1]:9000", id="loopback IPv6"),
        pytest.param(
            "{endpoint: 'http://stage.example', allow_plain_http: true}", "http://stage.example", id="allowed"
        ),
        pytest.param("{endpoint: null}", None, id="null"),
    ],
)
def test_an_endpoint(write, section, endpoint):
    """An endpoint is https, or http on loopback, or http where the file allows it."""
    assert endpoint == load(write(f"version: 1\ndelivery: {section}")).delivery.endpoint


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://egress:3128", "http://egress:3128"),
        ("http://egress_1.internal/", "http://egress_1.internal"),
        ("http://10.0.0.1:65535", "http://10.0.0.1:65535"),
        ("'http://[::1]:3128'", "http://[::1]:3128"),
        ("env", "env"),
        ("null", None),
    ],
)
def test_a_proxy(write, text, proxy):
    """Calls leave through an http proxy, by the environment, or straight."""
    assert proxy == load(write(f"version: 1\ndelivery: {{proxy: {text}}}")).delivery.proxy


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "CF-Connecting-IP"])
def test_a_header_is_compared_in_lower_case(write, header):
    """The header of the client's address is configured in any case."""
    assert header.lower() == load(write(f"version: 1\nclient_ip: {{header: {header}}}")).proxies.header


def test_a_single_address_is_a_trusted_proxy(write):
    """A trusted proxy may be one address."""
    rules = load(write("version: 1\nclient_ip: {trusted_proxies: [10.1.2.3, '2001:db8::1']}"))

    assert (ip_network("10.1.2.3/32"), ip_network("2001:db8::1/128")) == rules.proxies.trusted


def test_a_network_may_be_written_as_ipv4_mapped(write):
    """An IPv4 network in IPv6 notation counts as the IPv4 network that it is: addresses are read the same way."""
    rules = load(write("version: 1\nclient_ip: {trusted_proxies: ['::ffff:10.0.0.0/104', '::ffff:192.0.2.1']}"))

    assert ("10.0.0.0/8", "192.0.2.1/32") == tuple(str(network) for network in rules.proxies.trusted)


# Files of app ids, folders of files


APPS = """\
# our games
com.example.game
  com.example.chess   # with a comment

id123456789
"""


def test_an_app_file_holds_one_id_a_line(write):
    """An app file lies beside the rule file and holds one app id a line, with comments and blank lines."""
    write(APPS, "apps.txt")
    rules = load(write(f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]"))

    assert {"com.example.game", "com.example.chess", "id123456789"} == set(rules.by_app)


def test_app_files_and_apps_add_up(write):
    """A rule matches the apps of all its app files and those that it names."""
    write("com.example.one", "one.txt")
    write("com.example.two", "two.txt")
    rules = load(write(f"{HEAD}rules: [{{name: games, match: {{app: com.a.b, app_file: [one.txt, two.txt]}}}}]"))

    assert {"com.a.b", "com.example.one", "com.example.two"} == set(rules.by_app)


def test_an_empty_app_file_matches_nothing(write):
    """A rule whose app file is empty matches no app: it does not match every app."""
    write("# none yet\n", "apps.txt")

    assert load(write(f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]")).find(FACTS) is None


def test_100_000_app_ids_are_indexed(write):
    """Every one of 100,000 ids of an app file is in the index, and its rule is tried for no other app."""
    write("\n".join(f"com.example.a{number}" for number in range(100_000)), "apps.txt")
    rules = load(write(f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]"))

    assert {f"com.example.a{number}": (0,) for number in range(100_000)} == rules.by_app
    assert not rules.general


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        pytest.param(
            "com.a.b\n# x\n  no id # x\n",
            "3:3",
            "expected an app id such as com.example.game",
            id="no app id",
        ),
        pytest.param("com.*\n", "1:1", "expected an app id such as com.example.game", id="glob"),
        pytest.param(
            "com.a.b\ncom.a.b-shop\n",
            "2:1",
            NO_STORE,
            id="channel and auto",
        ),
    ],
)
def test_a_bad_line_of_an_app_file_is_a_fault(write, text, position, message):
    """A line of an app file that is no app id, or none that the rule's store can hold, is a fault at its place."""
    file = write(text, "apps.txt")
    found = read(write(f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]"))

    assert [f"{file}:{position}: {message}"] == [str(fault) for fault in found.faults]


def test_a_missing_app_file_is_a_fault(write, tmp_path):
    """An app file that is not there is a fault that names it."""
    found = read(write(f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]"))

    assert [f"{tmp_path / 'apps.txt'}:1:1: cannot be read: No such file or directory"] == [
        str(fault) for fault in found.faults
    ]


def rule_text(name, more=""):
    return f"version: 1\npartner: {name}\n{more}rules: [{{name: {name}, match: {{}}}}]"


def test_a_folder_is_read_in_the_order_of_its_names(write, tmp_path):
    """A folder's *.yaml and *.yml files make one set of rules, in the order of their names."""
    for name in ("20-b.yaml", "10-c.yml", "30-a.yaml"):
        write(rule_text(name[3]), name)
    write("not: a rule file", "notes.txt")

    expected = ["c", "b", "a"]
    assert expected == [rule.name for _, rule in load(tmp_path).rules]


@pytest.mark.parametrize("name", [".#a.yaml", "._a.yaml", ".a.yaml"])
def test_hidden_files_are_no_rule_files(write, tmp_path, name):
    """Editors and operating systems put them there."""
    write(rule_text("a"), "a.yaml")
    write("\0", name)

    assert ["a"] == [rule.name for _, rule in load(tmp_path).rules]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_app_file_may_begin_with_a_byte_order_mark(tmp_path, write, encoding):
    """Spreadsheets write one."""
    (tmp_path / "apps.txt").write_text("com.a.b\n", encoding)
    rules = load(write(f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]"))

    assert {"com.a.b"} == set(rules.by_app)


def test_a_fault_of_what_a_merge_brought_has_a_place(write):
    """It stands where the mapping does that merges it, when nothing nearer is known."""
    rules = "- &a {name: a, match: {app: com.a.b}}\n- {<<: *a}\n- {<<: *a, name: c, percent: 101}\n"
    file = write(f"{HEAD}rules:\n{rules}")

    assert [
        f"{file}:5:3: rule 'a': a rule of that name stands in {file} already",
        f"{file}:6:30: rule 'c': percent: expected 100 at the most",
    ] == [str(fault) for fault in read(file).faults]


def test_a_partner_counts_for_its_own_file(write, tmp_path):
    """`partner` at the top counts for the rules of its own file."""
    write(rule_text("a"), "a.yaml")
    write(rule_text("b"), "b.yaml")

    expected = ["a", "b"]
    assert expected == [rule.partner for _, rule in load(tmp_path).rules]


def test_the_settings_of_a_folder_stand_in_any_file(write, tmp_path):
    """`client_ip`, `delivery`, `hosts` and `onelinks` count for the folder, wherever they stand."""
    onelink = "onelinks: [{host: a.onelink.me, template: AbC1, ios: id123456}]\n"
    write(rule_text("a", "hosts: [a.example]\n"), "a.yaml")
    write(
        rule_text("b", f"hosts: [b.example]\nclient_ip: {{header: Forwarded}}\ndelivery: {{timeout: 1s}}\n{onelink}"),
        "b.yaml",
    )
    rules = load(tmp_path)

    assert {"a.example", "b.example"} == rules.hosts
    assert {("a.onelink.me", "AbC1")} == set(rules.onelinks)
    assert rules.proxies.header == "forwarded"
    assert rules.delivery.timeout == 1.0


@pytest.mark.parametrize("key", ["client_ip", "delivery"])
def test_settings_in_two_files_are_a_fault(write, tmp_path, key):
    """`client_ip` and `delivery` stand in one file of a folder; a second one is a fault that names the first."""
    first = write(f"version: 1\n{key}: {{}}", "a.yaml")
    second = write(f"version: 1\nhosts: [x.example]\n{key}: {{}}", "b.yaml")

    assert [f"{second}:3:1: {key}: stands in {first} already"] == [str(fault) for fault in read(tmp_path).faults]


def test_a_rule_name_in_two_files_is_a_fault(write, tmp_path):
    """A rule's name stands once in a folder; a second one is a fault that names the first file."""
    first = write(rule_text("games"), "a.yaml")
    second = write(rule_text("games"), "b.yaml")
    found = [str(fault) for fault in read(tmp_path).faults]

    assert [f"{second}:3:16: rule 'games': a rule of that name stands in {first} already"] == found


def test_a_onelink_in_two_files_is_a_fault(write, tmp_path):
    """A template stands for one pair of apps: a second one would silently win."""
    onelink = "onelinks: [{host: brand.onelink.me, template: AbC1, android: com.example.game}]\n"
    first = write(HEAD + onelink, "a.yaml")
    second = write(HEAD + onelink, "b.yaml")
    expected = [f"{second}:3:12: onelinks: brand.onelink.me/AbC1 stands in {first} already"]

    assert [str(fault) for fault in read(tmp_path).faults] == expected


def test_no_hosts_are_no_hosts(write):
    """An empty list of hosts is taken at its word."""
    assert load(write(HEAD + "hosts: []")).hosts == frozenset()


def test_an_empty_folder_is_a_fault(tmp_path):
    """A folder without rule files is a fault, not an empty set of rules."""
    assert [f"{tmp_path}:1:1: is a folder without rule files: expected *.yaml"] == [
        str(fault) for fault in read(tmp_path).faults
    ]


def test_a_missing_file_is_a_fault(tmp_path):
    """A rule file that is not there is a fault."""
    file = tmp_path / "rules.yaml"

    assert [f"{file}:1:1: cannot be read: No such file or directory"] == [str(fault) for fault in read(file).faults]


def test_a_file_that_is_no_text_is_a_fault(tmp_path):
    """A rule file that is no UTF-8 is a fault that says which byte is in the way."""
    file = tmp_path / "rules.yaml"
    file.write_bytes(b"version: \xff")

    assert [f"{file}:1:1: is no UTF-8 text: byte 9 is in the way"] == [str(fault) for fault in read(file).faults]


# Faults


def located(text):
    """The text without its mark `§`, and the line and column where the mark stood."""
    before = text.partition("§")[0]
    return text.replace("§", "", 1), f"{before.count('\n') + 1}:{len(before) - before.rfind('\n')}"


def in_rule(keys):
    """A file whose only rule has these keys beside name and match."""
    return f"{HEAD}rules:\n  - name: games\n    match: {{}}\n    {keys}\n"


def in_match(conditions):
    return f"{HEAD}rules:\n  - name: games\n    match: {{{conditions}}}\n"


def in_when(signals):
    return in_rule(f"consent: [{{when: {{{signals}}}, then: omit_ids}}]")


LIMITS = "expected 'omit_ids', 'truncate_ip', 'omit_enrichment' or 'pass'"
STORES = "'auto', 'google_play', 'app_store', 'huawei_appgallery', 'samsung_galaxy_store', 'xiaomi_getapps', "
NOT_A_URL = "rule 'games': store_url: expected a whole URL such as https://store.example/app/{package}"
NOT_FIXED = "rule 'games': store_url: expected a fixed host name: no placeholder may stand in it"
NOT_BARE = "delivery.endpoint: expected scheme://host[:port] and nothing behind it"
NO_PROXY = "delivery.proxy: expected http://host[:port], or env for HTTPS_PROXY and NO_PROXY of the environment"
NO_TEXT = "expected text or a list of texts: put it in quotes"
TOP = (
    "answer, canary, click_id, client_hints, client_ip, delivery, hints_delegate, hints_wait, hosts, onelinks, "
    "partner, rules, version"
)

FAULTS = [
    # the file
    ("", "expected keys and values, with version: 1 first"),
    ("§- a list", "expected keys and values, with version: 1 first"),
    ("§partner: NetworkA", "version: is missing"),
    ("version: §2", "version: expected 1"),
    ("version: 1\n§parner: x", "parner: unknown key: did you mean partner?"),
    ("version: 1\n§zzz: x", f"zzz: unknown key: expected {TOP}"),
    ("version: 1\npartner: §Network A", "partner: expected only A-Z a-z 0-9 _ . -, 1 to 91 characters"),
    (f"version: 1\npartner: §{'x' * 92}", "partner: expected only A-Z a-z 0-9 _ . -, 1 to 91 characters"),
    ("version: 1\npartner: §true", "partner: expected text: put it in quotes"),
    ("version: 1\nclick_id: §[]", "click_id: is empty"),
    ("version: 1\nclick_id: §true", f"click_id: {NO_TEXT}"),
    ("version: 1\nclick_id: [tid, §'']", "click_id: is empty"),
    ("version: 1\nhosts: §app.example", "hosts: expected a list: [a, b], or lines that begin with -"),
    (
        "version: 1\nhosts: [app.example, §App.example]",
        "hosts: expected a host name in lower case, without scheme, port and path",
    ),
    (
        "version: 1\nhosts: [§'https://app.example']",
        "hosts: expected a host name in lower case, without scheme, port and path",
    ),
    ("version: 1\nrules: §none", "rules: expected a list: [a, b], or lines that begin with -"),
    # client_ip
    ("version: 1\nclient_ip: §proxy", "client_ip: expected keys and values"),
    ("version: 1\nclient_ip: {§headr: x}", "client_ip.headr: unknown key: did you mean header?"),
    ("version: 1\nclient_ip:\n  header: §X Y", "client_ip.header: expected only A-Z a-z 0-9 _ . -, 1 to 64 characters"),
    (
        "version: 1\nclient_ip:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - §10.0.0.1/8",
        "client_ip.trusted_proxies: has bits behind its /8: expected 10.0.0.0/8, or 10.0.0.1 for the one address",
    ),
    # delivery
    ("version: 1\ndelivery: {§timout: 5s}", "delivery.timout: unknown key: did you mean timeout?"),
    ("version: 1\ndelivery: {timeout: §5}", "delivery.timeout: expected a duration above zero such as 250ms, 5s or 2m"),
    (
        "version: 1\ndelivery: {max_age: §0s}",
        "delivery.max_age: expected a duration above zero such as 250ms, 5s or 2m",
    ),
    ("version: 1\ndelivery: {concurrency: §0}", "delivery.concurrency: expected 1 or more"),
    ("version: 1\ndelivery: {concurrency: §many}", "delivery.concurrency: expected a whole number"),
    ("version: 1\ndelivery: {allow_plain_http: §maybe}", "delivery.allow_plain_http: expected true or false"),
    ("version: 1\ndelivery: {endpoint: §true}", "delivery.endpoint: expected text: put it in quotes"),
    (
        "version: 1\ndelivery: {endpoint: §'http://stage.example'}",
        "delivery.endpoint: http is accepted for loopback only: expected https, or allow_plain_http: true",
    ),
    ("version: 1\ndelivery: {endpoint: §stage.example}", NOT_BARE),
    ("version: 1\ndelivery: {endpoint: §'https://stage.example/path'}", NOT_BARE),
    ("version: 1\ndelivery: {endpoint: §'https://stage.example?a=b'}", NOT_BARE),
    ("version: 1\ndelivery: {endpoint: §'https://me@stage.example'}", NOT_BARE),
    ("version: 1\ndelivery: {endpoint: §'https://stage.example:99999'}", NOT_BARE),
    ("version: 1\ndelivery: {endpoint: §'ftp://stage.example'}", NOT_BARE),
    ("version: 1\ndelivery: {proxy: §true}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §egress}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §'https://egress:3128'}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §'socks5://egress:1080'}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §'http://me:secret@egress:3128'}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §'http://egress:65536'}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §'http://egress:0'}", NO_PROXY),
    ("version: 1\ndelivery: {proxy: §'http://egress/path'}", NO_PROXY),
    # onelinks
    ("version: 1\nonelinks:\n  - §host: a.onelink.me\n    template: AbC1", "onelinks: expected android, ios or both"),
    (
        "version: 1\nonelinks: [{host: a.b, template: AbC1, android: c.d, §iso: x}]",
        "onelinks.iso: unknown key: did you mean ios?",
    ),
    ("version: 1\nonelinks: [§{template: AbC1, ios: id123456}]", "onelinks.host: is missing"),
    (
        "version: 1\nonelinks: [{host: a.b, template: §A, ios: id123456}]",
        "onelinks.template: expected only A-Z a-z 0-9, 4 to 10 characters",
    ),
    (
        "version: 1\nonelinks: [{host: a.b, template: AbC1, ios: §com.example.game}]",
        "onelinks.ios: expected an App Store id such as id123456789",
    ),
    (
        "version: 1\nonelinks: [{host: a.b, template: AbC1, android: §id123456}]",
        "onelinks.android: expected a package such as com.example.game",
    ),
    (
        "version: 1\nonelinks: [{host: a.b, template: AbC1, android: §game}]",
        "onelinks.android: expected an app id such as id123456789 or com.example.game",
    ),
    # a rule
    (f"{HEAD}rules: [§games]", "rule 1: expected keys and values"),
    (f"{HEAD}rules:\n  - §match: {{}}", "rule 1: name: is missing"),
    (f"{HEAD}rules:\n  - §name: games", "rule 'games': match: is missing"),
    (
        f"{HEAD}rules:\n  - name: §my games\n    match: {{}}",
        "rule 'my games': name: expected only A-Z a-z 0-9 _ . -, 1 to 64 characters",
    ),
    (
        "version: 1\nrules:\n  - §name: games\n    match: {}",
        "rule 'games': no partner: expected partner here or at the top of the file",
    ),
    (
        "version: 1\npartner:\nrules:\n  - §name: games\n    match: {}",
        "rule 'games': no partner: expected partner here or at the top of the file",
    ),
    (in_rule("§mod: direct"), "rule 'games': mod: unknown key: did you mean mode?"),
    (in_rule("mode: §on"), "rule 'games': mode: expected 'direct', 'observe' or 'off'"),
    (in_rule("percent: §101"), "rule 'games': percent: expected 100 at the most"),
    (in_rule("percent: §-1"), "rule 'games': percent: expected 0 or more"),
    (in_rule("percent: §half"), "rule 'games': percent: expected a number"),
    (in_rule("store: §play"), f"rule 'games': store: expected {STORES}'amazon_appstore' or 'custom'"),
    (in_rule("link: §http"), "rule 'games': link: expected 'https' or 'market'"),
    (in_rule("country: §US"), "rule 'games': country: expected only a-z, 2 characters"),
    (in_rule("campaign: {§ptt: x}"), "rule 'games': campaign.ptt: unknown key: did you mean pt?"),
    (
        in_rule("campaign: {ct: §'a\u00e9'}"),
        "rule 'games': campaign.ct: expected only ASCII, no control characters, 1 to 40 characters",
    ),
    (in_rule("campaign: {mt: §true}"), "rule 'games': campaign.mt: expected text: put it in quotes"),
    (in_rule("partner: §A B"), "rule 'games': partner: expected only A-Z a-z 0-9 _ . -, 1 to 91 characters"),
    (
        in_rule("enrich: [af_ip, §af_os]"),
        "rule 'games': enrich: expected 'af_ip', 'af_ua', 'af_lang', 'af_os_version' or 'af_model'",
    ),
    (in_rule("deep_links: §app"), "rule 'games': deep_links: expected 'pass' or 'store'"),
    # consent
    (
        in_rule("consent: §{when: {}, then: pass}"),
        "rule 'games': consent: expected a list: [a, b], or lines that begin with -",
    ),
    (in_rule("consent: [§gpc]"), "rule 'games': consent: expected keys and values"),
    (in_rule("consent: [§{then: pass}]"), "rule 'games': consent.when: is missing"),
    (in_rule("consent: [§{when: {}}]"), "rule 'games': consent.then: is missing"),
    (
        in_rule("consent: [{when: {}, then: pass, §than: x}]"),
        "rule 'games': consent.than: unknown key: did you mean then?",
    ),
    (in_rule("consent: [{when: §gpc, then: pass}]"), "rule 'games': consent.when: expected keys and values"),
    (in_rule("consent: [{when: {}, then: §omit}]"), f"rule 'games': consent.then: {LIMITS}"),
    (in_rule("consent: [{when: {}, then: [omit_ids, §ids]}]"), f"rule 'games': consent.then: {LIMITS}"),
    (in_rule("consent: [{when: {}, then: §[]}]"), "rule 'games': consent.then: is empty"),
    (
        in_rule("consent: [{when: {}, then: §[omit_ids, pass]}]"),
        "rule 'games': consent.then: pass stands alone: nothing is sent that another outcome could limit",
    ),
    (in_when("§gdp: applies"), "rule 'games': consent.when.gdp: unknown key: did you mean gdpr?"),
    (in_when("gdpr: §'1'"), "rule 'games': consent.when.gdpr: expected 'applies' or 'unsaid'"),
    (in_when("gdpr: §[]"), "rule 'games': consent.when.gdpr: is empty"),
    (
        in_when("gdpr_consent_lacks: §1"),
        "rule 'games': consent.when.gdpr_consent_lacks: expected a list: [a, b], or lines that begin with -",
    ),
    (in_when("gdpr_consent_lacks: §[]"), "rule 'games': consent.when.gdpr_consent_lacks: is empty"),
    (
        in_when("gdpr_consent_lacks: [1, §12]"),
        "rule 'games': consent.when.gdpr_consent_lacks: expected 11 at the most",
    ),
    (in_when("us_privacy: §1YYN"), "rule 'games': consent.when.us_privacy: expected 'opted_out'"),
    (in_when("gpp: §true"), "rule 'games': consent.when.gpp: expected 'present'"),
    (in_when("gpc: §false"), "rule 'games': consent.when.gpc: expected true"),
    (in_when("gpc: §1"), "rule 'games': consent.when.gpc: expected true"),
    (in_when("gpc:§ "), "rule 'games': consent.when.gpc: has no value: say what it waits for, or leave the key out"),
    (in_when("param: {npa: §true}"), f"rule 'games': consent.when.param.npa: {NO_TEXT}"),
    # keys without a value
    *(
        (in_match(f"{key}:§ "), f"rule 'games': match.{key}: has no value: say what it matches, or leave the key out")
        for key in ("app", "app_file", "pid", "host", "platform")
    ),
    (in_rule("answer: §maybe"), "rule 'games': answer: expected on or off"),
    (in_rule("answer: §1"), "rule 'games': answer: expected on or off"),
    (f"{HEAD}answer: §[on]", "answer: expected on or off"),
    # keys that need each other
    (in_rule("store: §custom"), "rule 'games': store: store: custom needs a store_url"),
    (in_rule("store_url: §'https://s.example/'"), "rule 'games': store_url: only means something with store: custom"),
    (in_rule("channel_id: §ch1"), "rule 'games': channel_id: only means something with store: huawei_appgallery"),
    (
        in_rule("store: google_play\n    country: §us"),
        "rule 'games': country: only means something with store: app_store or auto",
    ),
    (
        in_rule("store: google_play\n    campaign: §{pt: x}"),
        "rule 'games': campaign: only means something with store: app_store or auto",
    ),
    (in_rule("store: app_store\n    link: §market"), "rule 'games': link: market links only lead to google_play"),
    (
        in_rule("store: custom\n    store_url: §'https://s.example/{package}?x={clickid}'"),
        "rule 'games': store_url: unknown placeholder {clickid}: expected {app}, {package} or {referrer}",
    ),
    (in_rule("store: custom\n    store_url: §s.example/{package}"), NOT_A_URL),
    (in_rule("store: custom\n    store_url: §'//s.example/{package}'"), NOT_A_URL),
    (in_rule("store: custom\n    store_url: §'javascript:alert(1)'"), NOT_A_URL),
    (in_rule("store: custom\n    store_url: §'{referrer}'"), NOT_A_URL),
    (in_rule("store: custom\n    store_url: §'https://{package}.example/'"), NOT_FIXED),
    (in_rule("store: custom\n    store_url: §'https://s.example{app}'"), NOT_FIXED),
    (in_rule("store: custom\n    store_url: §'https://s.example@{app}/'"), NOT_FIXED),
    (
        in_rule("store: custom\n    store_url: §'https://s.example/a b'"),
        "rule 'games': store_url: expected no spaces and only ASCII: encode them",
    ),
    (in_match("app: §123456789"), "rule 'games': match.app: expected id123456789"),
    (in_match("app: §ID123456789"), "rule 'games': match.app: expected id123456789"),
    (
        in_match("app: §https://apps.apple.com/us/app/a-game/id123456789"),
        "rule 'games': match.app: expected id123456789",
    ),
    # match
    (f"{HEAD}rules:\n  - name: games\n    match: §all", "rule 'games': match: expected keys and values"),
    (in_match("§ap: com.a.b"), "rule 'games': match.ap: unknown key: did you mean app?"),
    (in_match("app: §true"), f"rule 'games': match.app: {NO_TEXT}"),
    (
        in_match("app: [com.a.b, §no id]"),
        f"rule 'games': match.app: {NO_APP}",
    ),
    (
        in_match("app: §com.a.b-shop"),
        f"rule 'games': match.app: com.a.b-shop: {NO_STORE}",
    ),
    (
        in_match("app: [id123456, §com.a.b]").replace("match", "store: app_store\n    match"),
        "rule 'games': match.app: com.a.b: the app is not in the App Store: expected an id such as id123456789",
    ),
    (
        in_match("app: §id123456").replace("match", "store: google_play\n    match"),
        "rule 'games': match.app: id123456: the app is in the App Store: expected store: app_store or auto",
    ),
    (in_match("pid: §true"), f"rule 'games': match.pid: {NO_TEXT}"),
    (in_match("host: §[]"), "rule 'games': match.host: is empty"),
    (in_match("platform: [ios, §windows]"), "rule 'games': match.platform: expected 'android', 'ios' or 'other'"),
    (in_match("param: {geo: §true}"), f"rule 'games': match.param.geo: {NO_TEXT}"),
    (in_match("param: §geo"), "rule 'games': match.param: expected keys and values"),
]


@pytest.mark.parametrize(("marked", "message"), FAULTS, ids=[message[:60] for _, message in FAULTS])
def test_a_fault_is_named_at_its_place(write, marked, message):
    """A fault has its file, line and column, the rule and key, and what was expected."""
    text, position = located(marked)
    file = write(text)

    assert [f"{file}:{position if '§' in marked else '1:1'}: {message}"] == [str(fault) for fault in read(file).faults]


def test_a_character_that_yaml_forbids_is_a_fault(write):
    """A control character is a fault that names it."""
    (fault,) = read(write("version: 1\npartner: \x07")).faults

    assert "holds the control character #x0007" in fault.message


def test_every_fault_is_listed_at_once(write, tmp_path):
    """All faults of all files come together, in the order of files and lines."""
    text = "version: 2\nparner: x\nrules:\n  - name: a b\n    match: {app: 5}\n    percent: 101\n    store: custom\n"
    first = write(text, "a.yaml")
    write("version: [", "b.yaml")
    third = write("version: 1\nhosts: x", "c.yaml")
    places = [str(fault).partition(": ")[0] for fault in read(tmp_path).faults]

    expected = [f"{first}:{at}" for at in ("1:10", "2:1", "4:5", "4:11", "5:18", "6:14", "7:12")]
    assert expected == places[:7]
    assert places[-1] == f"{third}:2:8"
    assert len(places) == 9


def test_a_duplicate_name_in_one_file_is_a_fault(write):
    """A rule's name stands once in a file."""
    text, position = located(f"{HEAD}rules:\n  - {{name: a, match: {{}}}}\n  - {{name: §a, match: {{}}}}")
    file = write(text)
    found = [str(fault) for fault in read(file).faults]

    assert [f"{file}:{position}: rule 'a': a rule of that name stands in {file} already"] == found


def test_faulty_rules_are_no_rules(write):
    """Reading faulty files gives their faults and no rules at all."""
    found = read(write(f"{HEAD}rules:\n  - {{name: good, match: {{}}}}\n  - {{name: bad}}"))

    assert found.rules is None


def test_loading_faulty_rules_raises_with_every_fault(write):
    """`load` raises one error that holds every fault, a line each."""
    file = write("version: 2\nparner: x")
    with pytest.raises(RuleFileError) as raised:
        load(file)

    assert [f"{file}:1:10: version: expected 1", f"{file}:2:1: parner: unknown key: did you mean partner?"] == str(
        raised.value
    ).split("\n")


KEYS = sorted({key for section in _SECTIONS.values() for key in section.model_fields})
WORDS = [
    *KEYS,
    *Store,
    *Mode,
    *Platform,
    *Enrich,
    *Gdpr,
    *Limit,
    "",
    "\0",
    "é",
    "*",
    "[",
    "1",
    "5s",
    "1MB",
    "AbC1",
    "{app}",
]
WORDS += [
    "com.a.b",
    "com.*",
    "id123456",
    "com.a.b-x",
    "10.0.0.0/8",
    "::/0",
    "https://a.example",
    "https://play.google.com/?id=x",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
SHAPED = st.fixed_dictionaries(
    {"version": st.just(1), "partner": st.just("A")},
    optional={
        "rules": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["a", "b"]),
                    "match": st.dictionaries(st.sampled_from(KEYS), DOCUMENTS, max_size=3),
                },
                optional={key: DOCUMENTS for key in RuleSection.model_fields if key not in {"name", "match"}},
            ),
            max_size=3,
        ),
        **{key: DOCUMENTS for key in RuleFile.model_fields if key not in {"version", "partner", "rules"}},
    },
)


@given(SHAPED | st.dictionaries(st.sampled_from(KEYS), DOCUMENTS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_whatever_a_file_says_it_gives_rules_or_faults(write, document):
    """Each fault has a place, and nothing is ever a traceback."""
    loaded = read(write(json.dumps(document)))

    assert (loaded.rules is None) == bool(loaded.faults)
    assert all(fault.line >= 1 and fault.column >= 1 and fault.message for fault in (*loaded.faults, *loaded.warnings))


# For people


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        pytest.param(SAMPLE, "2 rules, 1 exact app id, 1 OneLink", id="sample"),
        pytest.param("version: 1", "0 rules, 0 exact app ids, 0 OneLinks", id="nothing"),
        pytest.param(
            f"{HEAD}rules: [{{name: a, match: {{app: [com.a.b, com.a.c, 'com.d.*']}}}}]",
            "1 rule, 2 exact app ids, 0 OneLinks",
            id="beside a glob",
        ),
        pytest.param(
            f"{HEAD}rules:\n"
            "  - {name: a, match: {app: com.a.b}, mode: observe}\n"
            "  - {name: b, match: {app: com.a.c}, mode: 'off'}\n"
            "  - {name: c, match: {app: com.a.d}}\n"
            "  - {name: d, match: {app: com.a.e}, mode: 'off'}\n",
            "4 rules (1 observe, 2 off), 4 exact app ids, 0 OneLinks",
            id="not all direct",
        ),
    ],
)
def test_a_summary_counts(write, text, counts):
    """The summary counts rules, exact app ids and OneLinks, and ends with the digest."""
    rules = load(write(text))

    assert f"{counts} ({rules.digest})" == summary(rules)


def test_the_digest_is_of_every_file(write):
    """The digest stands for the content of rule file and app files, wherever they lie."""
    text = f"{HEAD}rules: [{{name: games, match: {{app_file: apps.txt}}}}]"
    digests = []
    for apps in ("com.a.b", "com.a.c", "com.a.b"):
        write(apps, "apps.txt")
        digests.append(load(write(text)).digest)

    assert digests[0] == digests[2] != digests[1]
