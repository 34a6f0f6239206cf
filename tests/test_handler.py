"""A click handled: decided, its call accepted, the watchers told; processes share an outbox in a file."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import pytest

from storehop.canary.stops import Stops
from storehop.deliver.courier import Courier, NotAcceptedError
from storehop.deliver.operations import Answer
from storehop.deliver.outbox import Outbox
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.deliver.wire import Wire
from storehop.duplicates import Duplicates
from storehop.handler import ClickHandler
from storehop.model import Click, Direct, Pass, Reason
from storehop.observe.watchers import Watcher, Watchers
from storehop.rulefile import read
from storehop.settings import Delivery
from tests.support.clocks import HandClock
from tests.support.patience import SOON_S
from tests.support.standins import AppsFlyer

RULES = 'version: 1\npartner: NetworkA\nrules: [{{name: games, match: {{app: "com.example.*"}}}}]\n'
RULES += 'delivery: {{endpoint: "http://127.0.0.1:{port}"}}\n'
CRITICAL = "client_hints: critical\nhints_wait: 100ms\n"
LINK = "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=7"
NO_ID = "https://app.appsflyer.com/com.example.game?pid=networka_int"
NO_CLICK = "https://ads.example/page"
USER_AGENT = "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 Chrome/95.0.4638.16 Mobile Safari/537.36"
REDUCED = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36"
)
"""What Chrome says on every phone."""
H1, H2 = {"sec-ch-ua-model": '"A1"'}, {"sec-ch-ua-model": '"B2"'}


class Heard(Watcher):
    """What a watcher is told, in order."""

    def __init__(self):
        self.events = []
        self.settled_ids = []
        self.more = asyncio.Event()

    def _hear(self, event, what):
        self.events.append((event, what))
        self.more.set()

    def answered(self, click, decision, _seconds, _whole_s):
        self._hear("answered", (click, decision))

    def rehearsed(self, click, decision):
        self._hear("rehearsed", (click, decision))

    def retried(self, click, decision):
        self._hear("retried", (click, decision))

    def amended(self, before, after):
        self._hear("amended", (before, after))

    def settled(self, settled):
        self.settled_ids.append(settled.call.id)
        self._hear("settled", settled)

    @property
    def names(self):
        return [event for event, _ in self.events]

    async def event(self, name):
        """The first of this name, once there is one."""
        async with asyncio.timeout(SOON_S):
            while name not in self.names:
                self.more.clear()
                await self.more.wait()
        return next(what for event, what in self.events if event == name)


@dataclass
class Process:
    """What one process has of its own."""

    handler: ClickHandler
    courier: Courier
    outbox: Outbox
    stops: Stops
    heard: Heard


class RefusingCourier:
    """Takes nothing; raises this."""

    def __init__(self, error):
        self._error = error

    async def accept(self, _call, **_how):
        raise self._error


@pytest.fixture
async def appsflyer():
    server = AppsFlyer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def clock():
    """The outbox's and the duplicates'; a test moves it."""
    return HandClock()


@pytest.fixture
async def start(tmp_path, clock):
    """Starts one more process on the same outbox."""
    started = []

    def make():
        heard = Heard()
        engine = SqliteEngine(tmp_path / "outbox.db", power_safe=False, clock=clock)
        outbox = Outbox(engine, f"process-{len(started)}")
        outbox.patience_s = SOON_S  # a busy machine's disk is no slow disk
        watchers = Watchers((heard,))
        courier = Courier(Wire.through(None), outbox, Delivery(timeout=SOON_S), watchers)
        stops = Stops(outbox, lambda _names: None)
        stops.begin()
        handler = ClickHandler(Duplicates(clock.uptime), courier, outbox, stops, watchers)
        started.append(courier)
        return Process(handler, courier, outbox, stops, heard)

    yield make
    for courier in started:
        if not courier._closing.is_set():
            await courier.close(0.0)


@pytest.fixture
async def process(start):
    return start()


@pytest.fixture
async def refusing(start, clock):
    """A process whose breaker is open."""
    process = start()
    watchers = Watchers((process.heard,))
    refusing = RefusingCourier(NotAcceptedError(Reason.S2S_DOWN))
    return replace(
        process, handler=ClickHandler(Duplicates(clock.uptime), refusing, process.outbox, process.stops, watchers)
    )


def rules_of(folder, text, appsflyer):
    file = folder / "rules.yaml"
    file.write_text(text.format(port=appsflyer.port))
    return read(file).rules


@pytest.fixture
def rules(tmp_path, appsflyer):
    return rules_of(tmp_path, RULES, appsflyer)


@pytest.fixture
def hasty(tmp_path, appsflyer):
    """Rules whose first clicks wait for the browser's retry, for a moment."""
    return rules_of(tmp_path, CRITICAL + RULES, appsflyer)


