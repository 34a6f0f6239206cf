"""The commands that only read: explain, check, schema, path (design §5)."""

import io
import json
import re
import sys

import pytest
from typer.testing import CliRunner

from storehop import __main__ as program
from storehop.assets import asset
from storehop.cli.app import app
from storehop.decide.crawler import LIST_DATE
from storehop.decide.explanation import GATES, HELP, PASSED
from storehop.model import Reason
from storehop.rulefile.schema import json_schema
from tests.support.clicks import PIXEL

LINK = "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=K1"
RULES = """\
version: 1
partner: NetworkA
rules:
  - name: quiet
    match: {app: com.example.quiet}
    mode: off
  - name: games
    match: {app: "com.example.*"}
    percent: 99.9999
"""


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.fixture
def call():
    """Runs a command; whatever it says, it never shows a traceback."""

    def run(*args, stdin=None):
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, env={"COLUMNS": "250"})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def explain(call, rules):
    """Runs `storehop explain` with the rules and an Android phone's User-Agent."""
    return lambda *args, **more: call("explain", "--rules", rules, "-H", f"User-Agent: {PIXEL}", *args, **more)


def test_a_direct_click_says_where_stops_are(explain):
    """They lie in the outbox, which explain does not ask."""
    assert "storehop canary status" in explain(LINK).stdout


# explain --json


def test_a_direct_click_as_json(explain):
    """`--json` prints the design's object: its keys in their order, the two URLs, and each parameter's source."""
    found = json.loads(explain(LINK, "--json", "--client-ip", "93.184.216.34", "-H", "Accept-Language: de").stdout)
    url = (
        "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=K1&af_ref=NetworkA_K1&af_ip=93.184.216.34"
        "&af_ua=Mozilla%2F5.0%20%28Linux%3B%20Android%2012%3B%20Pixel%205%29%20AppleWebKit%2F537.36%20%28KHTML%2C%20"
        "like%20Gecko%29%20Chrome%2F95.0.4638.74%20Mobile%20Safari%2F537.36"
        "&af_lang=de&af_os_version=12&af_model=Pixel%205&redirect=false"
    )
    headers = {
        "User-Agent": PIXEL,
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-Forwarded-For": "93.184.216.34",
        "Accept-Language": "de",
    }
    params = [
        ("pid", "networka_int", "link"),
        ("clickid", "K1", "link"),
        ("af_ref", "NetworkA_K1", "generated: partner and clickid"),
        ("af_ip", "93.184.216.34", "address: client address"),
        ("af_ua", PIXEL, "header: User-Agent"),
        ("af_lang", "de", "header: Accept-Language"),
        ("af_os_version", "12", "user_agent: User-Agent"),
        ("af_model", "Pixel 5", "user_agent: User-Agent"),
        ("redirect", "false", "generated: marks a server-to-server click"),
    ]
    expected = {
        "decision": "direct",
        "reason": None,
        "rule": "games",
        "app": "com.example.game",
        "platform": "android",
        "store": "google_play",
        "referrer": "NetworkA_K1",
        "location": "https://play.google.com/store/apps/details?id=com.example.game&referrer=NetworkA_K1",
        "s2s": {"method": "GET", "url": url, "headers": headers},
        "params": [{"name": name, "value": value, "source": source} for name, value, source in params],
    }

    assert json.dumps(expected) == json.dumps(found)


def test_a_passing_click_as_json(explain):
    """A pass has the same keys, its reason, what was known, and the link itself as its location."""
    link = f"{LINK}&af_r=https%3A%2F%2Fx.example"
    expected = {
        "decision": "pass",
        "reason": "other_target",
        "rule": "games",
        "app": "com.example.game",
        "platform": "android",
        "store": "google_play",
        "referrer": None,
        "location": link,
        "s2s": None,
        "params": [],
    }

    assert json.dumps(expected) == json.dumps(json.loads(explain(link, "--json").stdout))


