"""`storehop drift`: says first what it would count, and asks AppsFlyer only if it is told to (design §11)."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from storehop.cli import follow
from storehop.cli.app import app
from storehop.cli.probes import PHONES, PidInUseError, Probe, Skipped, plan
from storehop.decide import device
from storehop.decide.drift import Kind
from storehop.model import Platform
from storehop.rulefile import read
from tests.support.pages import ROOT, blocks
from tests.support.standins import AppsFlyer, response

PAGE = ROOT / "rules" / "drift" / "README.md"

RULES = """\
version: 1
partner: NetworkA
click_id: [tid, clickid]
delivery: {{endpoint: "http://127.0.0.1:{port}"}}
onelinks:
  - {{host: brand.onelink.me, template: AbC1, android: com.example.game, ios: id123456789}}
rules:
  - {{name: games, match: {{app: "com.example.*", pid: networka_int}}, mode: observe}}
  - {{name: games-ios, match: {{app: id123456789}}, store: app_store, country: us, percent: 1}}
"""
APP = "com.example.game"
ANDROID = "https://app.appsflyer.com/com.example.game?pid=networka_int&c=spring"
IOS = "https://app.appsflyer.com/id123456789?pid=networka_int&c=spring"
ONELINK = "https://brand.onelink.me/AbC1?pid=networka_int&c=spring"
MARKET = f"market://details/?id={APP}&referrer=af_tranid%3Dabc"
APPLE = "https://apps.apple.com/US/app/id123456789?mt=8"


class Redirecting(AppsFlyer):
    """Answers by platform, or by what stands in `answers` for a path; remembers what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked, self.answers = [], {}

    async def respond(self, request, _reader, writer):
        self.asked.append(request)
        is_apple = "iP" in request.header("User-Agent")
        to = self.answers.get(request.target.partition("?")[0], APPLE if is_apple else MARKET)
        writer.write(response("301 Moved", f"Location: {to}", "Set-Cookie: a=b") if to else response("200 OK"))


@pytest.fixture
async def appsflyer():
    server = Redirecting()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def probe(tmp_path, appsflyer, monkeypatch):
    """Runs a probe of these links, without pauses."""
    monkeypatch.setattr(follow, "PAUSE_S", 0)
    rules, links = tmp_path / "rules.yaml", tmp_path / "links.txt"
    rules.write_text(RULES.format(port=appsflyer.port))

    async def run(*given, words=("--yes-this-counts-clicks",), pid="ourtest"):
        links.write_text("\n".join(given))
        return await storehop("--probe", links, "--rules", rules, "--pid", pid, *words)

    return run


async def storehop(*words):
    """Runs the command beside the loop of the stand-in. It never shows a traceback."""
    arguments = ["drift", *map(str, words)]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "250"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# without consent nothing is asked


async def test_without_a_probe_it_says_where_drift_is_seen():
    """Recordings and forward proxies count nothing; and it is no success."""
    result = await storehop()

    assert (2, "") == (result.exit_code, result.stdout)
    assert all(word in result.stderr for word in ("storehop audit", "forward proxy", "--probe", "reverse proxy"))


async def test_without_the_flag_it_says_what_it_would_count(probe, appsflyer):
    """How many, under which media source, of which apps; and asks nobody."""
    result = await probe(ANDROID, IOS, ONELINK, words=())

    assert (2, []) == (result.exit_code, appsflyer.asked)
    assert "4 clicks will be counted under pid ourtest:" in result.stderr
    assert f"  2 of {APP} on android\n  2 of id123456789 on ios\n" in result.stderr
    assert all(word in result.stderr for word in ("advertiser has to agree", "country", "--yes-this-counts-clicks"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--probe", "-"], "needs --rules PATH and --pid TEST_PID", id="nothing else"),
        pytest.param(["--probe", "-", "--pid", "x y", "--rules", "r"], "--pid 'x y': expected", id="a strange pid"),
        pytest.param(["--probe", "no-such-file", "--pid", "x", "--rules", "RULES"], "No such file", id="no file"),
        pytest.param(["--probe", "EMPTY", "--pid", "x", "--rules", "RULES"], "no link to ask about", id="no links"),
    ],
)
async def test_it_says_what_is_missing(tmp_path, words, said):
    """In a sentence, with exit code 2."""
    (tmp_path / "rules.yaml").write_text(RULES.format(port=1))
    (tmp_path / "empty.txt").write_text("# nothing\n")
    places = {"RULES": tmp_path / "rules.yaml", "EMPTY": tmp_path / "empty.txt"}
    result = await storehop(*(places.get(word, word) for word in words))

    assert 2 == result.exit_code
    assert said in result.stderr


