"""A click that was answered by another process, or before a restart, gets that answer, whatever can be done now."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from storehop.deliver.courier import NotAcceptedError
from storehop.deliver.outbox_file import OutboxError
from storehop.host.desk import Desk
from storehop.host.duplicates import Duplicates
from storehop.model import Click, Direct, Pass, Reason
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics
from storehop.rulefile import read

RULES = 'version: 1\npartner: NetworkA\nrules: [{name: games, match: {app: "com.example.*"}}]\n'
LINK = "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=7"
USER_AGENT = "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 Chrome/95.0.4638.16 Mobile Safari/537.36"
STORE = "https://play.google.com/store/apps/details?id=com.example.game&referrer=elsewhere"


class Outbox:
    """What two processes share: answers by their keys, which a clock of the test's ends."""

    def __init__(self):
        self.now = 0.0
        self.answers = {}
        self.calls = []

    def known(self, key):
        text, until = self.answers.get(key, (None, 0.0))
        return text if until > self.now else None

    async def accept(self, call, _hold, note):
        if note and (text := self.known(note.key)):
            return text
        if note:
            self.answers[note.key] = note.text, self.now + note.seconds
        self.calls.append(call.id)
        return None

    async def read(self, key):
        return self.known(key)


class Courier:
    """Takes nothing."""

    async def accept(self, _call, _hold, _once):
        raise NotAcceptedError(Reason.S2S_DOWN)


class Notes:
    """Say what the click was answered elsewhere; an error is raised."""

    def __init__(self, known):
        self.known = known
        self.told = None

    async def leave(self, note):
        self.told = note.text
        if isinstance(self.known, Exception):
            raise self.known
        return self.known


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    return read(tmp_path / "rules.yaml").rules


async def met(notes, rules):
    desk = Desk(Duplicates(lambda: 0.0), Metrics(), ClickLog(), notes)
    desk.courier = Courier()
    click = Click("id", "GET", LINK, {"user-agent": USER_AGENT}, "93.184.216.34")
    return await desk.meet(click, rules, SimpleNamespace())


async def test_a_click_that_went_direct_elsewhere_does_not_pass(rules):
    """It was delivered by the other process: the old redirect would count it twice."""
    decision = await met(Notes(f"first - {STORE}"), rules)

    assert (Direct, STORE, "first") == (type(decision), decision.location, decision.repeats)


async def test_a_click_that_is_new_passes(rules):
    """The others are told why, so that it passes there as well."""
    notes = Notes(None)
    decision = await met(notes, rules)

    assert (Pass, Reason.S2S_DOWN, "id - s2s_down") == (type(decision), decision.reason, notes.told)


async def test_a_click_whose_pass_can_not_be_told_passes(rules):
    """A broken outbox is no reason to fail."""
    decision = await met(Notes(OutboxError("disk I/O error")), rules)

    assert (Pass, Reason.S2S_DOWN) == (type(decision), decision.reason)


NO_ID = "https://app.appsflyer.com/com.example.game?pid=networka_int"
H1, H2 = {"sec-ch-ua-model": '"A1"'}, {"sec-ch-ua-model": '"B2"'}


class Processes:
    """Two processes that share an outbox."""

    def __init__(self, rules):
        self.outbox = Outbox()
        self.rules = rules
        self.desks = [Desk(Duplicates(lambda: self.outbox.now), Metrics(), ClickLog(), self.outbox) for _ in "AB"]
        for desk in self.desks:
            desk.courier = self.outbox

    async def tap(self, process, headers, number):
        click = Click(str(number), "GET", NO_ID, {"user-agent": USER_AGENT, **headers}, "93.184.216.34")
        return await self.desks[process].meet(click, self.rules, SimpleNamespace())


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
async def test_the_same_click_is_one_call_in_whatever_process(rules, taps, calls):
    """Taps as (process, hints, second): each click is delivered once, and two devices are two clicks."""
    both = Processes(rules)
    for process, headers, second in taps:
        both.outbox.now = float(second)
        await both.tap(process, headers, second)

    assert calls == both.outbox.calls