def test_an_omitted_parameter_has_no_value(explain):
    """A parameter that is left out is listed with null and the reason."""
    found = json.loads(explain(LINK, "--json").stdout)

    expected = {"name": "af_ip", "value": None, "source": "omitted: not a public address"}
    assert expected in found["params"]


@pytest.mark.parametrize(("args", "is_named"), [([], True), (["--client-ip", "93.184.216.34"], False)])
def test_an_address_that_nobody_named_is_asked_for(explain, args, is_named):
    """Where af_ip is omitted since the click seems to come from this machine, the option is named."""
    assert is_named is ("--client-ip IP" in explain(LINK, *args).stdout)


def test_headers_of_one_name_are_joined(explain):
    """A header that is given twice counts as one list, as HTTP says."""
    found = json.loads(explain(LINK, "--json", "-H", "Accept-Language: de", "-H", "accept-language:fr").stdout)

    assert found["s2s"]["headers"]["Accept-Language"] == "de, fr"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        pytest.param(["https://shop.example/"], "not_a_click", id="not a click"),
        pytest.param(["https://impression.appsflyer.com/com.example.game"], "impression", id="impression"),
        pytest.param([f"{LINK}&redirect=false"], "already_s2s", id="already s2s"),
        pytest.param(["https://app.appsflyer.com/x"], "invalid_link", id="invalid"),
        pytest.param(["https://app.appsflyer.com/com.example.game?c=\udcff"], "invalid_link", id="no UTF-8"),
        pytest.param(["https://app.appsflyer.com/com.other.game"], "no_rule", id="no rule"),
        pytest.param(["https://app.appsflyer.com/com.example.quiet"], "rule_off", id="off"),
        pytest.param([LINK, "-H", "Purpose: prefetch"], "prefetch", id="prefetch"),
    ],
)
def test_explain_says_the_reason(explain, args, reason):
    """Both forms of the answer say why a click passes, and exit 0: it is an answer, no failure."""
    as_json, as_text = explain(*args, "--json"), explain(*args)

    assert reason == json.loads(as_json.stdout)["reason"]
    assert f"pass ({reason}): {HELP[reason]}" in as_text.stdout
    assert as_json.exit_code == as_text.exit_code == 0


# explain for people


def test_explain_shows_everything(explain):
    """For people it shows the decision, every rule tried, every parameter's source, and the two URLs."""
    result = explain(LINK, "--client-ip", "93.184.216.34")
    lines = [re.sub(r"\s+", " ", line).strip() for line in result.stdout.splitlines()]

    assert lines[0].startswith("direct: the user goes to google_play")
    assert "quiet app does not match" in lines
    assert "games matches" in lines
    assert "af_ref NetworkA_K1 generated: partner and clickid" in lines
    assert "af_lang – omitted: no language in Accept-Language" in lines
    assert "https://play.google.com/store/apps/details?id=com.example.game&referrer=NetworkA_K1" in lines
    assert any(line.startswith(f"{LINK}&af_ref=NetworkA_K1&") for line in lines)
    assert "X-Forwarded-For: 93.184.216.34" in lines


def test_explain_says_what_appsflyer_can_match_on(explain):
    """For people, one line sums up what the click can be matched on."""
    assert "AppsFlyer can match on referrer, User-Agent, OS version, model\n" in explain(LINK).stdout


def test_explain_of_a_pass_shows_the_link(explain):
    """A pass shows the rules that were tried and the link itself, and no call."""
    result = explain(f"{LINK}&is_retargeting=true")

    assert f"The user gets\n  {LINK}&is_retargeting=true\n" in result.stdout
    assert "games" in result.stdout
    assert "AppsFlyer gets" not in result.stdout


def test_explain_of_a_bot_says_how_old_the_list_is(call, rules):
    """A bot passes by a kept list, and the list's date is said."""
    result = call("explain", LINK, "--rules", rules, "-H", "User-Agent: Twitterbot/1.0")

    assert re.match(rf"pass \(bot\): .* {LIST_DATE}\n", result.stdout)


def test_explain_without_rules_says_so(call, tmp_path):
    """Where there is no rule at all, the list of rules tried says so."""
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1")

    assert "there are no rules" in call("explain", LINK, "--rules", file).stdout


