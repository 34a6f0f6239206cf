"""The hour of rules/switch-on/README.md, followed to the letter: its own commands, in their order, with stand-ins.

nginx writes yesterday's log, a forward proxy records two phones, AppsFlyer is a stand-in that begins to refuse.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import PUBLIC, get
from tests.support.load import to_appsflyer, until
from tests.support.loggers import nginx
from tests.support.pages import blocks
from tests.support.patience import SOON_S
from tests.support.processes import ROOT, Process, free_port, listening, started
from tests.support.scenes import new_id, path_of
from tests.support.standins import AdStack, AppsFlyer, response

PAGE = ROOT / "rules" / "switch-on" / "README.md"
FRONT, UPSTREAM = "127.0.0.1:8080", "http://127.0.0.1:8000"
"""Places that the page names."""
PHONES = {
    "Pixel": "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.6478.122 Mobile Safari/537.36",
    "Galaxy": "Mozilla/5.0 (Linux; Android 13; SM-S911B Build/TP1A) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.6422.165 Mobile Safari/537.36",
}
DESKTOP = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
APP = "com.example.game"
YESTERDAY_CLICKS, LIVE_CLICKS, TAPS = 400, 300, 20
ELSEWHERE = """
def server_connect(data):
    ports = {{"app.appsflyer.com": {appsflyer}, "ads.example": {ads}}}
    data.server.address = ("127.0.0.1", ports[data.server.address[0]])
"""


class TwoFaced(AppsFlyer):
    """AppsFlyer: redirects a user's click to the store, and takes S2S clicks with `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "200 OK"
        self.taken: Counter[str] = Counter()
        """Click ids of the S2S clicks that it took."""

    async def respond(self, request, _reader, writer) -> None:
        params = dict(request.params)
        if params.get("redirect") == "false":
            if self.status == "200 OK":
                self.taken[params["clickid"]] += 1
            writer.write(response(self.status))
        else:
            store = f"market://details?id={request.target.split('?')[0].strip('/')}&referrer=af_tranid%3Dabc"
            writer.write(response("302 Found", f"Location: {store}"))


@dataclass(slots=True)
class Story:
    """What the team saw."""

    ends: dict[str, int] = field(default_factory=dict)
    """Exit code of each of the page's commands."""
    texts: dict[str, str] = field(default_factory=dict)
    report: dict = field(default_factory=dict)
    drift: str = ""
    observed: float = 0.0
    """Share of the live clicks that would have gone direct."""
    stopped_s: float = 0.0
    """From AppsFlyer's first refusal to the last click that went direct."""
    reasons: Counter = field(default_factory=Counter)
    """Of the clicks behind the stop."""
    back_s: float = 0.0
    """From the command of the way back to the last click that went direct."""
    again: int = 0
    """Clicks that went direct after the person had resumed."""
    whole: tuple[int, int] = (0, 0)
    """Direct clicks, and all, at 100 %."""
    direct: set[str] = field(default_factory=set)
    """Click ids of all users that were sent to the store while AppsFlyer took calls."""
    taken: Counter = field(default_factory=Counter)
    dead: int = 0


def commands() -> list[str]:
    """The page's, in their order."""
    return [line for language, text in blocks(PAGE) if language == "sh" for line in text.splitlines() if line.strip()]


def rules_of_the_page() -> str:
    (text,) = (text for language, text in blocks(PAGE) if language == "yaml")
    return text