async def test_the_links_own_media_source_is_no_test(probe, appsflyer):
    """Its clicks would be a partner's."""
    result = await probe(IOS, ANDROID, pid="networka_int")

    assert (2, []) == (result.exit_code, appsflyer.asked)
    assert "line 1 has it" in result.stderr


async def test_the_manual_shows_what_it_says(tmp_path):
    """Word for word."""
    (tmp_path / "rules.yaml").write_text(RULES.replace("delivery", "#").replace("{{", "{").replace("}}", "}"))
    (tmp_path / "links.txt").write_text(f"{ANDROID}\n{IOS}\n{ONELINK}")
    files = ("--probe", tmp_path / "links.txt", "--rules", tmp_path / "rules.yaml")
    (shown,) = [text for _, text in blocks(PAGE) if text.startswith("$ storehop drift --probe")]

    assert shown.partition("\n")[2] == (await storehop(*files, "--pid", "ourtest")).stderr


def test_the_manual_has_every_kind():
    """And what to do about it."""
    assert set() == set(Kind) - set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))


# what is asked


async def test_what_is_asked_names_nobody(probe, appsflyer):
    """The test media source, without click ids, device ids, addresses, sub-parameters and costs; no cookies."""
    more = "&tid=T1&clickid=K1&af_sub1=a&af_sub_siteid=b&advertising_id=x&sha1_idfa=y&android_id=z&af_ip=1.1.1.1"
    await probe(f"{ANDROID}{more}&af_cost_value=2&af_ad=b%20c", f"{ANDROID}&af_ref=NetworkA_1")

    assert [f"/{APP}?pid=ourtest&c=spring&af_ad=b%20c", f"/{APP}?pid=ourtest&c=spring"] == [
        request.target for request in appsflyer.asked
    ]
    assert [None, None] == [request.header("Cookie") for request in appsflyer.asked]


async def test_phones_ask(probe, appsflyer):
    """A link of an app gets one phone in use after the other."""
    await probe(*(f"{ANDROID}&n={number}" for number in range(3)), IOS)

    assert [*PHONES[Platform.ANDROID], PHONES[Platform.IOS][0]] == [
        request.header("User-Agent") for request in appsflyer.asked
    ]


async def test_an_app_is_asked_about_three_times(probe, appsflyer):
    """On each platform, at most."""
    result = await probe(
        *(f"{ONELINK}&n={number}" for number in range(9)), words=("--yes-this-counts-clicks", "--json")
    )

    assert 6 == len(appsflyer.asked) == json.loads(result.stdout)["clicks"]


async def test_appsflyer_s_own_hops_are_followed(probe, appsflyer):
    """As long as it leads to itself; a store is never opened."""
    appsflyer.answers[f"/{APP}"] = "https://brand.onelink.me/AbC1?x=y"
    result = await probe(ANDROID)

    assert [f"/{APP}?pid=ourtest&c=spring", "/AbC1?x=y"] == [request.target for request in appsflyer.asked]
    assert 0 == result.exit_code


async def test_a_loop_of_appsflyer_s_ends(probe, appsflyer):
    """Each hop may count."""
    appsflyer.answers[f"/{APP}"] = ANDROID
    result = await probe(ANDROID)

    assert (5, 2) == (len(appsflyer.asked), result.exit_code)


async def test_requests_keep_a_pause(probe, appsflyer, monkeypatch):
    """One a second in earnest; hops count, too."""
    monkeypatch.setattr(follow, "PAUSE_S", 0.2)
    appsflyer.answers["/AbC1"] = ANDROID
    await probe(ONELINK, IOS)
    times = [request.at for request in appsflyer.asked]

    assert 5 == len(times)
    assert all(after - before > 0.19 for before, after in pairwise(times))


