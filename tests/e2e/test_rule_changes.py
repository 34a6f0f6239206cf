"""Rules change while running: a good change counts without a restart, a faulty one changes nothing (design §4)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.processes import ENTRY, STARTERS, free_port, start_sidecar, started, stock_command
from tests.support.scenes import RULES, World, link_of, new_id, play, write_rules
from tests.support.standins import AppsFlyer

RELOADED = "rules reloaded"
FAULTY = RULES.replace("mode: observe", "mode: obsrve")
"""Line 10 of it says what no mode is."""
_apps = count(1)


@dataclass(frozen=True, slots=True)
class Changing:
    """A world whose rule file the tests change."""

    world: World
    rules: Path

    async def write(self, text: str, said: str = RELOADED) -> str:
        """Writes the rules anew, and waits until the host says so. Returns what it wrote meanwhile."""
        before = len(self.world.host.log.text)
        self.rules.write_text(text.format(appsflyer=self.world.appsflyer.port))
        await self.world.host.log.saw(said, since=before)
        return self.world.host.log.text[before:]

    async def click(self, app: str = "com.example.game") -> str | None:
        """Where a click is sent now; the call of a direct one is seen to arrive."""
        link = link_of(new_id(), app=app)
        answer = await get(self.world.port, self.world.ads.redirect(link))
        if answer.location == link:
            return "passed"
        await self.world.appsflyer.next_click()
        return answer.location


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(tmp_path_factory, ads, appsflyer):
    """Both hosts, each with rules of its own."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in STARTERS}
    rules = {kind: write_rules(folder, RULES, appsflyer) for kind, folder in folders.items()}
    starting = (STARTERS[kind](f"http://127.0.0.1:{ads.port}", rules[kind], folders[kind]) for kind in STARTERS)
    hosts = dict(zip(STARTERS, await asyncio.gather(*starting), strict=True))
    yield {kind: Changing(World(host, ads, appsflyer), rules[kind]) for kind, host in hosts.items()}
    await asyncio.gather(*(host.process.stop() for host in hosts.values()))


@pytest.fixture(params=STARTERS)
def changing(request, running):
    """Both hosts in turn."""
    return running[request.param]


@pytest.fixture
def sidecar(running):
    """Where the other host has the same code, and a change takes a second to be seen."""
    return running["sidecar"]


@pytest.fixture
def app():
    """An app that no rule has ever matched."""
    return f"org.example.app{next(_apps)}"


def rules_for(app):
    """RULES and one more, for this app."""
    return RULES + f"  - {{{{name: others, match: {{{{app: {app}}}}}}}}}\n"


async def test_a_new_rule_counts(changing, app):
    """A click that no rule matched goes direct once a rule for it was written."""
    before = await changing.click(app)

    await changing.write(rules_for(app))

    assert ("passed", True) == (before, (await changing.click(app)).startswith("https://play.google.com/"))


async def test_a_removed_rule_counts(sidecar, app):
    """A click passes once its rule is gone."""
    await sidecar.write(rules_for(app))
    await sidecar.write(RULES)

    assert "passed" == await sidecar.click(app)


async def test_a_faulty_change_is_reported_with_its_place(changing):
    """The log names file, line and column of a fault, and what was expected."""
    said = await changing.write(FAULTY, said="rules.yaml:")

    (line,) = [line for line in said.splitlines() if "rules.yaml:" in line]
    column = FAULTY.format(appsflyer=1).splitlines()[9].index("obsrve") + 1
    assert f"{changing.rules}:10:{column}: " in line
    assert "observe" in line


async def test_every_fault_is_reported(sidecar):
    """A change with two faults is reported with both."""
    said = await sidecar.write(FAULTY.replace("percent: 0", "percent: 101"), said="rules.yaml:11:")

    assert ["10", "11"] == re.findall(r"rules\.yaml:(\d+):", said)


async def test_a_faulty_change_changes_nothing(changing):
    """After a faulty change clicks are decided by the last good rules."""
    await changing.write(FAULTY, said="rules.yaml:")

    assert (await changing.click()).startswith("https://play.google.com/")


async def test_a_repaired_file_counts(sidecar, app):
    """After a faulty change the next good one is picked up as any other."""
    await sidecar.write(FAULTY, said="rules.yaml:")
    await sidecar.write(rules_for(app))

    assert (await sidecar.click(app)).startswith("https://play.google.com/")