class Team:
    """Follows the page in a folder of its own."""

    def __init__(self, folder: Path, appsflyer: TwoFaced, ads: AdStack) -> None:
        self.folder, self.appsflyer, self.ads = folder, appsflyer, ads
        self.port, self.admin = free_port(), free_port()
        self.story = Story()
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STOREHOP_STATE": str(folder / "state"),
            "STOREHOP_ADMIN": f"127.0.0.1:{self.admin}",
            "STOREHOP_DRAIN": "0",
            "COLUMNS": "200",
        }

    def command(self, start: str) -> str:
        """The page's command that begins so, with the places of this test."""
        line = next(one for one in commands() if one.startswith(start))
        return line.replace(UPSTREAM, f"http://127.0.0.1:{self.ads.port}").replace(FRONT, f"127.0.0.1:{self.port}")

    async def run(self, start: str) -> str:
        """Runs it to its end. What it printed."""
        line = self.command(start)
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.story.ends[start] = done.returncode
        self.story.texts[start] = done.stdout + done.stderr
        return self.story.texts[start]

    def write_rules(self, **changes: object) -> None:
        """The page's rule file, with a stand-in for AppsFlyer, and one line of the rule changed or added."""
        text = rules_of_the_page().replace("[10.0.0.0/8]", "[127.0.0.0/8]")
        for key, value in changes.items():
            line = f"    {key}: {value}\n"
            text, found = re.subn(rf"^    {key}: .*\n", line, text, flags=re.MULTILINE)
            text += "" if found else line
        delivery = f'delivery: {{endpoint: "http://127.0.0.1:{self.appsflyer.port}"}}\n'
        (self.folder / "rules.yaml").write_text(text.replace("rules:\n", f"{delivery}rules:\n"))

    async def click(self) -> tuple[str, str]:
        """A new click of a phone. Its click id, and `direct` or `pass`."""
        click_id = new_id()
        answer = await get(self.port, path_of(click_id), user_agent=PHONES["Pixel"])
        is_direct = (answer.location or "").startswith("https://play.google.com/")
        if is_direct and self.appsflyer.status == "200 OK":
            self.story.direct.add(click_id)
        return click_id, "direct" if is_direct else "pass"

    async def reasons(self) -> Counter:
        """Clicks so far, by reason; direct ones have none."""
        text = (await get(self.admin, "/metrics")).body.decode()
        found = re.findall(
            r'^storehop_clicks_total\{decision="\w+",reason="(\w*)",rule="\w*"\} (\S+)$', text, re.MULTILINE
        )
        counts: Counter = Counter()
        for reason, count in found:
            counts[reason] += int(float(count))
        return counts

    async def until_direct(self) -> None:
        """Clicks until one goes direct: the changed rules are in use."""
        async with asyncio.timeout(SOON_S):
            while (await self.click())[1] != "direct":
                pass

    async def clicks_until_still(self, seconds: float) -> float:
        """Clicks until none has gone direct for so long. Seconds from the beginning to the last that did."""
        begin = last = time.monotonic()
        async with asyncio.timeout(SOON_S + seconds):
            while time.monotonic() - last < seconds:
                if (await self.click())[1] == "direct":
                    last = time.monotonic()
        return last - begin


def write_yesterday(folder: Path) -> None:
    """The log of a real nginx with the audit's own lines, that redirects to AppsFlyer; moved to yesterday, packed."""
    with nginx(folder, "https://app.appsflyer.com$request_uri") as port:
        client = HTTPConnection("127.0.0.1", port)
        for number in range(YESTERDAY_CLICKS):
            agent = DESKTOP if number % 10 == 0 else list(PHONES.values())[number % 2]
            headers = {"Host": "ads.example", "User-Agent": agent, "X-Forwarded-For": PUBLIC}
            client.request("GET", path_of(new_id()), headers=headers)
            client.getresponse().read()
        client.close()
    begin = datetime.now(UTC) - timedelta(days=1)
    lines = (folder / "auditable.log").read_text().splitlines(keepends=True)
    moved = [
        re.sub(r'"time":"[^"]*"', f'"time":"{(begin + timedelta(seconds=place)).isoformat()}"', line)
        for place, line in enumerate(lines)
    ]
    (folder / "yesterday.log.gz").write_bytes(gzip.compress("".join(moved).encode()))


async def record_phones(folder: Path, appsflyer: TwoFaced, ads: AdStack) -> None:
    """Two phones through a forward proxy that sees both hops."""
    port = free_port()
    (folder / "elsewhere.py").write_text(ELSEWHERE.format(appsflyer=appsflyer.port, ads=ads.port))
    tool = Path(sys.executable).with_name("mitmdump")
    options = ("--set", f"confdir={folder / 'proxy'}", "--set", f"save_stream_file={folder / 'phones.flow'}")
    process = await Process.start(tool, "-s", folder / "elsewhere.py", "--listen-port", str(port), *options)
    await listening(port, process)
    for number in range(TAPS):
        agent = list(PHONES.values())[number % 2]
        answer = await get(port, f"http://ads.example{path_of(new_id())}", host="ads.example", user_agent=agent)
        await get(port, (answer.location or "").replace("https:", "http:"), host="app.appsflyer.com", user_agent=agent)
    await process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hour")
    appsflyer, ads = TwoFaced(), AdStack()
    await appsflyer.start()
    await ads.start()
    ads.routes["*"] = to_appsflyer
    await asyncio.to_thread(write_yesterday, folder)
    await record_phones(folder, appsflyer, ads)
    team = Team(folder, appsflyer, ads)
    host = None
    try:
        await audit(team)
        run = team.command("storehop run")
        env = {name: team.environment[name] for name in ("STOREHOP_STATE", "STOREHOP_ADMIN", "STOREHOP_DRAIN")}
        words = [f"{name}={value}" for name, value in env.items()]
        program = [Path(sys.executable).with_name("storehop"), *shlex.split(run)[1:]]
        program[program.index("rules.yaml")] = folder / "rules.yaml"
        host = await started(team.port, folder, "env", *words, *program)
        await observe(team)
        await go_direct(team)
        await go_back(team)
        await go_on(team)
        state = folder / "state"
        await until(lambda: set(team.story.direct) <= set(appsflyer.taken), SOON_S)
        listed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "storehop", "outbox", "list", "--dead", "--json", "--state", state],
            capture_output=True,
            text=True,
            check=True,
        )
        team.story.dead = len(listed.stdout.splitlines())
        team.story.taken = appsflyer.taken
        yield team.story
    finally:
        if host:
            await host.process.stop()
        await appsflyer.stop()
        await ads.stop()


