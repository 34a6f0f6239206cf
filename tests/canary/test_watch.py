"""The canary of several processes on one outbox: what they count adds up, and any of them stops a rule."""

import pytest

from storehop.canary import watch
from storehop.canary.stop import Resumed, Stop
from storehop.canary.watch import CanaryWatch
from storehop.decide.drift import Compared, Kind
from storehop.decide.rules import Match, RuleSet
from storehop.model import (
    Click,
    Dead,
    DeadReason,
    Delivered,
    Direct,
    Likeness,
    Pass,
    Platform,
    Reason,
    Reply,
    RetryIn,
    S2SCall,
    Settled,
)
from storehop.settings import Canary, Mode, Rule, Store
from tests.support.clocks import HandClock

ORIGIN = "https://app.appsflyer.com"
RULE = Rule("games", percent=50, canary=Canary.AUTO)


def rules(*more):
    return RuleSet(rules=tuple((Match(), rule) for rule in more or (RULE,)))


class Fleet:
    """Processes on one outbox, which look when they are told to."""

    def __init__(self, processes=2):
        self.clock, self.marks, self.stops = HandClock(), {}, []
        self.open_s, self.number = {}, 0
        self.processes = []
        for _ in range(processes):
            self.start()

    def start(self):
        one = CanaryWatch(
            f"process-{len(self.processes)}",
            lambda origin, within_s: min(self.open_s.get(origin, 0.0), within_s),
            self._stop,
            lambda: {stop.rule for stop in self.stops},
            wall=self.clock.wall,
            uptime=self.clock.uptime,
        )
        one.use(rules())
        self.processes.append(one)
        return one

    def _stop(self, stop):
        self.stops.append(stop)

    def look(self, seconds=0.8, *, works=True):
        """Everybody looks once, after so many seconds."""
        self.clock.pass_time(seconds)
        for one in self.processes:
            texts = one.marks()
            if works:
                self.marks |= texts
                self.marks = {name: text for name, text in self.marks.items() if text is not None}
                one.heard(dict(self.marks))

    def looks(self, seconds):
        for _ in range(int(seconds / 0.8)):
            self.look()

    def direct(self, at=0, *, whole_s=0.001, ip="203.0.113.7", repeats=""):
        """A click goes direct; its call."""
        self.number += 1
        digits = f"{int(self.clock.wall() * 1000):012x}"
        call = S2SCall(f"{digits[:8]}-{digits[8:]}-7000-8000-{self.number:012x}", ORIGIN, "/", (), "games")
        decision = Direct(
            "games", "com.example.game", Platform.ANDROID, Store.GOOGLE_PLAY, None, "", call, (), Likeness(None, ""),
            repeats=repeats,
        )  # fmt: skip
        self.processes[at].answered(click(ip), decision, 0.0, whole_s)
        return call

    def passed(self, reason, at=0, *, ip="203.0.113.7", whole_s=0.001):
        self.processes[at].answered(click(ip), Pass(reason, "games", "com.example.game"), 0.0, whole_s)

    def settled(self, call, verdict, at=0):
        self.processes[at].settled(Settled(call, Reply(200), verdict, 1, 0.1))

    def refused(self, at=0):
        self.settled(self.direct(at), Dead(DeadReason.REJECTED), at)

    def delivered(self, at=0, ip="203.0.113.7"):
        self.settled(self.direct(at, ip=ip), Delivered(), at)

    @property
    def signals(self):
        return [stop.signal for stop in self.stops]


def click(ip):
    return Click("id", "GET", f"{ORIGIN}/com.example.game", {"user-agent": "Phone"}, ip)


@pytest.fixture
def fleet():
    found = Fleet()
    found.look()
    return found


def test_three_refusals_stop_a_rule_at_once(fleet):
    """No look is awaited."""
    for _ in range(3):
        fleet.refused()
    assert fleet.signals == ["s2s_refused"]
    assert "3 calls in a row refused" in fleet.stops[0].why


def test_refusals_of_several_processes_are_in_a_row(fleet):
    """Each of them has seen fewer than three."""
    fleet.delivered(at=1)
    fleet.look()
    fleet.refused(at=0)
    fleet.refused(at=1)
    fleet.look()
    fleet.look()
    assert fleet.signals == []
    fleet.refused(at=0)
    assert fleet.signals == ["s2s_refused"]


def test_a_call_that_was_taken_elsewhere_ends_the_row(fleet):
    """AppsFlyer takes calls: single ones are refused."""
    fleet.refused(at=0)
    fleet.refused(at=0)
    fleet.clock.pass_time(0.1)
    fleet.delivered(at=1)
    fleet.look()
    fleet.look()
    fleet.processes[0].settled(Settled(fleet.direct(), Reply(500), RetryIn(1), 1, 0.1))
    fleet.refused(at=0)
    assert fleet.signals == []


