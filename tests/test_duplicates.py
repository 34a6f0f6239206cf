"""The same click again within ten seconds: the same answer, no second S2S click (design §3)."""

import asyncio
import gc
import weakref
from dataclasses import replace

import pytest

from storehop import duplicates as module
from storehop.duplicates import ClickAnswer, Duplicates
from storehop.model import Direct, Likeness, Pass, Platform, Reason, S2SCall
from storehop.settings import Store

LINK = "https://app.appsflyer.com/com.example.game?pid=x"


def direct(key=b"key", hints="", number=0):
    """A direct decision; those with other numbers have other ids and tokens, as new clicks do."""
    call = S2SCall(
        f"id-{number}",
        "https://app.appsflyer.com",
        f"{LINK.removeprefix('https://app.appsflyer.com')}&af_ref=N_{number}",
        (),
    )
    location = f"https://play.google.com/store/apps/details?id=com.example.game&referrer=N_{number}"
    store, same = Store.GOOGLE_PLAY, Likeness(key, hints)
    return Direct("games", "com.example.game", Platform.ANDROID, store, f"N_{number}", location, call, (), same)


def passed(reason):
    return Pass(reason, "games", "com.example.game", Platform.ANDROID, Store.GOOGLE_PLAY)


class Kept(str):
    """A text of which it can be told whether somebody has it still."""

    __slots__ = ("__weakref__",)


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

    async def __call__(self, decision, key):
        self.taken.append(decision)
        await self.may.wait()
        text = self._answers.pop(0) if self._answers else decision.location
        if isinstance(text, Exception):
            raise text
        return ClickAnswer(decision.call.id, decision.likeness.hints, text), key


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def duplicates(clock):
    return Duplicates(clock)


async def test_a_first_click_is_acted_on(duplicates):
    """A click that is new is acted on, and its own decision is the answer."""
    act = Act()

    assert direct() == await duplicates.once(direct(), act)
    assert [direct()] == act.taken


@pytest.mark.parametrize("later", [0.0, 0.5, 9.9])
async def test_the_same_click_again_gets_the_same_answer(duplicates, clock, later):
    """The same link, address and User-Agent within 10 s get the first answer's location, and nothing is sent."""
    act = Act()
    first = await duplicates.once(direct(), act)
    clock.now += later
    second = await duplicates.once(direct(number=1), act)

    assert first.location == second.location
    assert [direct()] == act.taken


async def test_after_the_window_it_is_a_new_click(duplicates, clock):
    """The same click later than 10 s is a new one: a person tapped again."""
    act = Act()
    await duplicates.once(direct(), act)
    clock.now += 10.1
    second = await duplicates.once(direct(number=1), act)

    assert direct(number=1) == second
    assert len(act.taken) == 2


async def test_the_oldest_answers_make_room(duplicates, monkeypatch):
    """Whoever sends many clicks does not choose how much memory we keep."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    for key in (b"1", b"2", b"3"):
        await duplicates.once(direct(key), Act())

    assert [False, True, True] == [key in duplicates._answers for key in (b"1", b"2", b"3")]


async def test_what_is_over_is_not_kept(duplicates, clock):
    """With the next answer all that are older than the window are let go of."""
    kept = weakref.ref(direct_kept := Kept("https://play"))
    await duplicates.once(replace(direct(), location=direct_kept), Act())
    del direct_kept
    clock.now += 10
    await duplicates.once(direct(b"other"), Act())
    gc.collect()

    assert kept() is None


async def test_a_repetition_does_not_lengthen_the_window(duplicates, clock):
    """The 10 s count from the first click, however often it is repeated."""
    act = Act()
    for _ in range(4):
        await duplicates.once(direct(), act)
        clock.now += 4

    assert len(act.taken) == 2


async def test_a_duplicate_names_the_click_that_it_repeats(duplicates):
    """The second decision has the first click's id; the first and the next other one have none."""
    keys = (b"key", b"key", b"other")
    found = [await duplicates.once(direct(key, number=n), Act()) for n, key in enumerate(keys)]

    assert ["", "id-0", ""] == [decision.repeats for decision in found]


async def test_the_third_click_repeats_the_first(duplicates):
    """However often a click is repeated, its first one is named."""
    found = [await duplicates.once(direct(number=n), Act()) for n in range(3)]

    assert ["", "id-0", "id-0"] == [decision.repeats for decision in found]


async def test_a_click_that_another_process_answered_is_a_duplicate(duplicates):
    """Where the outbox knows the click, the decision has the location and the id that it was answered with."""

    async def act(_decision, key):
        return ClickAnswer("elsewhere", "", "https://play.google.com/elsewhere"), key

    found = await duplicates.once(direct(), act)

    assert ("elsewhere", "https://play.google.com/elsewhere") == (found.repeats, found.location)


async def test_a_click_of_another_key_is_acted_on(duplicates):
    """Clicks whose keys differ are two."""
    act = Act()
    await duplicates.once(direct(), act)
    await duplicates.once(direct(b"other"), act)

    assert len(act.taken) == 2


async def test_clicks_without_a_key_are_all_acted_on(duplicates):
    """Where nothing says that two clicks are one person's, each is acted on."""
    act = Act()
    await duplicates.once(direct(None), act)
    await duplicates.once(direct(None), act)

    assert len(act.taken) == 2


