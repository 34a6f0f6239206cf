"""`storehop run --workers 2`: two processes on one port behave as one sidecar that outlives each of them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from storehop.workers import merge
from storehop.workers.merge import ask
from tests.support.clients import Answer, connection, get, request
from tests.support.load import Load, pending, report, to_appsflyer, until
from tests.support.patience import SOON_S, START_S
from tests.support.phones import FIRST, RETRY, cookies
from tests.support.processes import Host, Process, free_port, sidecar_command
from tests.support.scenes import RULES, new_id, path_of, play, write_rules
from tests.support.scrapes import scraped
from tests.support.standins import AppsFlyer, in_two_parts

CONNECTIONS = 40
"""Of so many connections both workers get some."""
PHONES = "com.example.phones"
"""An app whose clicks are asked for client hints at once."""
A_FEW = 16
"""Of so many too, and they are through long before a click that is repeated is a new one."""
TIMEOUT = 120.0
"""Seconds that a call may take; its lease is as long, and then some."""
GATE = """
import sys, time
from pathlib import Path
while "--worker-socket" in sys.orig_argv and not Path({gate!r}).exists():
    time.sleep(0.02)
"""
"""Makes workers wait before they begin until a file is there: their start takes as long as a test wants it to."""
BROKEN = "version: 1\npartner: Network A\n"


@dataclass(slots=True)
class Pair:
    """A supervisor with two workers."""

    host: Host
    admin: int
    gate: Path
    """While it is there, workers that are started become ready."""

    def workers(self) -> dict[Path, int]:
        """Process ids of the supervisor's children, by their admin sockets."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_text().split("\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            if parent == self.host.process.process.pid and "--worker-socket" in words:
                found[Path(words[words.index("--worker-socket") + 1])] = int(folder.name)
        return found

    def kill(self, number: signal.Signals = signal.SIGKILL, *, holder: str | None = None) -> None:
        """Ends one of the workers: any, or the one that holds leases by this name."""
        pids = {path.stem: pid for path, pid in self.workers().items()}
        os.kill(pids[holder] if holder else next(iter(pids.values())), number)

    def were_ready(self) -> int:
        """How many workers have become ready so far."""
        return len(re.findall(r"worker \d is ready", self.host.log.text))

    def _ended(self) -> int:
        return len(re.findall(r"worker \d ended with", self.host.log.text))

    async def complete(self) -> None:
        """Waits until both workers are there."""
        has_both = await until(lambda: self.were_ready() - self._ended() == 2 == len(self.workers()), START_S)
        assert has_both, self.host.log.text

    async def clicks(self) -> float:
        """How many direct clicks /metrics counts, of all workers together."""
        return _clicks((await get(self.admin, "/metrics")).body)


def _clicks(metrics: bytes) -> float:
    counts = re.findall(r'^storehop_clicks_total\{decision="direct".*\} (\S+)', metrics.decode(), re.MULTILINE)
    return sum(map(float, counts))


async def start_pair(upstream: str, rules: Path, folder: Path, *extra: str | Path, is_open: bool = True) -> Pair:
    """A supervisor that answers on its admin port; its workers are still starting, or wait at the gate."""
    port, admin, gate, modules = free_port(), free_port(), folder / "gate", folder / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(GATE.format(gate=str(gate)))
    if is_open:
        gate.touch()
    command = [*sidecar_command(upstream, rules, f"127.0.0.1:{port}", folder), "--workers", "2"]
    process = await Process.start(*command, "--admin", f"127.0.0.1:{admin}", *extra, modules=modules)
    answers = await until(lambda: not process.is_alive or _listens(admin), START_S)
    assert answers, process.output.text
    return Pair(Host(port, process, folder), admin, gate)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", autouse=True)
def _patience():
    """Workers may take longer to answer a test than to answer their supervisor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "TIMEOUT_S", SOON_S)
        yield


@pytest.fixture(scope="module")
def rules_text() -> str:
    hints = "  - {{name: phones, match: {{app: " + PHONES + "}}, client_hints: critical}}\n"
    patient = RULES.replace('{appsflyer}"', f'{{appsflyer}}", timeout: {TIMEOUT:g}s')
    return "hints_wait: 2s\n" + patient.replace("rules:\n", "rules:\n" + hints).lstrip()


@pytest.fixture(scope="module")
def upstream(ads) -> str:
    ads.routes["*"] = to_appsflyer
    return f"http://127.0.0.1:{ads.port}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory, module_rules, upstream):
    pair = await start_pair(upstream, module_rules, tmp_path_factory.mktemp("pair"))
    yield pair
    await pair.host.process.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def pair(shared, appsflyer) -> Pair:
    """The module's pair, both workers there and nothing under way."""
    await shared.complete()
    assert await until(lambda: pending(shared.host.folder) == 0, SOON_S)
    await arrived(appsflyer)
    return shared