# what is said


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (MARKET, "same", 0),
        ("market://details?id=com.example.other", "other_app", 1),
        (APPLE, "other_store", 1),
        (f"{MARKET}&listing=spring", "other_listing", 1),
        ("examplegame://open", "opens_app", 1),
        ("https://www.example.com/", "web_page", 1),
        ("", "not_comparable", 2),
        ("https://app.appsflyer.com:99999/\u00fc", "not_comparable", 2),
    ],
)
async def test_an_answer_is_of_one_kind(probe, appsflyer, answer, kind, code):
    """1 where something drifts; 2 where nothing could be compared."""
    appsflyer.answers[f"/{APP}"] = answer
    result = await probe(ANDROID, words=("--yes-this-counts-clicks", "--json"))
    found = json.loads(result.stdout)

    assert (code, [kind]) == (result.exit_code, [one["kind"] for one in found["answers"]])
    assert (code == 1) == bool(found["drift"])


async def test_the_table_has_apps_platforms_and_what_is_harmless(probe):
    """A row for each app, platform, kind and place."""
    result = await probe(ANDROID, f"{ANDROID}&n=1", IOS)
    rows = [line.split() for line in result.stdout.splitlines() if line.strip().startswith(("com.", "id"))]

    assert (0, [[APP, "android", "2", "same"], ["id123456789", "ios", "1", "same"]]) == (
        result.exit_code,
        [row[:4] for row in rows],
    )
    assert "af_tranid" in result.stdout
    assert "letter case of the country" in result.stdout


async def test_an_app_that_drifts_is_named(probe, appsflyer):
    """One is enough."""
    appsflyer.answers[f"/{APP}"] = "market://details?id=com.example.other"
    result = await probe(ANDROID, IOS)

    assert 1 == result.exit_code
    assert f"drift in {APP}: let these apps pass" in result.stdout


async def test_an_appsflyer_that_is_away_is_said(tmp_path):
    """Nothing could be compared."""
    (tmp_path / "rules.yaml").write_text(RULES.format(port=9))
    (tmp_path / "links.txt").write_text(ANDROID)
    words = ("--probe", tmp_path / "links.txt", "--rules", tmp_path / "rules.yaml", "--pid", "ourtest")
    result = await storehop(*words, "--yes-this-counts-clicks")

    assert 2 == result.exit_code
    assert "AppsFlyer does not answer: Connection refused" in result.stdout


# the plan, without anybody to ask


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(RULES.format(port=1))
    return read(file).rules


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("no link", "no link of AppsFlyer's"),
        ("https://www.example.com/x", "no link of AppsFlyer's"),
        ("https://impression.appsflyer.com/com.example.game?pid=a", "no link of AppsFlyer's"),
        (f"{ANDROID}&signature=x", "signed"),
        (f"{ANDROID}&redirect=false", "already_s2s"),
        (f"{ANDROID}&af_r=https://a.example", "other_target"),
        (f"{ANDROID}&is_retargeting=true", "retargeting"),
        ("https://brand.onelink.me/AbC1/short", "short_link"),
        ("https://other.onelink.me/XyZ1?pid=a", "unknown_onelink"),
        ("https://app.appsflyer.com/com.else.game?pid=networka_int", "no_rule"),
    ],
)
def test_what_is_not_asked(rules, link, why):
    """It would count for somebody else, or shows nothing of what storehop would do."""
    planned = plan(["# a comment", "", link], rules, "ourtest", 3)

    assert ((), [3]) == (planned.probes, [skipped.line for skipped in planned.skipped])
    assert why in planned.skipped[0].why


def test_no_phone_is_a_bot():
    """They are what people send, on their platforms."""
    for platform, phones in PHONES.items():
        for phone in phones:
            read_phone = device.read(phone)
            assert (platform, False) == (read_phone.platform, device.is_bot(read_phone, {"user-agent": phone}))


@given(st.lists(st.text() | st.sampled_from([ANDROID, IOS, ONELINK]).flatmap(lambda link: st.text().map(link.__add__))))
def test_any_file_makes_a_plan(rules, lines):
    """Every line of it is asked about, left out with a reason, or no link at all."""
    try:
        planned = plan(lines, rules, "ourtest", 3)
    except PidInUseError:
        return
    named = {one.line for one in (*planned.probes, *planned.skipped)}

    assert all(isinstance(one, (Probe, Skipped)) for one in (*planned.probes, *planned.skipped))
    assert named == {number for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"}
    assert all("pid=ourtest" in one.url and "networka" not in one.url for one in planned.probes)
