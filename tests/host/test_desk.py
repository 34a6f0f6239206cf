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


class Elsewhere:
    """Stores calls, but for a click that another process answered: it knows that one by its note's key."""

    def __init__(self, hints):
        self.hints = hints
        self.keys = []

    async def accept(self, _call, _hold, note):
        self.keys.append(note.key)
        return f"first {self.hints} {STORE}" if len(self.keys) == 1 else None


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


HINTED = {"sec-ch-ua-model": '"A1"'}
NO_ID = "https://app.appsflyer.com/com.example.game?pid=networka_int"


@pytest.mark.parametrize(
    ("hints", "headers", "repeats", "stored"),
    [
        pytest.param("-", HINTED, "first", 1, id="the first had none"),
        pytest.param("0f", {}, "first", 1, id="the second has none"),
        pytest.param("0f", HINTED, "", 2, id="two devices"),
    ],
)
async def test_hints_tell_a_click_from_another_process_apart(rules, hints, headers, repeats, stored):
    """What the other process answered counts, unless both clicks carried hints and they differ: then it is stored."""
    desk = Desk(Duplicates(lambda: 0.0), Metrics(), ClickLog(), Notes(None))
    desk.courier = courier = Elsewhere(hints)
    click = Click("id", "GET", NO_ID, {"user-agent": USER_AGENT, **headers}, "93.184.216.34")
    decision = await desk.meet(click, rules, SimpleNamespace())

    assert (repeats, stored) == (decision.repeats, len(set(courier.keys)))