async def arrived(appsflyer: AppsFlyer) -> Counter[str]:
    """How often each click id came since this was asked last."""
    came = Counter()
    while appsflyer.clicks_waiting():
        came[dict((await appsflyer.next_click()).params)["clickid"]] += 1
    return came


async def test_both_workers_answer(pair):
    """Connections are spread over both."""
    assert [True, True] == await who_answers(pair)


async def who_answers(pair: Pair) -> list[bool]:
    """Of each worker, whether it is met by one of many connections."""
    await asyncio.gather(*(get(pair.host.port, path_of(new_id())) for _ in range(CONNECTIONS)))
    answers = [await ask(path, "/metrics") for path in pair.workers()]
    return [_clicks(body) > 0 for _, body in answers]


async def test_metrics_add_both_up(pair):
    """One /metrics counts every click once, whoever answered it."""
    expected = await pair.clicks() + CONNECTIONS
    await asyncio.gather(*(get(pair.host.port, path_of(new_id())) for _ in range(CONNECTIONS)))
    async with asyncio.timeout(SOON_S):
        while (counted := await pair.clicks()) < expected:
            await asyncio.sleep(0.1)  # a worker that answers its supervisor too late counts as when it was asked last

    assert expected == counted


async def test_the_same_click_at_once(pair, appsflyer):
    """Equal clicks that come in the same moment on many connections get one answer, and AppsFlyer hears of one."""
    click_id = new_id()
    answers = await asyncio.gather(*(get(pair.host.port, path_of(click_id)) for _ in range(CONNECTIONS)))
    await until(lambda: pending(pair.host.folder) == 0, SOON_S)

    assert ({play(click_id)}, {click_id: 1}) == ({answer.location for answer in answers}, await arrived(appsflyer))


async def test_the_same_click_one_after_the_other(pair, appsflyer):
    """A click that is repeated within ten seconds is the same click on any worker."""
    click_id = new_id()
    locations = {(await get(pair.host.port, path_of(click_id))).location for _ in range(A_FEW)}
    await until(lambda: pending(pair.host.folder) == 0, SOON_S)

    assert ({play(click_id)}, {click_id: 1}) == (locations, await arrived(appsflyer))


async def test_a_browser_s_retry_may_come_to_another_worker(pair, appsflyer):
    """Wherever it comes, one call goes out, with what the retry said; the retry has the first answer."""
    paths = {click_id: path_of(click_id, app=PHONES) for click_id in (new_id() for _ in range(CONNECTIONS))}
    answers = await asyncio.gather(*(click_twice(pair.host.port, path) for path in paths.values()))
    calls = [dict((await appsflyer.next_click()).params) for _ in paths]

    assert {(click_id, "SM-S918B") for click_id in paths} == {(call["clickid"], call.get("af_model")) for call in calls}
    assert [play(click_id, PHONES) for click_id in paths] == [answer.location for answer in answers]
    assert 0 == appsflyer.clicks_waiting()


async def click_twice(port: int, path: str) -> Answer:
    """The answer to a browser's retry, which comes on a connection of its own."""
    return await get(port, path, **(RETRY | cookies(await get(port, path, **FIRST))))


async def test_sighup_reloads_all(pair):
    """SIGHUP makes every worker read its rules."""
    before = len(pair.host.log.text)
    pair.host.process.send(signal.SIGHUP)

    assert await until(lambda: pair.host.log.text.count("rules reloaded", before) == 2, SOON_S), pair.host.log.text[
        before:
    ]


# a worker dies


