"""First answers, kept by one process for itself or in the outbox for several."""

from __future__ import annotations

import pytest

from storehop.deliver.clock import SystemClock
from storehop.deliver.notes import Notes
from storehop.deliver.writer import Writer
from storehop.host.hints import WINDOW, FirstAnswer, OwnFirstAnswers, SharedFirstAnswers
from storehop.model import Click, Delivery

ODD = b"caf\xc3\xa9 \xff"
"""Bytes that are no UTF-8: headers may hold any."""
CLICK = Click("id", "GET", "https://app.appsflyer.com/com.example.game?c=\udcff", {"user-agent": "\udcff"}, "192.0.2.1")
FIRST = FirstAnswer(
    CLICK, 4711.25, "digest", "ads.example/\udcff", 99.5, (("X-Odd", ODD.decode("latin-1")), ("Location", "https://a"))
)


class HandClock:
    """Goes on when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture(params=["own", "shared"])
async def answers(request, tmp_path, clock):
    if request.param == "own":
        yield OwnFirstAnswers(clock)
        return
    writer = Writer(tmp_path / "outbox.db", SystemClock(), Delivery())
    yield SharedFirstAnswers(Notes(writer))
    await writer.close()


def any_of_them(_first):
    return True


async def test_a_first_answer_comes_back_as_it_was(answers):
    """Every byte of it."""
    await answers.put("token", FIRST)

    assert FIRST == await answers.take("token", any_of_them)


async def test_a_first_answer_is_handed_out_once(answers):
    """A second retry is a click of its own."""
    await answers.put("token", FIRST)
    taken = [await answers.take("token", any_of_them) for _ in range(2)]

    assert [FIRST, None] == taken


async def test_a_first_answer_is_known_by_its_token(answers):
    """Nobody else's."""
    await answers.put("token", FIRST)

    assert await answers.take("another", any_of_them) is None


async def test_a_first_answer_waits_for_the_request_that_it_fits(answers):
    """A page's other requests have the cookie, too."""
    await answers.put("token", FIRST)
    taken = [await answers.take("token", lambda _first, fits=fits: fits) for fits in (False, True)]

    assert [None, FIRST] == taken


async def test_a_first_answer_is_forgotten(clock):
    """After ten seconds nobody is on the way back any more."""
    answers = OwnFirstAnswers(clock)
    await answers.put("token", FIRST)
    clock.now = WINDOW + 0.1

    assert await answers.take("token", any_of_them) is None


async def test_a_first_answer_that_can_not_be_kept_is_not_asked_for(tmp_path):
    """No browser is told to come back to a process that would not know it."""
    writer = Writer(tmp_path / "outbox.db", SystemClock(), Delivery())
    writer.hold_back("it hangs")
    is_kept = await SharedFirstAnswers(Notes(writer)).put("token", FIRST)
    await writer.close()

    assert is_kept is False


def test_the_answer_to_a_retry_has_the_first_one_s_headers():
    """As bytes, without what only the first one may say, and without its body."""
    answer = FIRST.again()

    assert (302, ODD, "https://a", "0") == (
        answer.status_code,
        dict(answer.headers.fields)[b"X-Odd"],
        answer.headers["location"],
        answer.headers["content-length"],
    )