def test_calls_that_hang_stop_a_rule(fleet):
    """Nothing is ever heard of them; each process has too few."""
    for _ in range(60):
        for at in (0, 1):
            fleet.delivered(at)
            fleet.direct(at)
            fleet.direct(at)
        fleet.look(0.05)
    assert fleet.signals == []
    fleet.looks(11)
    assert fleet.signals == ["s2s_late"]


def test_a_call_that_another_process_delivers_is_not_late(fleet):
    """It was accepted here."""
    for _ in range(200):
        fleet.settled(fleet.direct(at=0), Delivered(), at=1)
        fleet.look(0.05)
    fleet.looks(20)
    assert fleet.signals == []


def test_clicks_that_fail_for_a_minute_stop_a_rule_while_the_outbox_is_down(fleet):
    """No mark can be read or written then."""
    seconds = 0
    while not fleet.stops:
        for _ in range(10):
            fleet.passed(Reason.OUTBOX_DOWN)
        fleet.look(1, works=False)
        seconds += 1
        assert seconds <= 50
    assert fleet.signals == ["clicks_fail"]
    assert seconds >= 38


def test_clicks_that_fail_for_some_seconds_stop_nothing(fleet):
    """A hiccup: they pass, and it is over."""
    for second in range(90):
        for _ in range(10):
            if 20 < second < 35:
                fleet.passed(Reason.S2S_DOWN)
            else:
                fleet.delivered()
        fleet.look(1)
    assert fleet.signals == []


def test_a_breaker_that_stays_open_stops_a_rule(fleet):
    """Of an origin that its calls go to."""
    fleet.delivered()
    fleet.look(31)
    fleet.open_s = {"https://elsewhere": 99.0}
    fleet.look()
    assert fleet.signals == []
    fleet.open_s = {ORIGIN: 30.5}
    fleet.look()
    assert fleet.signals == ["breaker_open"]


def test_a_rule_that_is_resumed_may_find_the_breaker_open(fleet):
    """Its first click closes it; what failed before the resume does not stop the rule again."""
    fleet.delivered()
    fleet.look(100)
    resume(fleet)
    fleet.look()
    fleet.open_s = {ORIGIN: 99.0}
    fleet.direct()
    fleet.looks(10)
    assert fleet.signals == []


def test_slow_answers_stop_a_rule(fleet):
    """Slower than those of the control arm."""
    for n in range(120):
        for at in (0, 1):
            fleet.settled(fleet.direct(at, whole_s=0.3 if n % 9 == 0 else 0.01), Delivered(), at)
            fleet.passed(Reason.NOT_SAMPLED, at)
        fleet.look(0.3)
    assert fleet.signals == ["slow_answers"]


@pytest.mark.parametrize(
    ("kind", "signals"), [(Kind.OTHER_APP, ["drift"]), (Kind.OTHER_STORE, ["drift"]), (Kind.OTHER_COUNTRY, [])]
)
def test_another_app_or_store_stops_a_rule_at_once(fleet, kind, signals):
    """Other differences do not."""
    fleet.processes[1].drifted("games", "com.example.game", Compared(kind))
    assert fleet.signals == signals


def test_repeat_taps_stop_a_rule(fleet):
    """Evidence that is spread over processes adds up."""
    for n in range(600):
        for at in (0, 1):
            fleet.delivered(at, f"10.{at}.{n >> 8}.{n & 255}")
            fleet.passed(Reason.NOT_SAMPLED, at, ip=f"11.{at}.{n >> 8}.{n & 255}")
    fleet.looks(2)
    for n in range(60):
        for at in (0, 1):
            fleet.passed(Reason.NOT_SAMPLED, at, ip=f"10.{at}.0.{n}")
        fleet.look(0.1)
    assert fleet.signals == ["repeat_taps"]


def test_duplicates_are_taps_and_no_clicks(fleet):
    """They send no call."""
    for n in range(300):
        fleet.direct(ip=f"10.0.{n >> 8}.{n & 255}", repeats="another")
    fleet.looks(20)
    assert fleet.signals == []


def test_rules_without_canary_are_not_watched():
    """Nor those that only observe."""
    for rule in (Rule("games"), Rule("games", mode=Mode.OBSERVE, canary=Canary.AUTO)):
        fleet = Fleet(1)
        fleet.processes[0].use(rules(rule))
        for _ in range(5):
            fleet.refused()
        fleet.look()
        assert (fleet.signals, fleet.marks) == ([], {})


def test_a_rule_that_is_stopped_is_not_stopped_again(fleet):
    """Its calls of before still come back."""
    for _ in range(9):
        fleet.refused()
    assert len(fleet.stops) == 1


def test_a_rule_that_a_person_resumed_begins_anew(fleet):
    """In every process: what was counted before stops nothing any more."""
    for _ in range(2):
        fleet.refused(at=0)
    fleet.look()
    fleet.look()
    fleet.clock.pass_time(1)
    resumed = Resumed("games", fleet.clock.wall(), "mended", fleet.clock.wall() - 9)
    fleet.marks[resumed.mark] = resumed.to_text()
    fleet.look()
    fleet.refused(at=1)
    fleet.refused(at=0)
    fleet.look()
    fleet.look()
    assert fleet.signals == []
    fleet.refused(at=1)
    assert fleet.signals == ["s2s_refused"]