@dataclass(slots=True)
class Death:
    """What came of killing the worker that had a call under way."""

    click_id: str
    delivered_again: str
    """The click that came to AppsFlyer next."""
    seconds: float
    """From the kill until it came."""
    restarts: int
    """Workers that were ready again by then."""
    readiness: Answer
    meanwhile: str | None
    """Where a click went while the other worker was alone."""
    left: bool
    clicks_before: float
    clicks_after: float


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def death(shared, appsflyer) -> Death:
    await shared.complete()
    await arrived(appsflyer)
    clicks_before = await shared.clicks()
    were_ready = shared.were_ready()
    appsflyer.hold()
    click_id = new_id()
    holder = await _click_and_holder(shared, click_id)
    await appsflyer.next_click()
    shared.gate.unlink()
    begin = time.monotonic()
    shared.kill(holder=holder)
    again = await appsflyer.next_click()
    restarts = shared.were_ready() - were_ready
    readiness = await get(shared.admin, "/readyz")
    other = new_id()
    meanwhile = await get(shared.host.port, path_of(other))
    shared.gate.touch()
    appsflyer.unhold()
    await shared.complete()
    left = not await until(lambda: pending(shared.host.folder) == 0, SOON_S)
    await arrived(appsflyer)
    came = dict(again.params)["clickid"]
    location = (meanwhile.location or "").replace(other, "ID")
    after = await shared.clicks()
    return Death(click_id, came, again.at - begin, restarts, readiness, location, left, clicks_before, after)


async def _click_and_holder(pair: Pair, click_id: str) -> str:
    """Clicks, and finds out which worker answered: its own count went up."""
    before = {path: _clicks((await ask(path, "/metrics"))[1]) for path in pair.workers()}
    await get(pair.host.port, path_of(click_id))
    after = {path: _clicks((await ask(path, "/metrics"))[1]) for path in before}
    return next(path.stem for path in before if after[path] > before[path])


async def test_its_click_is_delivered_by_the_other(death):
    """What the dead worker had under way is sent again."""
    assert death.click_id == death.delivered_again


async def test_that_waits_for_no_lease(death):
    """It comes long before its lease would have ended."""
    assert death.seconds < TIMEOUT / 4


async def test_that_waits_for_no_restart(death):
    """The next worker was not ready by then, and could not be."""
    assert death.restarts == 0


async def test_one_worker_is_enough_to_be_ready(death):
    """/readyz stays 200 while one worker is gone."""
    assert (200, b"ok\n") == (death.readiness.status, death.readiness.body)


async def test_metrics_are_of_all_processes(pair):
    """Each that is ready counts; memory is the sum, with the supervisor's."""
    found = await scraped(pair.admin, {("storehop_ready",): 2.0})
    texts = [(await ask(path, "/metrics"))[1].decode() for path in pair.workers()]
    of_workers = sum(
        float(re.findall(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)[0]) for text in texts
    )

    assert of_workers < found["process_resident_memory_bytes",] < 2 * of_workers


async def test_clicks_go_direct_meanwhile(death):
    """The worker that is left answers everybody."""
    assert play("ID") == death.meanwhile


async def test_nothing_of_it_stays_behind(death):
    """When both are there again the outbox is empty."""
    assert not death.left


async def test_the_dead_stay_counted(death):
    """A counter never goes back: what a dead worker had counted is in the sum."""
    assert death.clicks_before + 1 <= death.clicks_after


async def test_the_next_one_answers(death, pair):
    """A new worker takes the dead one's place."""
    assert [True, True] == await who_answers(pair)


async def test_a_locked_outbox_delays_no_replacement(pair):
    """While another process holds the outbox's lock the next worker gets ready."""
    were_ready = pair.were_ready()
    with (pair.host.folder / "outbox.db-turn").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pair.kill()
        is_replaced = await until(lambda: pair.were_ready() > were_ready, START_S)

    assert is_replaced, pair.host.log.text


async def test_nothing_is_lost_when_workers_die_under_load(pair, appsflyer):
    """Each worker is killed once while users click: every click that went direct arrives, nobody sees an error."""
    load = Load(f"{new_id()}-")
    running = asyncio.create_task(load.run(pair.host.port, rate=200))
    for _ in range(2):
        await pair.complete()
        before = len(load.clicks.direct)
        pair.kill()
        assert await until(lambda before=before: len(load.clicks.direct) > before + 100, START_S)
    load.stop()
    await running
    await until(lambda: pending(pair.host.folder) == 0, SOON_S)
    came = await arrived(appsflyer)
    lost = load.clicks.direct - set(came)
    doubled = sum(times - 1 for times in came.values())
    report("kills of workers", direct=len(load.clicks.direct), lost=len(lost), twice=doubled, cut=len(load.clicks.cut))

    assert (set(), [], set()) == (lost, load.clicks.wrong, load.clicks.passed)
    assert len(load.clicks.direct) > 200


# the beginning and the end