async def audit(team: Team) -> None:
    """Minutes 0 to 35."""
    team.write_rules()
    await team.run("storehop check")
    await team.run("storehop audit yesterday.log.gz --rules rules.yaml --sample")
    await team.run("storehop audit yesterday.log.gz --rules rules.yaml --html")
    team.story.report = json.loads((team.folder / "report.json").read_text())
    team.story.drift = await team.run("storehop audit phones.flow")


async def observe(team: Team) -> None:
    """Minutes 35 to 45."""
    before = await team.reasons()
    for number in range(LIVE_CLICKS):
        agent = DESKTOP if number % 10 == 0 else PHONES["Pixel"]
        await get(team.port, path_of(new_id()), user_agent=agent)
    seen = await team.reasons() - before
    team.story.observed = seen["observed"] / (seen.total() - seen["not_a_click"])
    await team.run("storehop canary plan")


async def go_direct(team: Team) -> None:
    """Minutes 45 to 50: a share of the clicks, and then AppsFlyer refuses them."""
    team.write_rules(mode="direct", percent=50)
    await team.until_direct()
    await team.run("storehop canary status")
    team.appsflyer.status = "400 Bad Request"
    team.story.stopped_s = await team.clicks_until_still(3.0)
    before = await team.reasons()
    for _ in range(10):
        await team.click()
    team.story.reasons = await team.reasons() - before
    team.story.texts["stopped"] = await team.run("storehop canary status")
    team.appsflyer.status = "200 OK"
    await team.run("storehop canary resume")
    await team.until_direct()


async def go_back(team: Team) -> None:
    """Minutes 50 to 55: the drill."""
    load = asyncio.create_task(team.clicks_until_still(4.0))
    await team.run("storehop canary stop")
    begin = time.monotonic()
    await load
    team.story.back_s = max(0.0, time.monotonic() - 4.0 - begin)
    await team.run("storehop canary resume")


async def go_on(team: Team) -> None:
    """After the hour: 100 %."""
    await team.until_direct()
    team.write_rules(mode="direct", percent=100)
    async with asyncio.timeout(SOON_S):
        while (await team.reasons())["not_sampled"] >= 0:
            ways = [(await team.click())[1] for _ in range(20)]
            if set(ways) == {"direct"}:
                break
    ways = [(await team.click())[1] for _ in range(50)]
    team.story.whole = ways.count("direct"), len(ways)


def test_every_command_of_the_page_ends_well(story):
    """With 0: the gates hold, too."""
    assert {} == {start: (code, story.texts[start]) for start, code in story.ends.items() if code}


def test_every_command_of_the_page_was_followed(story):
    """None is left out."""
    followed = [*story.ends, "storehop run"]

    assert [] == [line for line in commands() if not any(line.startswith(start) for start in followed)]


def test_the_report_says_what_would_go_direct(story):
    """Nine of ten: the others are desktops."""
    expected = (YESTERDAY_CLICKS, YESTERDAY_CLICKS * 9 // 10, {"wrong_platform": YESTERDAY_CLICKS // 10})

    assert expected == (story.report["clicks"], story.report["direct"], story.report["reasons"])


def test_the_report_names_its_recording_and_its_gates(story):
    """So that it can be signed."""
    (recording,) = story.report["inputs"]

    assert ("yesterday.log.gz", 64) == (recording["name"], len(recording["sha256"]))
    assert [True] * 5 == [gate["holds"] for gate in story.report["gates"]]


def test_the_phones_see_no_drift(story):
    """All their taps are compared with what AppsFlyer answered."""
    assert f"{TAPS}" in story.drift


def test_the_live_share_is_the_report_s(story):
    """Give or take two points."""
    assert story.report["share_direct"] == pytest.approx(story.observed, abs=0.02)


def test_the_canary_stops_the_rule_by_itself(story):
    """Within five seconds of the first refusal; its clicks pass, and say why."""
    assert story.stopped_s < 5
    assert Counter({"stopped": 10}) == story.reasons
    assert "s2s_refused" in story.texts["stopped"]


def test_the_way_back_takes_two_seconds(story):
    """From the command's end to the last click that goes direct."""
    assert story.back_s < 2


def test_at_100_per_cent_all_go_direct(story):
    """Every one."""
    assert (50, 50) == story.whole


def test_nothing_is_lost_and_nothing_sent_twice(story):
    """Every click that went direct while AppsFlyer took calls was taken once."""
    assert set() == story.direct - set(story.taken)
    assert [] == [click_id for click_id, times in story.taken.items() if times > 1]


def test_what_appsflyer_refused_stands_in_the_dead_letters(story):
    """A few: what went out before the stop."""
    assert 3 <= story.dead <= 60