@pytest.fixture
def critical(hasty):
    """The same, for longer than any test takes."""
    return replace(hasty, hints=replace(hasty.hints, wait=SOON_S))


def tap(link=LINK, name="id", user_agent=USER_AGENT, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Click(name, "GET", link, {"user-agent": user_agent, **named}, "93.184.216.34")


def first_answer(_direct):
    return Answer(b"retry", "what it was answered", 10.0)


async def test_a_click_of_a_rule_goes_direct(process, rules, appsflyer):
    """And its call arrives."""
    handled = await process.handler.handle(tap(), rules)
    arrived = await appsflyer.next_click()

    assert (Direct, False) == (type(handled.decision), handled.is_held)
    assert "7" == dict(arrived.params)["clickid"]


async def test_watchers_hear_of_a_click(process, rules):
    """How long the decision took, what the user got, and what became of the call."""
    handled = await process.handler.handle(tap(), rules)
    await process.heard.event("settled")

    assert ["answered", "settled"] == process.heard.names
    assert (tap(), handled.decision) == await process.heard.event("answered")


async def test_what_is_no_click_is_nobody_s(process, rules):
    """Traffic is neither counted nor logged."""
    handled = await process.handler.handle(tap(NO_CLICK), rules)

    assert (Pass(Reason.NOT_A_CLICK), []) == (handled.decision, process.heard.names)


async def test_a_pass_is_watched_too(process, rules):
    """Whoever counts sees why."""
    handled = await process.handler.handle(tap(LINK.replace("com.example", "org.other")), rules)

    assert Reason.NO_RULE == handled.decision.reason
    assert ["answered"] == process.heard.names


@pytest.mark.parametrize("hints", [{}, {"sec_ch_ua_model": '"A1"'}], ids=["no hints", "hints"])
async def test_a_failure_of_ours_is_a_pass(start, rules, clock, caplog, hints):
    """Whatever it is: the old redirect works, the log has the error, and the click is counted by it."""
    process = start()
    broken = RefusingCourier(RuntimeError("on purpose"))
    handler = ClickHandler(Duplicates(clock.uptime), broken, process.outbox, process.stops, Watchers((process.heard,)))
    handled = await handler.handle(tap(**hints), rules)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]

    assert (Reason.ERROR, "games") == (handled.decision.reason, handled.decision.rule)
    assert (tap(**hints), handled.decision) == await process.heard.event("answered")
    assert ["on purpose"] == [str(record.exc_info[1]) for record in errors]


async def test_the_same_click_after_a_failure_of_ours_passes(start, rules, clock):
    """AppsFlyer has counted it by the old redirect."""
    process = start()
    handler = ClickHandler(Duplicates(clock.uptime), process.courier, process.outbox, process.stops, Watchers(()))
    good, process.courier.accept = process.courier.accept, RefusingCourier(RuntimeError("once")).accept
    await handler.handle(tap(), rules)
    process.courier.accept = good
    handled = await handler.handle(tap(), rules)

    assert Reason.ERROR == handled.decision.reason


# a click that was answered by another process, or before a restart


async def test_a_click_that_went_direct_elsewhere_does_not_pass(process, refusing, rules):
    """It was delivered by the other process: the old redirect would count it twice."""
    first = (await process.handler.handle(tap(name="first"), rules)).decision
    second = (await refusing.handler.handle(tap(name="second"), rules)).decision

    assert (first.location, "first") == (second.location, second.repeats)


async def test_a_click_that_is_new_passes(process, refusing, rules, appsflyer):
    """The others are told why, so that it passes there as well, and nothing is sent."""
    decisions = [(await one.handler.handle(tap(), rules)).decision for one in (refusing, process)]

    assert [Reason.S2S_DOWN] * 2 == [decision.reason for decision in decisions]
    assert [] == await process.outbox.stored()


@pytest.mark.parametrize("hints", [{}, {"sec_ch_ua_model": '"A1"'}], ids=["no hints", "hints"])
async def test_a_click_whose_pass_can_not_be_stored_passes(refusing, rules, hints):
    """A broken outbox is no reason to fail: neither an earlier answer can be read, nor this one be written."""
    await refusing.courier.close(0.0)
    handled = await refusing.handler.handle(tap(NO_ID, **hints), rules)

    assert Reason.S2S_DOWN == handled.decision.reason