def test_what_a_link_holds_is_no_markup_and_no_terminal_code(explain):
    """A link's text is shown as text: it neither colours the output nor speaks to the terminal."""
    result = explain(f"{LINK}&c=[bold]x[/bold]&af_sub1=%1b]0;title%07")

    assert "[bold]x[/bold]" in result.stdout
    assert "\\x1b]0;title\\x07" in result.stdout
    assert not {"\x1b", "\x07"} & set(result.stdout)


def test_a_link_that_is_no_utf8_is_shown_escaped(explain):
    """A link with bytes that are no text is shown with those bytes escaped."""
    assert "?c=\\udcff\n" in explain("https://app.appsflyer.com/com.example.game?c=\udcff").stdout


def test_every_reason_of_a_decision_has_a_sentence():
    """So has what happens in a running host only; and each gate has words for what it let through."""
    assert (set(Reason), set(GATES)) == (set(HELP), set(PASSED))


@pytest.fixture
def consent(rules):
    """The rules read consent: Sec-GPC leaves out ids, a parameter lets pass."""
    cases = "[{when: {gpc: true}, then: omit_ids}, {when: {param: {npa: '1'}}, then: pass}]"
    rules.write_text(f"{RULES}    consent: {cases}\n")


@pytest.mark.usefixtures("consent")
def test_explain_says_what_consent_left_out(explain):
    """A parameter that a signal of consent keeps back is listed with that signal."""
    found = json.loads(explain(f"{LINK}&idfa=1", "--json", "-H", "Sec-GPC: 1").stdout)

    assert {"name": "idfa", "value": None, "source": "omitted: consent (Sec-GPC)"} in found["params"]


@pytest.mark.usefixtures("consent")
def test_explain_says_which_consent_lets_pass(explain):
    """A click that passes for consent shows the signal to people, and its reason to machines."""
    link = f"{LINK}&npa=1"

    assert f"pass (consent): {HELP[Reason.CONSENT]}: consent (param npa)\n" in explain(link).stdout
    assert json.loads(explain(link, "--json").stdout)["reason"] == "consent"


# explain --stdin


def test_a_line_in_is_a_line_out(explain):
    """`--stdin` reads a URL a line and prints a JSON object a line, blank lines aside."""
    result = explain("--stdin", stdin=f"{LINK}\n\n  https://shop.example/  \r\n{LINK}&redirect=false")
    found = [json.loads(line) for line in result.stdout.splitlines()]

    expected = [("https://shop.example/", "not_a_click"), (f"{LINK}&redirect=false", "already_s2s")]
    assert expected == [(answer["location"], answer["reason"]) for answer in found[1:]]
    assert found[0]["s2s"]["url"].startswith(LINK)


def test_the_shares_follow_the_lines_on_stderr(explain):
    """Behind the answers people read how many clicks go direct and what AppsFlyer can match those on."""
    lines = [LINK, f"{LINK}&advertising_id=6a1b4d0c-93f1-4a07-8f6e-0c2a4e7d9b55", f"{LINK}&redirect=false", "game"]
    result = explain("--stdin", stdin="\n".join(lines))
    expected = (
        "lines that are no link: expected http(s)://host/path: 1; the first is line 4\n"
        "direct 2 of 3 clicks (66.6 %); AppsFlyer can match on: "
        "referrer 100 %, device id 50 %, IP 0 %, User-Agent 100 %, OS version 100 %, model 100 %\n"
    )

    assert (expected, 4) == (result.stderr, len(result.stdout.splitlines()))


def test_lines_without_a_click_have_no_shares(explain):
    """There is no share of nothing."""
    assert not explain("--stdin", stdin="https://shop.example/\n").stderr


def test_no_lines_are_no_answers(explain):
    """`--stdin` with nothing to read prints nothing."""
    result = explain("--stdin", stdin="")

    assert not result.output
    assert result.exit_code == 0