async def test_a_touched_file_is_not_reloaded(sidecar, app):
    """Only what stands in it counts."""
    before = len(sidecar.world.host.log.text)
    sidecar.rules.touch()
    await sidecar.write(rules_for(app))

    assert 1 == sidecar.world.host.log.text.count(RELOADED, before)


async def test_a_deleted_file_changes_nothing(sidecar):
    """Without the rule file the log says so, and clicks are decided by the last good rules."""
    before = len(sidecar.world.host.log.text)
    sidecar.rules.unlink()
    await sidecar.world.host.log.saw("cannot be read", since=before)

    location = await sidecar.click()

    await sidecar.write(RULES)
    assert location.startswith("https://play.google.com/")


async def test_a_replaced_file_counts(sidecar, app):
    """A file that takes the place of the rules by a rename, as editors and deployments do it, is picked up."""
    before, new = len(sidecar.world.host.log.text), sidecar.rules.with_name("new")
    new.write_text(rules_for(app).format(appsflyer=sidecar.world.appsflyer.port))

    new.rename(sidecar.rules)
    await sidecar.world.host.log.saw(RELOADED, since=before)

    assert (await sidecar.click(app)).startswith("https://play.google.com/")


async def test_a_new_endpoint_counts(sidecar):
    """Calls go to the endpoint that the changed rules name."""
    other = AppsFlyer()
    await other.start()
    await sidecar.write(RULES.replace("{appsflyer}", str(other.port)))
    click_id = new_id()

    await get(sidecar.world.port, sidecar.world.ads.redirect(link_of(click_id)))

    received = await other.next_click()
    await other.stop()
    await sidecar.write(RULES)
    assert click_id == dict(received.params)["clickid"]


async def test_a_new_concurrency_counts(sidecar):
    """No more calls are open at the same time than the changed rules allow."""
    appsflyer = sidecar.world.appsflyer
    await sidecar.write(RULES.replace('{appsflyer}"', '{appsflyer}", timeout: 60s, concurrency: 2'))
    appsflyer.hold()

    for _ in range(4):
        await get(sidecar.world.port, sidecar.world.ads.redirect(link_of(new_id())))
    for _ in range(4):
        await appsflyer.next_click()
        appsflyer.release(1)
    appsflyer.unhold()

    await sidecar.write(RULES)
    assert 2 == appsflyer.most_open


async def test_sighup_reloads(sidecar):
    """SIGHUP makes `storehop run` read its rules, changed or not, and it runs on."""
    before = len(sidecar.world.host.log.text)

    sidecar.world.host.process.send(signal.SIGHUP)

    await sidecar.world.host.log.saw(RELOADED, since=before)
    assert (await sidecar.click()).startswith("https://play.google.com/")


async def test_sighup_survives_a_faulty_file(sidecar):
    """SIGHUP on a faulty file reports it and changes nothing."""
    await sidecar.write(FAULTY, said="rules.yaml:")
    before = len(sidecar.world.host.log.text)

    sidecar.world.host.process.send(signal.SIGHUP)

    await sidecar.world.host.log.saw("rules.yaml:10:", since=before)
    assert (await sidecar.click()).startswith("https://play.google.com/")


OBSERVED = """\
version: 1
partner: NetworkB
client_ip: {{trusted_proxies: [127.0.0.0/8]}}
delivery: {{endpoint: "http://127.0.0.1:{appsflyer}"}}
rules:
  - name: games
    match: {{app: "com.example.*", pid: networka_int}}
    # It only observes,
    # until somebody has looked at what would come of it.
    # Whoever reads this file
    # before its last line is written
    # takes the rule
    # for one that sends clicks direct,
    # in another name.
    mode: observe
"""


async def _met(world: World) -> str:
    """Which rules met a click: the old ones, a part of the new ones, or those that let it pass."""
    answer = await get(world.port, world.ads.redirect(link := link_of(new_id())))
    if answer.location == link:
        return "passed"
    await world.appsflyer.next_click()
    return "old" if "NetworkA" in answer.location else "part"