TAPS = {
    "the same process": ([(0, {}, 0), (0, {}, 1)], ["0"]),
    "another process": ([(0, {}, 0), (1, {}, 1)], ["0"]),
    "hints come with the second": ([(0, {}, 0), (1, H1, 1)], ["0"]),
    "hints came with the first": ([(0, H1, 0), (1, {}, 1)], ["0"]),
    "two devices": ([(0, H1, 0), (1, H2, 1)], ["0", "1"]),
    "two devices, each twice": ([(0, H1, 0), (1, H2, 1), (0, H2, 2), (1, H1, 3)], ["0", "1"]),
    "two devices in one process, each twice": ([(0, H1, 0), (0, H2, 1), (0, H2, 2), (0, H1, 3)], ["0", "1"]),
    "the second taps when the first's time is over": ([(0, H1, 0), (0, H2, 9), (0, H2, 11)], ["0", "9"]),
    "and in another process": ([(0, H1, 0), (1, H2, 9), (0, H2, 11)], ["0", "9"]),
    "a new tap when its own time is over": ([(0, H1, 0), (1, H1, 11)], ["0", "11"]),
}


@pytest.mark.parametrize(("taps", "calls"), TAPS.values(), ids=TAPS)
async def test_the_same_click_is_one_call_in_whatever_process(start, clock, rules, taps, calls):
    """Taps as (process, hints, second): each click is delivered once, and two devices are two clicks."""
    processes, begin = [start(), start()], clock.up
    for number, headers, second in taps:
        clock.up = begin + second
        click = replace(tap(NO_ID, str(second)), headers={"user-agent": USER_AGENT, **headers})
        await processes[number].handler.handle(click, rules)
    for process in processes:
        await process.courier.close(SOON_S)

    assert calls == sorted((name for process in processes for name in process.heard.settled_ids), key=int)


# a browser's retry


async def test_a_first_click_waits_for_the_retry(process, critical):
    """Where the browser would come again with hints: the call is held, and the retry's answer is stored."""
    handled = await process.handler.handle(tap(user_agent=REDUCED), critical, first_answer)

    assert handled.is_held
    assert "what it was answered" == await process.outbox.recall(b"retry")
    assert "settled" not in process.heard.names


@pytest.mark.parametrize(
    ("click", "answer"),
    [
        pytest.param(tap(user_agent=REDUCED), None, id="the browser would not come again"),
        pytest.param(tap(), first_answer, id="the User-Agent says all that hints could"),
        pytest.param(
            tap(user_agent=REDUCED, sec_ch_ua_model='"Pixel 8"', sec_ch_ua_platform_version='"14.0.0"'),
            first_answer,
            id="hints came",
        ),
    ],
)
async def test_a_click_that_needs_no_retry_goes_at_once(process, critical, click, answer):
    """Nothing is held for nothing."""
    handled = await process.handler.handle(click, critical, answer)
    await process.heard.event("settled")

    assert not handled.is_held


async def test_a_click_that_passes_waits_for_no_retry(refusing, critical):
    """Where the call can't be stored, nobody would know the retry."""
    handled = await refusing.handler.handle(tap(user_agent=REDUCED), critical, first_answer)

    assert (Reason.S2S_DOWN, False) == (handled.decision.reason, handled.is_held)
    assert await refusing.outbox.recall(b"retry") is None


async def test_without_critical_hints_nothing_waits(process, rules):
    """The rules say which clicks ask for a retry."""
    handled = await process.handler.handle(tap(user_agent=REDUCED), rules, first_answer)

    assert (False, None) == (handled.is_held, await process.outbox.recall(b"retry"))


async def test_the_same_click_does_not_ask_again(process, critical):
    """Its call is the first one's."""
    await process.handler.handle(tap(user_agent=REDUCED), critical, first_answer)
    again = await process.handler.handle(tap(user_agent=REDUCED, name="again"), critical, first_answer)

    assert ("id", False) == (again.decision.repeats, again.is_held)


HINTS = {"user-agent": REDUCED, "sec-ch-ua-model": '"Pixel 8"', "sec-ch-ua-platform-version": '"14.0.0"'}


async def test_a_retry_s_hints_are_in_the_call(process, critical, appsflyer):
    """The click is sent once, with what the retry says."""
    first = tap(user_agent=REDUCED)
    await process.handler.handle(first, critical, first_answer)
    process.handler.retried(first, critical.digest, HINTS, critical)
    arrived = dict((await appsflyer.next_click()).params)
    await process.courier.close(SOON_S)

    assert ("Pixel 8", "14") == (arrived["af_model"], arrived["af_os_version"])
    assert (["id"], 0) == (process.heard.settled_ids, appsflyer.clicks_waiting())


async def test_watchers_hear_what_hints_have_added(process, critical):
    """The decision without them, and the one with them."""
    first = tap(user_agent=REDUCED)
    await process.handler.handle(first, critical, first_answer)
    process.handler.retried(first, critical.digest, HINTS, critical)
    before, after = await process.heard.event("amended")
    click, decision = await process.heard.event("retried")

    assert (HINTS, after) == (click.headers, decision)
    assert [None, "Pixel 8"] == [{p.name: p.value for p in one.params}["af_model"] for one in (before, after)]


