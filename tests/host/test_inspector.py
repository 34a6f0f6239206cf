"""What mitmweb and the console show of clicks, in a real view of mitmproxy's."""

from __future__ import annotations

import asyncio

import pytest
from mitmproxy.addons.view import View
from mitmproxy.test import taddons, tflow

from storehop.decide.rules import RuleSet
from storehop.host import inspector as module
from storehop.host.inspector import Inspector
from storehop.host.tuning import has_list_of_flows
from storehop.model import Delivered, Pass, Reason, Reply, Settled
from tests.support.observed import CALL, CLICK, DIRECT
from tests.support.patience import SOON_S

RULES = RuleSet()


@pytest.fixture
async def view(monkeypatch):
    monkeypatch.setattr(module, "PRUNE_PAUSE_S", 0.01)
    made = View()
    with taddons.context(made):
        yield made


@pytest.fixture
async def look(view):
    """Makes an inspector of this view."""
    started = []

    def make(most=10, *, keep_other=False, personal_data=False):
        started.append(Inspector(most, keep_other=keep_other, personal_data=personal_data))
        return started[-1]

    yield make
    for inspector in started:
        inspector.close()


def ended(view):
    """A flow that is over, in the view."""
    flow = tflow.tflow(resp=True)
    flow.live = False
    view.add([flow])
    return flow


def answered(inspector, view, decision=DIRECT, click=CLICK):
    """A click's flow, which the inspector has heard of."""
    flow = ended(view)
    with inspector.showing(click.id, flow, RULES):
        inspector.answered(click, decision)
    return flow


async def until(is_so):
    """Returns when it is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_it_is_there_where_somebody_looks(view):
    """Where mitmproxy has a list of flows."""
    is_wanted = has_list_of_flows()
    with taddons.context():
        without_view = has_list_of_flows()

    assert (True, False) == (is_wanted, without_view)


@pytest.mark.parametrize(
    ("decision", "mark", "comment"),
    [
        (DIRECT, ":rocket:", "🚀 com.x.y · sent to Google Play · rule games"),
        (
            Pass(Reason.RETARGETING, "games", "com.x.y"),
            ":fast_forward:",
            "⏩ com.x.y · left as it was: it is a retargeting click",
        ),
    ],
)
async def test_a_click_is_marked(look, view, decision, mark, comment):
    """With what was decided."""
    flow = answered(look(), view, decision)

    assert (mark, comment) == (flow.marked, flow.comment)


async def test_a_click_s_comment_says_what_became_of_its_call(look, view):
    """Once an attempt is over."""
    inspector = look()
    flow = answered(inspector, view)
    inspector.settled(Settled(CALL, Reply(200), Delivered(), 1, 0.034))

    assert "🚀 com.x.y · sent to Google Play · AppsFlyer has it (200, 34 ms) · rule games" == flow.comment


async def test_a_call_is_shown_beside_its_click(look, view):
    """As it was sent, with the answer, and told from a click."""
    inspector = look()
    flow = answered(inspector, view)
    inspector.settled(Settled(CALL, Reply(200, headers=((b"X-Server", b"af"),)), Delivered(), 1, 0.034))
    await until(lambda: len(view) == 2)
    (call,) = (shown for shown in view if shown.id != flow.id)

    assert (CALL.url, "app.appsflyer.com", 200, "af") == (
        call.request.url,
        call.request.headers["host"],
        call.response.status_code,
        call.response.headers["x-server"],
    )
    assert (":satellite:", "s2s", False) == (call.marked, call.metadata["storehop"], call.live)
    assert inspector.explain(flow) == inspector.explain(call)


async def test_what_is_no_click_yet_shows_its_url(look, view):
    """From its beginning: the list has no other column for it."""
    flow = ended(view)
    look().began(flow)

    assert "GET http://address:22/path" == flow.comment


async def test_a_call_of_a_click_that_nobody_saw_is_not_shown(look, view):
    """One of before a restart, or of long ago."""
    look().settled(Settled(CALL, Reply(200), Delivered(), 1, 0.034))

    assert 0 == len(view)


async def test_a_replay_says_that_it_sent_nothing(look, view):
    """It is the flow of before."""
    inspector, flow = look(), ended(view)
    with inspector.showing(CLICK.id, flow, RULES):
        inspector.rehearsed(CLICK, DIRECT)

    assert "🚀 com.x.y · sent to Google Play · replayed, nothing sent · rule games" == flow.comment


async def test_a_browser_s_retry_belongs_to_its_click(look, view):
    """Both flows tell one story."""
    inspector = look()
    first, second = answered(inspector, view), ended(view)
    with inspector.showing(CLICK.id, second, RULES):
        inspector.retried(CLICK, DIRECT)

    assert "🚀 com.x.y · asked again by the browser, with client hints" == second.comment
    assert inspector.explain(first) == inspector.explain(second)


@pytest.mark.parametrize(("personal_data", "is_shown"), [(False, False), (True, True)])
async def test_personal_data_is_shown_to_who_asks_for_it(look, view, personal_data, is_shown):
    """An address is a person's."""
    inspector = look(personal_data=personal_data)
    text = inspector.explain(answered(inspector, view))

    assert is_shown is ("8.8.8.8" in text)


async def test_a_flow_that_is_no_click_has_no_story(look, view):
    """It says so."""
    assert "no click, or too old" == look().explain(ended(view))


async def test_the_view_stays_small(look, view):
    """The last clicks stay, the first ones go."""
    inspector = look(2)
    shown = [answered(inspector, view) for _ in range(5)]
    await until(lambda: len(view) == 2)

    assert [flow.id for flow in shown[-2:]] == [flow.id for flow in view]


async def test_a_flow_that_is_not_over_stays(look, view):
    """Whatever comes after it waits for it."""
    inspector = look(1)
    live, *_ = (answered(inspector, view) for _ in range(3))
    live.live = True
    other = ended(view)
    inspector.other(other)
    await until(lambda: other not in view)

    assert live in view


@pytest.mark.parametrize("keep_other", [False, True])
async def test_other_traffic_goes_when_it_is_over(look, view, keep_other):
    """Unless somebody wants to see it."""
    inspector, others = look(1, keep_other=keep_other), [ended(view) for _ in range(2)]
    for flow in others:
        inspector.other(flow)
    for _ in range(2):
        answered(inspector, view)
    await until(lambda: len(view) == 1 + 2 * keep_other)

    assert keep_other is all(flow in view for flow in others)


async def test_a_comparison_with_appsflyer_is_shown(look, view):
    """Behind what the list says of the click; of a flow that it does not know nothing is shown."""
    inspector, observed = look(), Pass(Reason.OBSERVED, "games", "com.example.game")
    flow, stranger = answered(inspector, view, observed), ended(view)
    before = flow.comment
    inspector.compared(flow, "drift: AppsFlyer opens the app")
    inspector.compared(stranger, "drift: AppsFlyer opens the app")

    assert (f"{before} · drift: AppsFlyer opens the app", "") == (flow.comment, stranger.comment)
