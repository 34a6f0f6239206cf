"""What valid rules say and can hardly be meant: warnings (design §4)."""

import pytest

from storehop.assets import asset
from storehop.rulefile import read

HEAD = "version: 1\npartner: NetworkA\n"
BEHIND = "no click gets here: 'a' before it matches all these clicks"


def rules(*matches):
    """A file with one rule for each match, named a, b, c, …"""
    lines = [f"  - {{name: {name}, match: {match}}}" for name, match in zip("abcdefgh", matches, strict=False)]
    return "\n".join([HEAD + "rules:", *lines]) + "\n"


@pytest.fixture
def warn(tmp_path):
    """What is warned of, as `line:column: message`."""
    file = tmp_path / "rules.yaml"

    def warn(text):
        file.write_text(text)
        loaded = read(file)
        assert not loaded.faults
        return [str(one).removeprefix(f"{file}:").replace("warning: ", "") for one in loaded.warnings]

    return warn


@pytest.mark.parametrize("text", ["version: 1", HEAD + "rules: []"])
def test_no_rules(warn, text):
    """Without a rule every click passes."""
    assert ["1:1: no rules: every click passes"] == warn(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("{}", "{}", id="everything, twice"),
        pytest.param("{}", "{app: com.a.b, pid: x}", id="everything"),
        pytest.param("{app: '*'}", "{app: com.a.b}", id="every app"),
        pytest.param("{app: [com.a.b, '*']}", "{}", id="every app and everything"),
        pytest.param("{app: 'com.a.*'}", "{app: com.a.b}", id="glob and id"),
        pytest.param("{app: 'com.*'}", "{app: 'com.a.*'}", id="glob and narrower glob"),
        pytest.param("{app: 'com.*'}", "{app: 'com.a.?'}", id="glob and one with ?"),
        pytest.param("{app: 'com.a?'}", "{app: 'com.a?'}", id="same glob"),
        pytest.param("{app: [com.a.b, com.a.c]}", "{app: com.a.c}", id="one of a list"),
        pytest.param("{pid: 'net*'}", "{pid: [net_a, net_b], app: com.a.b}", id="pid"),
        pytest.param("{host: app.appsflyer.com}", "{host: app.appsflyer.com, platform: ios}", id="host"),
        pytest.param("{host: '*'}", "{app: com.a.b}", id="every host"),
        pytest.param("{platform: [android, ios]}", "{platform: ios}", id="platform"),
        pytest.param("{platform: [android, ios, other]}", "{app: com.a.b}", id="every platform"),
        pytest.param("{param: {geo: '*'}}", "{param: {geo: us, x: y}}", id="param"),
    ],
)
def test_a_rule_behind_one_that_takes_all_of_it(warn, first, second):
    """No click gets to it."""
    assert [f"5:5: rule 'b': {BEHIND}"] == warn(rules(first, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("{app: com.a.b}", "{}", id="everything else"),
        pytest.param("{app: com.a.b}", "{app: [com.a.b, com.a.c]}", id="one more app"),
        pytest.param("{app: 'com.a.*'}", "{app: 'com.*'}", id="wider glob"),
        pytest.param("{app: 'com.?'}", "{app: 'com.*'}", id="? is one"),
        pytest.param("{app: '*a*'}", "{app: 'com.[ab].x'}", id="brackets"),
        pytest.param("{app: '*', platform: ios}", "{app: com.a.b}", id="another platform"),
        pytest.param("{app: '*', pid: x}", "{app: com.a.b}", id="another pid"),
        pytest.param("{param: {geo: '*'}}", "{app: com.a.b}", id="a param that may be missing"),
    ],
)
def test_a_rule_that_clicks_get_to(warn, first, second):
    """Where some click may be left for it, nothing is said."""
    assert not warn(rules(first, second))


def test_a_rule_behind_several_that_take_all_of_it(warn):
    """An app at a time."""
    said = warn(rules("{app: com.a.b}", "{app: 'com.c.*'}", "{app: [com.a.b, com.c.d]}"))

    assert ["6:5: rule 'c': no click gets here: 'a', 'b' before it match all these clicks"] == said


def test_rules_behind_one_another_in_a_folder(tmp_path):
    """A file's rules stand before those of the next file."""
    (tmp_path / "1.yaml").write_text(rules("{}"))
    (tmp_path / "2.yaml").write_text(rules("{app: com.a.b}").replace("name: a", "name: b"))

    assert [f"{tmp_path / '2.yaml'}:4:5: warning: rule 'b': {BEHIND}"] == [str(one) for one in read(tmp_path).warnings]


def test_many_rules_are_compared_in_bounded_time(warn, monkeypatch):
    """Of more pairs of rules than anybody waits for nothing is said."""
    monkeypatch.setattr("storehop.rulefile.cover.MAX_COMPARISONS", 1)

    assert ["5:5: rule 'b': " + BEHIND] == warn(rules("{app: '*'}", "{app: com.a.b}", "{app: com.a.c}"))


URL = "a page's URL is no app id, its ? is taken for a glob: expected"


