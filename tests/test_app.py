"""A running storehop without mitmproxy: what is built, what is closed and in which order, and a fault of the outbox."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from prometheus_client.exposition import generate_latest

from storehop import app as app_module
from storehop.app import App, Settings
from storehop.canary.stop import Resumed, Stop
from storehop.deliver.engines import SharedOutbox
from storehop.deliver.operations import ListCalls, Mark, Unmark
from storehop.deliver.outbox import Outbox
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.deliver.tickets import OutboxError
from storehop.model import Click, Direct, Reason
from storehop.observe.metrics import Metrics
from storehop.observe.readiness import Readiness
from storehop.observe.watchers import Watcher
from storehop.rulefile import live
from storehop.rulefile.live import LiveRules
from tests.support.patience import SOON_S
from tests.support.standins import AppsFlyer

RULES = 'version: 1\npartner: NetworkA\nrules: [{{name: {name}, match: {{app: "com.example.*"}}}}]\n'
DELIVERY = 'delivery: {{endpoint: "http://127.0.0.1:{port}", timeout: 60s}}\n'
LINK = "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid="
USER_AGENT = "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 Chrome/95.0.4638.16 Mobile Safari/537.36"


class Answers(Watcher):
    """Which clicks it has heard of."""

    def __init__(self):
        self.ids = []

    def answered(self, click, _decision, _seconds, _whole_s):
        self.ids.append(click.id)


@pytest.fixture
async def appsflyer():
    server = AppsFlyer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def rules(tmp_path, appsflyer, monkeypatch):
    """Live rules of this name; they are looked at often."""
    monkeypatch.setattr(live, "LOOK_PAUSE_S", 0.02)

    def make(name="games", more=DELIVERY):
        path = tmp_path / f"{name}.yaml"
        path.write_text((RULES + more).format(name=name, port=appsflyer.port))
        return LiveRules.start(path)

    return make


@pytest.fixture
async def start(tmp_path, file, rules):
    """Starts a storehop; its admin endpoints lie beside its outbox."""
    started = []

    def make(outbox=file, watchers=(), admin=None, live_rules=None, shared=None):
        settings = Settings(str(outbox), admin or tmp_path / "admin.sock", shared=shared or SharedOutbox())
        metrics = Metrics()
        app = App(live_rules or rules(), settings, metrics, watchers, lambda: Readiness(degraded=app.degraded))
        started.append(app)
        return app, metrics

    yield make
    for app in started:
        if not app._courier._closing.is_set():
            await app.close()


class SharedEngine(SqliteEngine):
    """Says and tells what an engine may that many hosts share."""

    kind = "redis"
    remarks = ("appendfsync is everysec: a power cut loses a second of clicks",)

    def __init__(self, location, _delivery, watcher, **_shared):
        super().__init__(Path(location))
        self._watcher = watcher

    def run(self, batch):
        self._watcher.waited(0.004)
        return super().run(batch)


@pytest.fixture
def shared(monkeypatch):
    """Storehops that are started have an engine which is shared."""
    monkeypatch.setattr(app_module, "engine_for", SharedEngine)


def tap(name):
    return Click(name, "GET", f"{LINK}{name}", {"user-agent": USER_AGENT}, "93.184.216.34")


async def decision(app, name, live_rules):
    return (await app.handler.handle(tap(name), live_rules.current)).decision


async def readyz(path):
    """What /readyz?strict says: (status, lines)."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /readyz?strict HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), body.decode().splitlines()


async def ready(path):
    status, _ = await readyz(path)
    return status


def metric(metrics, line):
    return line in generate_latest(metrics.registry).decode()


