"""The same click again within ten seconds: the same answer, no second S2S click (design §3)."""

import asyncio

import pytest

from storehop.host.duplicates import WINDOW, Duplicates
from storehop.model import Click, Direct, Pass, Platform, Reason, S2SCall, Store

LINK = "https://app.appsflyer.com/com.example.game?pid=x"


def click(link=LINK, user_agent="Pixel", number=0):
    return Click(f"id-{number}", "GET", link, {"user-agent": user_agent}, "10.0.0.1")


def direct(client_ip="93.184.216.34", number=0):
    """A direct decision; those with other numbers have other ids and tokens, as new clicks do."""
    call = S2SCall(f"id-{number}", f"{LINK}&af_ref=N_{number}", ())
    location = f"https://play.google.com/store/apps/details?id=com.example.game&referrer=N_{number}"
    return Direct(
        "games", "com.example.game", Platform.ANDROID, Store.GOOGLE_PLAY, f"N_{number}", location, call, (), client_ip
    )


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Act:
    """Takes a decision's call, once it may; counts how often."""

    def __init__(self, *answers):
        self.taken = []
        self.may = asyncio.Event()
        self.may.set()
        self._answers = list(answers)

    async def __call__(self, decision, _key):
        self.taken.append(decision)
        await self.may.wait()
        answer = self._answers.pop(0) if self._answers else decision
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def duplicates(clock):
    return Duplicates(clock)


async def test_a_first_click_is_acted_on(duplicates):
    """A click that is new is acted on, and its own decision is the answer."""
    act = Act()

    assert direct() == await duplicates.once(click(), direct(), act)
    assert [direct()] == act.taken


@pytest.mark.parametrize("later", [0.0, 0.5, 9.9])
async def test_the_same_click_again_gets_the_same_answer(duplicates, clock, later):
    """The same link, address and User-Agent within 10 s get the first answer's location, and nothing is sent."""
    act = Act()
    first = await duplicates.once(click(), direct(), act)
    clock.now += later
    second = await duplicates.once(click(number=1), direct(number=1), act)

    assert first.location == second.location
    assert [direct()] == act.taken


async def test_after_the_window_it_is_a_new_click(duplicates, clock):
    """The same click later than 10 s is a new one: a person tapped again."""
    act = Act()
    await duplicates.once(click(), direct(), act)
    clock.now += WINDOW + 0.1
    second = await duplicates.once(click(number=1), direct(number=1), act)

    assert direct(number=1) == second
    assert len(act.taken) == 2


async def test_a_repetition_does_not_lengthen_the_window(duplicates, clock):
    """The 10 s count from the first click, however often it is repeated."""
    act = Act()
    for _ in range(4):
        await duplicates.once(click(), direct(), act)
        clock.now += 4

    assert len(act.taken) == 2


def test_the_window_is_ten_seconds():
    """The window is the design's 10 s."""
    seconds = 10.0

    assert seconds == WINDOW


@pytest.mark.parametrize(
    ("other", "decision"),
    [
        pytest.param(click(f"{LINK}&clickid=K2"), direct(), id="link"),
        pytest.param(click(user_agent="iPhone"), direct(), id="User-Agent"),
        pytest.param(click(), direct(client_ip="8.8.8.8"), id="client address"),
    ],
)
async def test_another_click_is_acted_on(duplicates, other, decision):
    """A click that differs in link, address or User-Agent is another one."""
    act = Act()
    await duplicates.once(click(), direct(), act)
    await duplicates.once(other, decision, act)

    assert len(act.taken) == 2


async def test_fields_do_not_run_into_each_other(duplicates):
    """A User-Agent that ends like an address does not make two clicks one."""
    act = Act()
    await duplicates.once(click(user_agent="1"), direct(client_ip="8.8.8.81"), act)
    await duplicates.once(click(user_agent="11"), direct(client_ip="8.8.8.8"), act)

    assert len(act.taken) == 2


async def test_clicks_at_the_same_moment_are_one(duplicates):
    """Clicks that come while the first is under way wait for its answer and get it."""
    act = Act()
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(click(number=n), direct(number=n), act)) for n in range(5)]
    await asyncio.sleep(0)
    act.may.set()
    answers = await asyncio.gather(*waiting)

    assert {direct().location} == {answer.location for answer in answers}
    assert len(act.taken) == 1


async def test_a_pass_is_remembered(duplicates):
    """A click that had to pass passes again: AppsFlyer has counted it by the old redirect."""
    act = Act(Pass(Reason.OUTBOX_DOWN))
    answers = [await duplicates.once(click(), direct(), act) for _ in range(2)]

    assert [Pass(Reason.OUTBOX_DOWN)] * 2 == answers
    assert 1 == len(act.taken)


async def test_a_pass_is_forgotten_after_the_window(duplicates, clock):
    """Later the same link is another click."""
    act = Act(Pass(Reason.S2S_DOWN))
    await duplicates.once(click(), direct(), act)
    clock.now += WINDOW

    assert direct() == await duplicates.once(click(), direct(), act)


async def test_a_pass_is_the_answer_of_everyone_who_waits(duplicates):
    """A click that waits for one that passes passes too: the two never get different answers."""
    act = Act(Pass(Reason.OUTBOX_DOWN))
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(click(), direct(), act)) for _ in range(2)]
    await asyncio.sleep(0)
    act.may.set()

    assert [Pass(Reason.OUTBOX_DOWN)] * 2 == await asyncio.gather(*waiting)


async def test_a_failure_is_a_pass_that_is_remembered(duplicates):
    """A click whose taking failed raises, which lets it pass; the next one passes too."""
    act = Act(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        await duplicates.once(click(), direct(), act)

    assert Pass(Reason.ERROR) == await duplicates.once(click(), direct(), act)


async def test_whoever_waits_for_a_failure_passes(duplicates):
    """A click that waits for one that fails passes, and is never left waiting."""
    act = Act(OSError("disk full"))
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(click(), direct(), act)) for _ in range(2)]
    await asyncio.sleep(0)
    act.may.set()
    failed, passed = await asyncio.gather(*waiting, return_exceptions=True)

    assert OSError is type(failed)
    assert Pass(Reason.ERROR) == passed


async def test_whoever_waits_for_a_cancelled_click_passes(duplicates):
    """The end of the first click's connection is not the end of the second one's."""
    act = Act()
    act.may.clear()
    first, second = (asyncio.create_task(duplicates.once(click(), direct(), act)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert Pass(Reason.ERROR) == await second


async def test_a_waiting_click_that_goes_away_does_not_end_the_first(duplicates):
    """A repetition that is cancelled while it waits leaves the first click to be answered."""
    act = Act()
    act.may.clear()
    first, second = (asyncio.create_task(duplicates.once(click(), direct(), act)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    act.may.set()

    assert direct() == await first
    assert second.cancelled()


async def test_no_personal_data_is_kept(duplicates):
    """Nothing of link, address and User-Agent is kept but a hash."""
    await duplicates.once(click(user_agent="Pixel 5 of somebody"), direct(), Act())
    kept = repr(vars(duplicates))

    assert not [text for text in ("Pixel 5", "93.184.216.34", "pid=x") if text in kept]