@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param(
            "https://play.google.com/store/apps/details?id=com.acme.puzzle&hl=de", f"{URL} com.acme.puzzle", id="Play"
        ),
        pytest.param("play.google.com/store/apps/details?id=com.acme.puzzle", f"{URL} com.acme.puzzle", id="no scheme"),
        pytest.param("market://details?id=com.acme.puzzle", f"{URL} com.acme.puzzle", id="market"),
        pytest.param("https://apps.apple.com/us/app/puzzle/id123456789?mt=8", f"{URL} id123456789", id="App Store"),
        pytest.param("https://play.google.com/store/apps/details?id=*", f"{URL} the app id", id="no app in it"),
        pytest.param("https://apps.example/?id=com.acme.puzzle", f"{URL} the app id", id="another page"),
        pytest.param("com.acme/*", "matches no app id: none holds '/'", id="slash"),
        pytest.param("com.acme *", "matches no app id: none holds ' '", id="space"),
        pytest.param("1234*", "matches no app id: none begins with '1'", id="digits"),
        pytest.param(".acme*", "matches no app id: none begins with '.'", id="dot"),
    ],
)
def test_globs_that_match_no_app(warn, app, message):
    """Above all the URL of a store's page, whose `?` makes a glob of it."""
    (said,) = warn(rules(f"{{app: ['{app}', com.a.b]}}"))

    assert f"4:29: rule 'a': match.app: {message}" == said


@pytest.mark.parametrize("app", ["*", "com.*", "?om.a.b", "[ci]*", "id*", "*-shop"])
def test_globs_that_match_apps(warn, app):
    """Nothing is said."""
    assert not warn(rules(f"{{app: '{app}'}}"))


EVERYBODY = "everybody is trusted: whoever clicks can name any address as theirs. Expected your own proxies only"


@pytest.mark.parametrize(
    ("networks", "place"),
    [
        ("[10.0.0.0/8, 0.0.0.0/0]", "33"),
        ("['::/0']", "21"),
        ("['::ffff:0.0.0.0/96']", "21"),
        ("[0.0.0.0/1, 128.0.0.0/1]", "20"),
    ],
)
def test_trust_in_everybody(warn, networks, place):
    """However it is written."""
    said = warn(f"{rules('{}')}client_ip:\n  trusted_proxies: {networks}\n")

    assert [f"6:{place}: client_ip.trusted_proxies: {EVERYBODY}"] == said


def test_trust_in_somebody(warn):
    """Private networks, and both kinds of addresses."""
    assert not warn(f"{rules('{}')}client_ip: {{trusted_proxies: [10.0.0.0/8, '2000::/3']}}\n")


ONELINK = "onelinks: [{host: a.onelink.me, template: AbC1, android: com.a.b, ios: id123456}]\n"


@pytest.mark.parametrize(
    ("match", "sides"),
    [
        pytest.param("{}", [], id="everything"),
        pytest.param("{app: ['com.*', id123456]}", [], id="both apps"),
        pytest.param("{app: com.a.b}", ["id123456: the OneLink's clicks on ios"], id="one app"),
        pytest.param("{platform: ios}", ["com.a.b: the OneLink's clicks on android"], id="one platform"),
        pytest.param(
            "{host: app.appsflyer.com}",
            ["com.a.b: the OneLink's clicks on android", "id123456: the OneLink's clicks on ios"],
            id="another host",
        ),
    ],
)
def test_onelinks_without_a_rule(warn, match, sides):
    """A OneLink's app that no rule is for."""
    said = warn(rules(match) + ONELINK)

    assert [f"no rule is for {side} pass" for side in sides] == [one.split(": ", 2)[2] for one in said]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "hosts: [brand.example]",
            "clicks to app.aflink.com and app.appsflyer.com pass: hosts stands in place of the default",
            id="other hosts",
        ),
        pytest.param(
            "hosts: [app.appsflyer.com]",
            "clicks to app.aflink.com pass: hosts stands in place of the default",
            id="one of the hosts",
        ),
        pytest.param("hosts: [app.appsflyer.com, app.aflink.com, brand.example]", None, id="one host more"),
    ],
)
def test_hosts_without_the_default(warn, text, message):
    """The list stands in place of the default."""
    assert ([f"5:8: hosts: {message}"] if message else []) == warn(rules("{}") + text)


@pytest.mark.parametrize("host", ["ads.example", "App.AppsFlyer.com", "impression.appsflyer.com"])
def test_hosts_that_no_click_comes_to(warn, host):
    """A rule for them never matches."""
    said = f"no click comes to {host}: expected one of hosts, or a OneLink's in lower case"

    assert [f"4:29: rule 'a': match.host: {said}"] == warn(rules(f"{{host: {host}}}"))


@pytest.mark.parametrize("host", ["app.appsflyer.com", "brand.onelink.me", "*.example"])
def test_hosts_that_clicks_may_come_to(warn, host):
    """Nothing is said."""
    assert not warn(rules(f"{{host: '{host}'}}"))


@pytest.mark.parametrize(
    ("match", "warned"),
    [
        ("{app: id123456, platform: android}", True),
        ("{app: com.a.b, platform: [ios, other]}", True),
        ("{app: [com.a.b, id123456], platform: android}", False),
        ("{app: '*', platform: android}", False),
        ("{app: com.a.b, platform: [ios, android]}", False),
    ],
)
def test_apps_on_platforms_without_their_store(warn, match, warned):
    """Every click of theirs passes as `wrong_platform`."""
    assert warned == ("every click passes: the store is not for" in "".join(warn(rules(match))))


def test_a_rule_for_no_click_at_all(warn):
    """`percent: 0` of a rule that would send them direct."""
    said = warn(rules("{}").replace("}}", "}, percent: 0}"))

    assert ["4:35: rule 'a': percent: every click passes: with mode: observe you would also see the decisions"] == said


def test_an_app_file_without_apps(warn, tmp_path):
    """Its rule matches nothing."""
    (tmp_path / "apps.txt").write_text("# none yet\n")

    assert ["4:33: rule 'a': match.app_file: no app ids in it: the rule matches nothing"] == warn(
        rules("{app_file: apps.txt}")
    )


def test_the_manual_has_no_warning():
    """Nobody copies a mistake from it."""
    assert not read(asset("rules/storehop.yaml")).warnings
