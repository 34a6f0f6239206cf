"""A click that another process has answered gets that answer, whatever this process could do with it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from storehop.deliver.courier import NotAcceptedError
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


class Courier:
    """Takes nothing, and says what the click was answered elsewhere."""

    def __init__(self, known):
        self.known = known
        self.told = None

    async def accept(self, _call, _hold, _once):
        raise NotAcceptedError(Reason.S2S_DOWN)

    async def remember(self, once):
        self.told = once.answer
        return self.known


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    return read(tmp_path / "rules.yaml").rules


async def met(courier, rules):
    desk = Desk(Duplicates(lambda: 0.0), Metrics(), ClickLog(), is_shared=True)
    desk.courier = courier
    click = Click("id", "GET", LINK, {"user-agent": USER_AGENT}, "93.184.216.34")
    return await desk.meet(click, rules, SimpleNamespace())


async def test_a_click_that_went_direct_elsewhere_does_not_pass(rules):
    """It was delivered by the other process: the old redirect would count it twice."""
    decision = await met(Courier(STORE), rules)

    assert (Direct, STORE) == (type(decision), decision.location)


async def test_a_click_that_is_new_passes(rules):
    """The others are told why, so that it passes there as well."""
    courier = Courier(None)
    decision = await met(courier, rules)

    assert (Pass, Reason.S2S_DOWN, "s2s_down") == (type(decision), decision.reason, courier.told)