async def test_between_two_rule_files_a_call_goes_as_it_is(process, hasty):
    """The rules that decided on the first request are no more."""
    first = tap(user_agent=REDUCED)
    await process.handler.handle(first, hasty, first_answer)
    process.handler.retried(first, "another digest", HINTS, hasty)
    settled = await process.heard.event("settled")

    assert "af_model" not in settled.call.target
    assert "retried" not in process.heard.names


async def test_a_retry_that_comes_too_late_changes_nothing(process, critical):
    """Its call has gone as it was; nothing is sent twice."""
    first = tap(user_agent=REDUCED)
    await process.handler.handle(first, critical)
    await process.heard.event("settled")
    process.handler.retried(first, critical.digest, HINTS, critical)
    await process.courier.close(SOON_S)

    assert (["id"], False) == (process.heard.settled_ids, "amended" in process.heard.names)


# a replay


async def test_a_rehearsal_sends_nothing(process, rules):
    """It says what the user would get, and is a click of nobody's."""
    decision = process.handler.rehearse(tap(), rules)

    assert Direct is type(decision)
    assert (["rehearsed"], []) == (process.heard.names, await process.outbox.stored())


async def test_a_rehearsal_of_no_click_is_not_shown(process, rules):
    """As it would not be counted."""
    decision = process.handler.rehearse(tap(NO_CLICK), rules)

    assert (Reason.NOT_A_CLICK, []) == (decision.reason, process.heard.names)


# a click that went direct before its rule was stopped, or its percent lowered


async def test_the_same_click_does_not_pass_after_a_stop(process, rules):
    """It is delivered: the old redirect would count it twice."""
    first = (await process.handler.handle(tap(name="first"), rules)).decision
    process.handler.rules_changed()
    second = (await process.handler.handle(tap(name="second"), rules.with_stopped(frozenset({"games"})))).decision

    assert (first.location, "first") == (second.location, second.repeats)


async def test_the_same_click_does_not_pass_after_a_stop_elsewhere(process, start, rules):
    """Another process has answered it."""
    first = (await process.handler.handle(tap(name="first"), rules)).decision
    stopped = rules.with_stopped(frozenset({"games"}))
    second = (await start().handler.handle(tap(name="second"), stopped)).decision

    assert (first.location, "first") == (second.location, second.repeats)


async def test_the_same_click_does_not_pass_while_the_first_one_is_stored(process, rules):
    """The stop came between them."""
    first = asyncio.ensure_future(process.handler.handle(tap(name="first"), rules))
    await asyncio.sleep(0)
    second = await process.handler.handle(tap(name="second"), rules.with_stopped(frozenset({"games"})))

    assert (await first).decision.call.id == second.decision.repeats


@pytest.mark.parametrize(
    ("rule", "reason"),
    [("percent: 0", Reason.NOT_SAMPLED), ("mode: observe", Reason.OBSERVED), ("mode: off", Reason.RULE_OFF)],
)
async def test_the_same_click_does_not_pass_after_a_way_back(process, rules, tmp_path, appsflyer, rule, reason):
    """By whatever edit; another click does."""
    back = rules_of(tmp_path, RULES.replace("match:", f"{rule}, match:"), appsflyer)
    await process.handler.handle(tap(name="first"), rules)
    process.handler.rules_changed()
    same = (await process.handler.handle(tap(name="second"), back)).decision
    other = (await process.handler.handle(tap(LINK + "8", name="third"), back)).decision

    assert ("first", reason) == (same.repeats, other.reason)


async def test_a_click_that_passed_before_a_stop_passes_after_it(process, refusing, rules):
    """For the rule's own reason now."""
    await refusing.handler.handle(tap(name="first"), rules)
    stopped = (await process.handler.handle(tap(name="second"), rules.with_stopped(frozenset({"games"})))).decision

    assert Reason.STOPPED == stopped.reason


async def test_a_stop_asks_the_outbox_for_earlier_answers_for_ten_seconds_only(process, rules, monkeypatch):
    """Then there are none, and clicks that pass cost no more than before."""
    await process.handler.handle(tap(name="first"), rules)
    monkeypatch.setattr(process.handler, "_changed_until", 0.0)
    second = (await process.handler.handle(tap(name="second"), rules.with_stopped(frozenset({"games"})))).decision

    assert Reason.STOPPED == second.reason


# rules that are stopped, of which nobody knows yet


async def test_the_first_click_waits_until_the_stops_are_known(start, rules):
    """A rule that was stopped before a restart is stopped after it."""
    process = start()
    await process.outbox.mark("stop:games", "{}")
    process.stops.are_known = False

    assert Reason.STOPPED == (await process.handler.handle(tap(), rules)).decision.reason