def test_a_line_that_is_no_utf8_is_answered(explain):
    """A line with bytes that are no text gets its answer, too: the link is invalid."""
    result = explain("--stdin", stdin=b"https://app.appsflyer.com/com.example.game?c=\xff\n")

    assert json.loads(result.stdout)["reason"] == "invalid_link"


def test_a_line_that_is_no_link_is_no_click(explain):
    """A line that is no URL gets its answer, and so do the lines behind it."""
    result = explain("--stdin", stdin=f"game\n{LINK}&redirect=false\n")

    assert [json.loads(line)["reason"] for line in result.stdout.splitlines()] == ["not_a_click", "already_s2s"]


def test_a_line_that_is_no_link_has_an_error_and_is_counted(explain):
    """The object says what was expected; at the end stderr says how many there were, and where."""
    result = explain("--stdin", stdin=f"{LINK}\ngame\nmarket://details?id=x\n")
    errors = [json.loads(line).get("error") for line in result.stdout.splitlines()]

    assert [None, *["no link: expected http(s)://host/path"] * 2] == errors
    assert "lines that are no link: expected http(s)://host/path: 2; the first is line 2\n" in result.stderr
    assert result.exit_code == 0


def test_each_object_holds_its_link(explain):
    """A direct click's, too: its `location` is the store's."""
    links = [LINK, f"{LINK}&redirect=false", "game"]
    result = explain("--stdin", stdin="\ufeff" + "\n".join(links))

    assert links == [json.loads(line)["link"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("click_url,user_agent,ip", "CSV"),
        ("\ufeffclick_url;user_agent", "CSV"),
        ("time\tlink", "CSV"),
        (f'"{LINK}","{PIXEL}"', "CSV"),
        (f"{LINK},{PIXEL}", "CSV"),
        (f"{LINK}\t{PIXEL}", "CSV"),
        (f'{LINK},"{PIXEL}"', "CSV"),
        ('{"link": "https://app.appsflyer.com/x"}', "JSON"),
    ],
)
def test_a_table_is_refused_with_the_command_for_it(explain, first, kind):
    """A file that looks like CSV or JSON is `storehop audit`'s; nothing of it is answered."""
    result = explain("--stdin", stdin=f"{first}\nmore\n")

    assert (2, "") == (result.exit_code, result.stdout)
    assert f"line 1 looks like {kind}" in result.stderr
    assert "storehop audit" in result.stderr


def test_a_link_with_commas_is_no_table(explain):
    """Commas may stand in a link."""
    assert explain("--stdin", stdin=f"{LINK}&c=a,b;c\n").exit_code == 0


def test_a_missing_user_agent_is_said_once(call, rules):
    """Without one each click passes: it is said on stderr, and not for each line."""
    result = call("explain", "--rules", rules, "--stdin", stdin=f"{LINK}\n{LINK}\n")

    assert result.stderr.count("no User-Agent was given") == 1


def test_headers_are_checked_before_the_first_line(explain):
    """A malformed header is said also where no line comes."""
    assert explain("--stdin", "-H", "x", stdin="").exit_code == 2


# Asked wrongly


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["game"], "storehop: 'game' is no link: expected http(s)://host/path", id="bad URL"),
        pytest.param(["market://details?id=x"], "is no link", id="another scheme"),
        pytest.param(["\udcff"], "is no link", id="URL that is no text"),
        pytest.param([LINK, "-H", "x"], "storehop: -H 'x': expected 'Name: value'", id="header without a colon"),
        pytest.param([LINK, "-H", ": x"], "storehop: -H ': x': expected 'Name: value'", id="header without a name"),
        pytest.param(
            [LINK, "--client-ip", "here"], "--client-ip 'here': expected an IPv4 or IPv6 address", id="address"
        ),
        pytest.param([], "storehop: expected a URL, or --stdin and a URL a line", id="nothing to explain"),
        pytest.param([LINK, "--stdin"], "storehop: expected a URL, or --stdin and a URL a line", id="both"),
        pytest.param([LINK, "--colour"], "No such option", id="unknown option"),
        pytest.param([LINK, LINK], "unexpected extra argument", id="two URLs"),
    ],
)
def test_explain_asked_wrongly(explain, args, message):
    """A question that makes no sense is answered on stderr with one sentence, and exit 2."""
    result = explain(*args)

    assert message in result.stderr
    assert not result.stdout
    assert result.exit_code == 2