async def until(is_so):
    """Returns when it is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_click_s_way(start, rules, appsflyer, tmp_path):
    """It goes direct, its call arrives, metrics and the others hear of it, and /readyz?strict says that all is well."""
    answers, live_rules = Answers(), rules()
    app, metrics = start(watchers=[answers], live_rules=live_rules)
    direct = await decision(app, "c1", live_rules)
    arrived = await appsflyer.next_click()

    assert (Direct, "c1") == (type(direct), dict(arrived.params)["clickid"])
    assert ["c1"] == answers.ids
    assert metric(metrics, 'storehop_clicks_total{decision="direct",reason="",rule="games"} 1.0')
    assert 200 == await ready(tmp_path / "admin.sock")


async def test_the_end_waits_for_a_call_under_way(start, rules, appsflyer, file):
    """Meanwhile nobody is told that traffic may come, and a click that comes all the same passes."""
    live_rules = rules()
    app, _ = start(live_rules=live_rules)
    appsflyer.hold()
    await decision(app, "c1", live_rules)
    await appsflyer.next_click()
    closing = asyncio.create_task(app.close())
    await until(app._courier._closing.is_set)
    late = await decision(app, "c2", live_rules)
    with pytest.raises(ConnectionError):
        await ready(file.with_name("admin.sock"))
    is_waiting = not closing.done()
    appsflyer.release(1)
    await asyncio.wait_for(closing, SOON_S)
    engine = SqliteEngine(file)
    (stored,) = engine.run([ListCalls()])
    engine.close()

    assert (Reason.OUTBOX_DOWN, True) == (late.reason, is_waiting)
    assert [] == stored


async def test_after_the_end_nothing_is_left(start, rules):
    """No task and no thread."""
    before = asyncio.all_tasks()
    app, _ = start(live_rules=rules())
    await app.close()
    await until(lambda: asyncio.all_tasks() <= before)

    # A thread that has said so ends a moment later.
    await until(lambda: "storehop outbox" not in {thread.name for thread in threading.enumerate()})


async def test_an_outbox_that_can_not_be_opened_lets_clicks_pass(start, rules, tmp_path):
    """The host runs, says why, and stores clicks as soon as it can."""
    folder, live_rules = tmp_path / "folder", rules()
    folder.write_text("a file, where a folder is to be")
    app, _ = start(outbox=folder / "outbox.db", live_rules=live_rules)
    passed = await decision(app, "c1", live_rules)

    assert Reason.OUTBOX_DOWN == passed.reason
    assert "outbox: " == app.degraded[0][:8]
    assert 503 == await ready(tmp_path / "admin.sock")

    folder.unlink()
    await until(lambda: not app.degraded)

    assert Direct is type(await decision(app, "c2", live_rules))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # tornado leaves the socket open
async def test_admin_endpoints_that_can_not_be_had_stop_nothing(start, rules, caplog):
    """Clicks are worth more; the log names the address."""
    live_rules = rules()
    app, _ = start(admin="192.0.2.1:1", live_rules=live_rules)

    assert Direct is type(await decision(app, "c1", live_rules))
    assert "storehop_admin 192.0.2.1:1: " in caplog.text


async def test_a_proxy_that_can_not_be_used_leaves_nothing_behind(start, rules, monkeypatch):
    """Whoever builds it hears why, and no thread holds the outbox."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "ftp://proxy.example")
    live_rules = rules(more='delivery: {{endpoint: "http://127.0.0.1:{port}", proxy: env}}\n')
    with pytest.raises(ValueError, match="HTTP_PROXY"):
        start(live_rules=live_rules)

    assert [] == [thread.name for thread in threading.enumerate() if thread.name == "storehop outbox"]


async def test_a_change_of_the_rules_is_counted(start, rules, tmp_path):
    """A good one and a faulty one: an alert goes by it."""
    _, metrics = start(live_rules=rules())
    path = tmp_path / "games.yaml"
    text = path.read_text()
    path.write_text(text.replace("NetworkA", "NetworkB"))
    await until(lambda: metric(metrics, 'storehop_rules_reload_total{result="ok"} 1.0'))
    path.write_text(text.replace("partner", "partnr"))
    await until(lambda: metric(metrics, 'storehop_rules_reload_total{result="failed"} 1.0'))


async def test_a_change_of_the_settings_reaches_the_courier(start, rules, tmp_path):
    """Without a restart."""
    app, _ = start(live_rules=rules())
    path = tmp_path / "games.yaml"
    path.write_text(path.read_text().replace("60s", "7s"))
    await until(lambda: app._courier._attempts.delivery.timeout == 7)


async def test_what_counts_from_the_start_waits_for_a_restart(start, rules, tmp_path, caplog):
    """A changed key is named, where no flag has its place."""
    app, _ = start(live_rules=rules(), shared=SharedOutbox(name="ads"))
    path = tmp_path / "games.yaml"
    path.write_text(path.read_text().replace("60s", "7s, durability: process, outbox_wait: 50ms, outbox_name: other"))
    await until(lambda: app._courier._attempts.delivery.timeout == 7)

    assert ["durability", "outbox_wait"] == [
        message.removeprefix("delivery.").partition(" has changed: it counts after a restart")[0]
        for message in caplog.messages
        if message.startswith("delivery.")
    ]


async def test_other_rules_take_the_place_of_the_first(start, rules, tmp_path):
    """The old files are watched no more."""
    app, metrics = start(live_rules=rules("old"))
    others = rules("new")
    app.watch(others)
    await until(lambda: metric(metrics, 'storehop_rules_reload_total{result="ok"} 1.0'))
    (tmp_path / "old.yaml").write_text("no rules any more")
    path = tmp_path / "new.yaml"
    path.write_text(path.read_text().replace("NetworkA", "NetworkB"))
    await until(lambda: metric(metrics, 'storehop_rules_reload_total{result="ok"} 2.0'))

    assert metric(metrics, f'storehop_rules_info{{hash="{others.current.digest}"}} 1.0')
    assert metric(metrics, 'storehop_rules_reload_total{result="failed"} 0.0')