@pytest.mark.parametrize(
    ("hints", "calls"),
    [
        pytest.param(["", ""], 1, id="none"),
        pytest.param(["", "a"], 1, id="the first answer asked for them"),
        pytest.param(["a", ""], 1, id="the second has none"),
        pytest.param(["a", "a"], 1, id="equal"),
        pytest.param(["a", "b"], 2, id="two devices"),
        pytest.param(["a", "b", "a", "b"], 2, id="two devices twice"),
        pytest.param(["a", "b", ""], 2, id="two devices and one that says nothing"),
        pytest.param(["a", "b", "c", "b"], 3, id="three devices"),
        pytest.param(["", "a", "b"], 1, id="the first said nothing, so nothing tells them apart"),
    ],
)
async def test_hints_tell_clicks_apart_where_both_carry_them(duplicates, hints, calls):
    """Two clicks of one key are two only where both carried hints, and other ones."""
    act = Act()
    for number, said in enumerate(hints):
        await duplicates.once(direct(hints=said, number=number), act)

    assert calls == len(act.taken)


async def test_a_device_that_hints_tell_apart_is_known_after_the_first_ones_window(duplicates, clock):
    """The second of two devices behind one address taps again when the first one's click is long over."""
    act = Act()
    await duplicates.once(direct(hints="a", number=1), act)
    clock.now += 9
    await duplicates.once(direct(hints="b", number=2), act)
    clock.now += 2
    again = await duplicates.once(direct(hints="b", number=3), act)

    assert (2, "id-2") == (len(act.taken), again.repeats)


async def test_an_answer_is_kept_where_it_lies(duplicates):
    """Where the outbox knew another device by the key, this one's answer is found by its hints, and not by the key."""
    taken = []

    async def act(decision, _key):
        taken.append(decision.call.id)
        return ClickAnswer(decision.call.id, decision.likeness.hints, decision.location), b"with hints"

    await duplicates.once(direct(hints="b", number=1), act)
    await duplicates.once(direct(hints="a", number=2), act)

    assert ["id-1", "id-2"] == taken
    assert b"key" not in duplicates._answers


async def test_hints_tell_clicks_apart_while_the_first_is_under_way(duplicates):
    """At the same moment, too, another device with the same address and User-Agent is another click."""
    act = Act()
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(direct(hints=said), act)) for said in "aab"]
    await asyncio.sleep(0)
    act.may.set()
    await asyncio.gather(*waiting)

    assert len(act.taken) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ClickAnswer("id-1", "", "https://play.google.com/x?a=b c"), id="direct"),
        pytest.param(ClickAnswer("id-1", "0f", "s2s_down"), id="pass, with hints"),
    ],
)
def test_an_answer_is_read_as_it_was_written(answer):
    """What lies in the outbox says the same again."""
    assert answer == ClickAnswer.from_text(answer.to_text())


def test_an_answer_of_an_unknown_click_is_read():
    """A text alone, as a commit that came too late leaves it, is an answer all the same."""
    assert ClickAnswer("", "", "outbox_down") == ClickAnswer.from_text("outbox_down")


async def test_clicks_at_the_same_moment_are_one(duplicates):
    """Clicks that come while the first is under way wait for its answer and get it."""
    act = Act()
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(direct(number=n), act)) for n in range(5)]
    await asyncio.sleep(0)
    act.may.set()
    answers = await asyncio.gather(*waiting)

    assert {direct().location} == {answer.location for answer in answers}
    assert len(act.taken) == 1


async def test_a_pass_is_remembered(duplicates):
    """A click that had to pass passes again: AppsFlyer has counted it by the old redirect."""
    act = Act(Reason.OUTBOX_DOWN)
    answers = [await duplicates.once(direct(), act) for _ in range(2)]

    assert [passed(Reason.OUTBOX_DOWN)] * 2 == answers
    assert 1 == len(act.taken)


async def test_a_pass_is_forgotten_after_the_window(duplicates, clock):
    """Later the same link is another click."""
    act = Act(Reason.S2S_DOWN)
    await duplicates.once(direct(), act)
    clock.now += 10

    assert direct() == await duplicates.once(direct(), act)


async def test_a_pass_is_the_answer_of_everyone_who_waits(duplicates):
    """A click that waits for one that passes passes too: the two never get different answers."""
    act = Act(Reason.OUTBOX_DOWN)
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(direct(), act)) for _ in range(2)]
    await asyncio.sleep(0)
    act.may.set()

    assert [passed(Reason.OUTBOX_DOWN)] * 2 == await asyncio.gather(*waiting)


async def test_a_failure_is_a_pass_that_is_remembered(duplicates):
    """A click whose taking failed raises, which lets it pass; the next one passes too."""
    act = Act(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        await duplicates.once(direct(), act)

    assert passed(Reason.ERROR) == await duplicates.once(direct(), act)


async def test_whoever_waits_for_a_failure_passes(duplicates):
    """A click that waits for one that fails passes, and is never left waiting."""
    act = Act(OSError("disk full"))
    act.may.clear()
    waiting = [asyncio.create_task(duplicates.once(direct(), act)) for _ in range(2)]
    await asyncio.sleep(0)
    act.may.set()
    failed, waited = await asyncio.gather(*waiting, return_exceptions=True)

    assert OSError is type(failed)
    assert passed(Reason.ERROR) == waited


async def test_whoever_waits_for_a_cancelled_click_passes(duplicates):
    """The end of the first click's connection is not the end of the second one's."""
    act = Act()
    act.may.clear()
    first, second = (asyncio.create_task(duplicates.once(direct(), act)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert passed(Reason.ERROR) == await second


async def test_a_waiting_click_that_goes_away_does_not_end_the_first(duplicates):
    """A repetition that is cancelled while it waits leaves the first click to be answered."""
    act = Act()
    act.may.clear()
    first, second = (asyncio.create_task(duplicates.once(direct(), act)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    act.may.set()

    assert direct() == await first
    assert second.cancelled()