def resume(fleet, ahead_s=0.0):
    """A person lets the rule go on, at a host whose clock is so many seconds ahead."""
    at = fleet.clock.wall() + ahead_s
    resumed = Resumed("games", at, "mended", at - 9)
    fleet.marks[resumed.mark] = resumed.to_text()


def test_counts_add_up_after_a_resume(fleet):
    """Its time has more digits than a mark."""
    resume(fleet, ahead_s=0.1234)
    fleet.look()
    fleet.refused(at=0)
    fleet.refused(at=1)
    fleet.look()
    fleet.look()
    fleet.refused(at=0)
    assert fleet.signals == ["s2s_refused"]


def test_a_resume_counts_after_one_of_a_clock_that_is_ahead(fleet):
    """Hosts' clocks differ, and people resume where they are."""
    resume(fleet, ahead_s=300)
    fleet.look()
    for _ in range(2):
        fleet.refused()
    fleet.look()
    resume(fleet)
    fleet.look()
    fleet.refused()
    assert fleet.signals == []


def test_a_rule_that_changed_begins_anew(fleet):
    """What it did with another percent says nothing."""
    for _ in range(2):
        fleet.refused()
    fleet.processes[0].use(rules(Rule("games", percent=60, canary=Canary.AUTO)))
    fleet.refused()
    assert fleet.signals == []


def test_a_reload_without_a_change_begins_nothing_anew(fleet):
    """The same rule goes on."""
    for _ in range(2):
        fleet.refused()
    fleet.processes[0].use(rules(Rule("games", percent=50, canary=Canary.AUTO)))
    fleet.refused()
    assert fleet.signals == ["s2s_refused"]


def test_what_a_rule_matches_may_change_within_a_step(fleet):
    """Lists of apps do so all day: nothing would ever be found."""
    for _ in range(2):
        fleet.refused()
    fleet.processes[0].use(RuleSet(rules=((Match(platform=frozenset({Platform.IOS})), RULE),)))
    fleet.refused()
    assert fleet.signals == ["s2s_refused"]


def test_judging_many_rules_keeps_no_click_waiting(fleet, monkeypatch):
    """What takes too long for one look goes on with the next; every rule has its turn."""
    monkeypatch.setattr(watch, "JUDGING_S", 0.0)
    names = ["a", "b", "c"]
    one = fleet.processes[0]
    one.use(rules(*(Rule(name, percent=50, canary=Canary.AUTO) for name in names)))
    for name in names:
        one._counts[name].drift(fleet.clock.wall())
    stopped = []
    for _ in names:
        fleet.look()
        stopped.append(len(fleet.stops))
    assert (stopped, sorted(stop.rule for stop in fleet.stops)) == ([1, 2, 3], names)


def test_nothing_is_said_of_nothing(fleet):
    """A process that has counted nothing writes no mark."""
    fleet.looks(20)
    assert fleet.marks == {}


def test_a_mark_holds_no_personal_data(fleet):
    """Neither who clicked, nor on what."""
    fleet.delivered()
    fleet.look()
    (text,) = fleet.marks.values()
    assert not [one for one in ("203.0.113", "Phone", "com.example", ORIGIN) if one in text]


def test_the_mark_of_a_process_that_ended_goes():
    """Whoever sees it takes it away."""
    fleet = Fleet()
    fleet.look()
    fleet.delivered(at=1)
    fleet.look()
    del fleet.processes[1]
    fleet.looks(62)
    assert fleet.marks == {}


def test_a_process_that_is_quiet_takes_its_mark_away():
    """Until it counts again."""
    fleet = Fleet(1)
    fleet.delivered()
    fleet.look()
    assert list(fleet.marks) == ["canary:process-0"]
    fleet.looks(610)
    assert fleet.marks == {}
    fleet.delivered()
    fleet.look()
    assert list(fleet.marks) == ["canary:process-0"]


def test_a_call_that_got_too_old_is_dead(fleet):
    """Recovery says so, of one that was to be sent again."""
    calls = [fleet.direct() for _ in range(6)]
    for call in calls:
        fleet.settled(call, RetryIn(1))
    fleet.processes[0].expired((*(call.id for call in calls), "unknown"))
    fleet.look()
    assert fleet.signals == []
    for _ in range(100):
        fleet.delivered()
    fleet.look()
    assert fleet.signals == ["s2s_dead"]


def test_stops_say_when_and_what(fleet):
    """For the mark."""
    for _ in range(3):
        fleet.refused()
    assert isinstance(fleet.stops[0], Stop)
    assert (fleet.stops[0].rule, fleet.stops[0].since) == ("games", fleet.clock.wall())