@pytest.mark.parametrize("kind", STARTERS)
async def test_a_file_that_is_written_slowly_never_counts_in_part(launch, tmp_path, kind):
    """Clicks meet the old rules until the whole new file rests, and the new ones from then on."""
    world = await launch(kind, RULES)
    met = []

    async def click_on() -> None:
        while RELOADED not in world.host.log.text:
            met.append(await _met(world))

    clicking = asyncio.create_task(click_on())
    with (tmp_path / "rules.yaml").open("w") as file:
        for line in OBSERVED.format(appsflyer=world.appsflyer.port).splitlines(keepends=True):
            assert {"old"}.issuperset(met)
            file.write(line)
            file.flush()
            await asyncio.sleep(0.05)  # what is tested is a slow writer
    await clicking

    assert (["old", "passed"], 1) == ([*dict.fromkeys([*met, await _met(world)])], world.host.log.text.count(RELOADED))


async def test_a_pipe_in_the_rules_place_changes_nothing(launch, app, tmp_path):
    """It is reported at once, and the next good file is picked up."""
    world = await launch("sidecar", RULES)
    changing = Changing(world, tmp_path / "rules.yaml")
    before = len(world.host.log.text)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").rename(changing.rules)
    await world.host.log.saw("is no regular file", since=before)
    location = await changing.click()

    changing.rules.unlink()
    await changing.write(rules_for(app))

    assert location.startswith("https://play.google.com/")
    assert (await changing.click(app)).startswith("https://play.google.com/")


def _bytes_read(world: World) -> int:
    counters = Path(f"/proc/{world.host.process.process.pid}/io").read_text()
    return int(re.search(r"rchar: (\d+)", counters)[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_no_end_waits_for_a_file_that_is_being_read(launch, tmp_path, number):
    """A file that takes minutes to read holds up neither clicks nor the end of the process."""
    world = await launch("sidecar", RULES)
    long = "version: 1\n" + f"# {'x' * 77}\n" * 750_000
    beside = tmp_path / "beside"
    beside.write_text(long)
    beside.rename(tmp_path / "rules.yaml")
    while _bytes_read(world) < len(long):
        await asyncio.sleep(0.02)
    met = await _met(world)
    world.host.process.send(number)
    code = await world.host.process.ended(20)

    assert ("old", 0) == (met, code)


async def test_a_folder_of_rules_grows(start, ads, appsflyer, app, tmp_path):
    """A file that is put into the folder of rules is picked up."""
    folder = tmp_path / "rules"
    folder.mkdir()
    write_rules(folder, RULES, appsflyer)
    host = await start(start_sidecar, f"http://127.0.0.1:{ads.port}", folder, tmp_path)
    more = f"version: 1\npartner: NetworkA\nrules: [{{name: others, match: {{app: {app}}}}}]\n"

    before = len(host.log.text)
    (folder / "zz.yaml").write_text(more)
    await host.log.saw(RELOADED, since=before)

    answer = await get(host.port, ads.redirect(link_of(click_id := new_id(), app=app)))
    assert play(click_id, app) == answer.location
    await appsflyer.next_click()


async def test_an_app_file_changes(launch, app, tmp_path):
    """An app that is written into an app file of a rule counts."""
    apps = tmp_path / "apps.txt"
    apps.write_text("org.example.first\n")
    world = await launch("sidecar", RULES + "  - {{name: listed, match: {{app_file: apps.txt}}}}\n")

    before = len(world.host.log.text)
    apps.write_text(f"org.example.first\n{app}\n")
    await world.host.log.saw(RELOADED, since=before)

    answer = await get(world.port, world.ads.redirect(link_of(click_id := new_id(), app=app)))
    assert play(click_id, app) == answer.location
    await world.appsflyer.next_click()


async def test_a_changed_script_is_loaded_anew(start, ads, appsflyer, app, tmp_path):
    """Mitmdump loads a changed entry script again, and the new addon serves clicks and hears of new rules."""
    rules, entry, port = write_rules(tmp_path, RULES, appsflyer), tmp_path / "entry.py", free_port()
    entry.write_text(ENTRY.read_text())
    command = stock_command("mitmdump", f"reverse:http://127.0.0.1:{ads.port}", rules, port, tmp_path, entry=entry)
    host = await start(started, port, tmp_path, *command)

    before = len(host.log.text)
    os.utime(entry, (entry.stat().st_atime, entry.stat().st_mtime + 5))
    await host.log.saw("Loading script", since=before)  # the first addon may not have said all yet
    await host.log.saw("trusted proxies: ", since=host.log.text.index("Loading script", before))
    changing = Changing(World(host, ads, appsflyer), rules)
    await changing.write(rules_for(app))

    assert (await changing.click(app)).startswith("https://play.google.com/")