@dataclass(slots=True)
class Ending:
    """How a pair went that had an answer and a call under way when SIGTERM came."""

    at_first: Answer
    """/readyz while no worker was ready."""
    draining: Answer
    """/readyz after SIGTERM."""
    body: bytes
    """What a slow answer of the ad stack brought in the end."""
    code: int
    left: int
    text: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ending(tmp_path_factory, module_rules, upstream, ads, appsflyer) -> Ending:
    folder = tmp_path_factory.mktemp("ending")
    pair = await start_pair(upstream, module_rules, folder, "--drain", "1", is_open=False)
    at_first = await get(pair.admin, "/readyz")
    pair.gate.touch()
    await pair.complete()
    more = asyncio.Event()

    appsflyer.hold()
    async with connection(pair.host.port) as (reader, writer):
        writer.write(request(ads.serve(in_two_parts(more))))
        await reader.readuntil(b"first")
        await get(pair.host.port, path_of(new_id()))
        await appsflyer.next_click()
        _sent_to_all(pair, signal.SIGTERM)
        await pair.host.log.saw("draining")
        draining = await get(pair.admin, "/readyz")
        await pair.host.log.saw("stopped")  # nobody new is let in, and the answer is under way
        more.set()
        body = await reader.read(5)
    appsflyer.unhold()
    code = await pair.host.process.ended()
    await arrived(appsflyer)
    return Ending(at_first, draining, body, code, pending(folder, dead=None), pair.host.log.text)


def _sent_to_all(pair: Pair, number: signal.Signals) -> None:
    """As service managers do: to the supervisor, which hands it on, and to its workers as well."""
    pair.host.process.send(number)
    for pid in pair.workers().values():
        os.kill(pid, number)


async def test_not_ready_at_first(ending):
    """/readyz says 503 until a worker is ready."""
    assert (503, b"no worker is ready\n") == (ending.at_first.status, ending.at_first.body)


async def test_not_ready_while_draining(ending):
    """/readyz says 503 from SIGTERM on."""
    assert (503, b"draining\n") == (ending.draining.status, ending.draining.body)


async def test_an_answer_under_way_is_finished(ending):
    """SIGTERM cuts no answer, though it came to every process."""
    assert b"-last" == ending.body


async def test_a_call_under_way_is_finished(ending):
    """SIGTERM waits for AppsFlyer's answer, and leaves nothing behind."""
    assert ending.left == 0


async def test_it_ends_with_0(ending):
    """A drained end is a good end."""
    assert (0, False) == (ending.code, "Traceback" in ending.text)


async def test_ctrl_c_ends_it_while_starting(module_rules, upstream, tmp_path):
    """SIGINT ends it at any time with exit code 0, and no worker is left behind."""
    pair = await start_pair(upstream, module_rules, tmp_path)
    pair.host.process.send(signal.SIGINT)

    assert (0, False) == (await pair.host.process.ended(), "Traceback" in pair.host.log.text)


async def test_workers_do_not_outlive_their_supervisor(module_rules, upstream, tmp_path, start):
    """When the supervisor is killed its workers finish what they have and end."""
    pair = await start_pair(upstream, module_rules, tmp_path)
    await pair.complete()
    workers = pair.workers()
    pair.host.process.send(signal.SIGKILL)
    await pair.host.process.ended()  # to its end, the output is the workers' too

    assert (2, 2) == (len(workers), pair.host.log.text.count("the supervisor is gone"))


async def test_workers_that_cannot_start(upstream, tmp_path, appsflyer):
    """Rules that broke while it was starting end it with what is wrong and exit code 1: it does not try for ever."""
    rules = write_rules(tmp_path, RULES, appsflyer)
    pair = await start_pair(upstream, rules, tmp_path, is_open=False)
    rules.write_text(BROKEN)
    pair.gate.touch()

    assert (1, True) == (await pair.host.process.ended(), f"{rules}:2:10" in pair.host.log.text)


@pytest.mark.parametrize(
    ("listen", "more", "said"),
    [
        ("127.0.0.1:0", (), "expected --listen HOST:PORT with a port above 0"),
        ("127.0.0.1:8080", ("--web",), "expected --workers 1"),
    ],
    ids=["port 0", "web"],
)
async def test_what_workers_can_not(listen, more, said, module_rules, tmp_path):
    """What makes no sense for several processes is refused in one sentence with exit code 2."""
    command = sidecar_command("http://127.0.0.1:9", module_rules, listen, tmp_path)
    process = await Process.start(*command, "--workers", "2", *more)

    assert (2, 1, True) == (await process.ended(), len(process.errors.text.splitlines()), said in process.errors.text)