def test_explain_needs_rules(call):
    """Without `--rules` there is nothing to explain by: exit 2."""
    result = call("explain", LINK)

    assert "--rules" in result.stderr
    assert result.exit_code == 2


@pytest.mark.parametrize("command", [["explain", LINK, "--rules"], ["explain", "--stdin", "--rules"], ["check"]])
def test_a_missing_rule_file(call, tmp_path, command):
    """A rule file that is not there is a fault on stderr, and exit 1."""
    result = call(*command, tmp_path / "none.yaml")

    assert f"{tmp_path}/none.yaml:1:1: cannot be read: No such file or directory\n" == result.stderr
    assert not result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "args",
    [["frobnicate"], ["--frobnicate"], ["check"], ["check", "a", "b"], ["path", "a", "b"], ["schema", "x"]],
    ids=" ".join,
)
def test_an_unknown_command_or_argument(call, args):
    """What storehop does not know is a usage error: exit 2, and nothing on stdout."""
    result = call(*args)

    assert result.exit_code == 2
    assert result.stderr
    assert not result.stdout


# check


def test_check_of_good_rules(call, rules):
    """`check` of good rules prints a summary and each rule, and exits 0."""
    result = call("check", rules)
    lines = result.stdout.splitlines()

    assert f"{rules}: 2 rules (1 off), 1 exact app id, 0 OneLinks (" == lines[0].rpartition("(")[0] + "("
    assert lines[1] == "  quiet: off to auto"
    assert lines[2] == "  games: direct to auto, 99.9999 % of clicks"
    assert result.exit_code == 0


def test_check_of_a_folder(call, rules):
    """`check` reads a folder of rule files."""
    result = call("check", rules.parent)

    assert result.stdout.startswith(f"{rules.parent}: 2 rules")
    assert result.exit_code == 0


def test_check_of_bad_rules(call, rules):
    """`check` of bad rules prints every fault as file:line:column: message on stderr, and exits 1."""
    rules.write_text("version: 1\nparner: x\nrules:\n  - {name: a b, match: {}, percent: 101}\n")
    result = call("check", rules)
    expected = [
        f"{rules}:2:1: parner: unknown key: did you mean partner?",
        f"{rules}:4:5: rule 'a b': no partner: expected partner here or at the top of the file",
        f"{rules}:4:12: rule 'a b': name: expected only A-Z a-z 0-9 _ . -, 1 to 64 characters",
        f"{rules}:4:37: rule 'a b': percent: expected 100 at the most",
    ]

    assert expected == result.stderr.splitlines()
    assert not result.stdout
    assert result.exit_code == 1


def test_check_of_the_default_rules(call):
    """The shipped rule file passes its own check."""
    assert call("check", asset("rules/storehop.yaml")).exit_code == 0


# schema, path, version, the program


def test_schema_prints_the_schema(call):
    """`schema` prints the JSON Schema of rule files."""
    result = call("schema")

    assert json_schema() == json.loads(result.stdout)
    assert asset("rules/storehop.schema.json").read_text() == result.stdout


def test_version(call):
    """`--version` prints the name and the version."""
    assert re.fullmatch(r"storehop \d+\.\d+\.\d+\n", call("--version").stdout)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(call, option):
    """`-h` and `--help` list every command."""
    text = call(option).stdout

    assert not [name for name in ("run", "check", "explain", "demo", "schema", "path") if name not in text]


def test_a_terminal_without_a_character_is_served(monkeypatch, capfdbinary, rules):
    """A terminal that cannot show a character gets it escaped instead of a traceback."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["storehop", "explain", "https://shop.example/", "--rules", str(rules)])
    with pytest.raises(SystemExit) as ended:
        program.main()
    sys.stdout.flush()

    assert b"app: \\u2013" in capfdbinary.readouterr().out
    assert not ended.value.code