async def test_a_weaker_promise_is_no_fault(start, shared, tmp_path):
    """/readyz says it in its body; nobody is turned away, not even by ?strict."""
    start()

    note = "note: outbox: appendfsync is everysec: a power cut loses a second of clicks"
    assert (200, ["ok", note]) == await readyz(tmp_path / "admin.sock")


async def test_a_shared_engine_is_watched(start, shared):
    """By the metrics, from its thread."""
    _, metrics = start()

    await until(lambda: not metric(metrics, "storehop_outbox_wait_seconds_count 0.0"))
    assert metric(metrics, 'storehop_outbox_info{engine="redis"} 1.0')


async def test_the_start_says_which_outbox_is_shared(start, shared, caplog):
    """Hosts that were given different names share nothing: their logs show it."""
    caplog.set_level(logging.INFO)
    start()

    said = "(redis), with the name storehop; asks for 1 replica within 100 ms"
    assert [True] == [one.endswith(said) for one in caplog.messages if one.startswith("storehop: the outbox is ")]


async def test_the_start_says_what_keeps_the_outbox(start, file, caplog):
    """Where it is, and which engine's."""
    caplog.set_level(logging.INFO)
    start()

    assert f"storehop: the outbox is {file} (sqlite)" in caplog.messages


# stops


STOP = Stop("games", 1_780_000_000.0, "s2s_refused", "3 S2S calls in a row were refused")


@pytest.fixture
def change(file):
    """Changes the outbox's marks as another process does."""

    def change(*operations):
        engine = SqliteEngine(file)
        engine.run(operations)
        engine.close()

    return change


async def test_a_stopped_rule_lets_clicks_pass_from_the_first_one_on(start, rules, change):
    """A restart does not forget it: the first click waits until the marks are read."""
    change(Mark(STOP.mark, STOP.to_text()))
    live_rules = rules()
    app, _ = start(live_rules=live_rules)

    assert Reason.STOPPED == (await decision(app, "c1", live_rules)).reason


async def test_a_stop_outlasts_a_change_of_the_rules(start, rules, change, tmp_path):
    """Only a person takes it away."""
    change(Mark(STOP.mark, STOP.to_text()))
    live_rules = rules()
    _, metrics = start(live_rules=live_rules)
    await until(lambda: live_rules.current.stopped)
    path = tmp_path / "games.yaml"
    path.write_text(path.read_text().replace("NetworkA", "NetworkB"))
    await until(lambda: metric(metrics, 'storehop_rules_reload_total{result="ok"} 1.0'))

    assert live_rules.current.is_stopped("games")


async def test_a_stop_holds_in_other_rules(start, rules):
    """Which are taken in the place of the first."""
    app, _ = start(live_rules=rules("games"))
    app.stops.stop(STOP)
    others = rules("new")
    app.watch(others)

    assert others.current.is_stopped("games")


async def test_a_resumed_rule_goes_direct_again(start, rules, change):
    """Without a restart."""
    change(Mark(STOP.mark, STOP.to_text()))
    live_rules = rules()
    app, _ = start(live_rules=live_rules)
    await until(lambda: live_rules.current.stopped)
    resumed = Resumed(STOP.rule, STOP.since + 35, "mended", STOP.since)
    change(Mark(resumed.mark, resumed.to_text()), Unmark(STOP.mark))
    await until(lambda: not live_rules.current.stopped)

    assert Direct is type(await decision(app, "c1", live_rules))


async def test_a_stop_shows(start, change, tmp_path):
    """In the metrics, and in a note of /readyz: passing is healthy, and nobody is turned away."""
    change(Mark(STOP.mark, STOP.to_text()))
    app, metrics = start()
    await until(lambda: app.stops.current)

    assert metric(metrics, 'storehop_canary_stopped{rule="games",signal="s2s_refused"} 1.0')
    note = "note: rule games is stopped: 3 S2S calls in a row were refused"
    assert (200, ["ok", note]) == await readyz(tmp_path / "admin.sock")


async def test_no_click_goes_direct_while_the_stops_can_not_be_read(start, rules, monkeypatch):
    """A rule may be stopped, and nobody here knows it."""
    monkeypatch.setattr(Outbox, "marks", AsyncMock(side_effect=OutboxError("on purpose")))
    live_rules = rules()
    app, _ = start(live_rules=live_rules)

    assert Reason.OUTBOX_DOWN == (await decision(app, "c1", live_rules)).reason
