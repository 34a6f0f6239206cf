"""Log lines: what a click leaves behind for people and for machines."""

import json
import logging

import pytest

from storehop.model import (
    Click,
    Dead,
    DeadReason,
    Delivered,
    Direct,
    Failure,
    Fault,
    Likeness,
    Pass,
    Platform,
    Reason,
    Reply,
    RetryIn,
    S2SCall,
    Settled,
)
from storehop.observe.lines import JsonLines
from storehop.observe.log import ClickLog
from storehop.settings import Store

PERSONAL = ("81.2.69.142", "Pixel 5", "advertising_id")
CALL = S2SCall("c1", "https://app.appsflyer.com", "/com.x.y?advertising_id=a&af_ip=81.2.69.142", (), "games")
CLICK = Click(
    "c1", "GET", "https://app.appsflyer.com/com.x.y?advertising_id=a", {"user-agent": "Pixel 5"}, "81.2.69.142"
)
DIRECT = Direct(
    "games", "com.x.y", Platform.ANDROID, Store.GOOGLE_PLAY, "N_1", "https://play", CALL, (), Likeness(b"key", "")
)


@pytest.fixture
def lines(caplog):
    """Each record as text and as JSON."""
    caplog.set_level(logging.INFO, "storehop.click")

    def read():
        return [(record.getMessage(), json.loads(JsonLines().format(record))) for record in caplog.records]

    return read


def settled(outcome, verdict):
    return Settled(CALL, outcome, verdict, 1, 0.034)


def test_a_direct_click_is_one_line(lines):
    """The line says where the click went, and by which rule."""
    ClickLog().answered(CLICK, DIRECT)

    assert ["direct click=c1 rule=games app=com.x.y platform=android store=google_play"] == [
        text for text, _ in lines()
    ]


def test_a_pass_says_why(lines):
    """The reason comes with the click's id."""
    ClickLog().answered(CLICK, Pass(Reason.NO_RULE, app="com.x.y"))

    assert "pass click=c1 reason=no_rule app=com.x.y" == lines()[0][0]


@pytest.mark.parametrize(
    ("outcome", "verdict", "text"),
    [
        (Reply(200), Delivered(), "s2s_delivered click=c1 rule=games outcome=200 attempt=1 ms=34"),
        (Reply(503), RetryIn(1.0), "s2s_put_off click=c1 rule=games outcome=503 attempt=1 ms=34"),
        (
            Failure(Fault.TLS, maybe_sent=False, cause="self-signed certificate"),
            RetryIn(1.0),
            's2s_put_off click=c1 rule=games outcome=tls cause="self-signed certificate" attempt=1 ms=34',
        ),
        (
            Failure(Fault.CONNECT, maybe_sent=False),
            RetryIn(1.0),
            "s2s_put_off click=c1 rule=games outcome=connect attempt=1 ms=34",
        ),
        (
            Reply(404),
            Dead(DeadReason.REJECTED),
            "s2s_dead click=c1 rule=games outcome=404 attempt=1 ms=34 reason=rejected",
        ),
        (None, RetryIn(1.0, is_spent=False), "s2s_put_off click=c1 rule=games attempt=1 ms=34"),
    ],
)
def test_the_call_s_end_is_one_line(lines, outcome, verdict, text):
    """The second line joins the first by the click's id."""
    ClickLog().settled(settled(outcome, verdict))

    assert text == lines()[0][0]


def test_machines_get_fields(lines):
    """As JSON, each field stands for itself."""
    ClickLog().answered(CLICK, DIRECT)
    entry = lines()[0][1]

    assert ("direct", "c1", "com.x.y", "info") == tuple(entry[key] for key in ("event", "click", "app", "level"))


def test_other_lines_are_json_too():
    """A line of the host has its message, and an exception its trace."""
    record = logging.LogRecord("storehop", logging.ERROR, "", 0, "gone %s", ("wrong",), None)

    assert "gone wrong" == json.loads(JsonLines().format(record))["message"]


def test_personal_data_is_left_out(lines):
    """No address, device id or User-Agent is in any line."""
    log = ClickLog()
    log.answered(CLICK, DIRECT)
    log.settled(settled(Reply(200), Delivered()))

    assert [] == [secret for secret in PERSONAL if secret in str(lines())]


def test_personal_data_is_there_when_asked(lines):
    """With personal_data all of it is."""
    log = ClickLog(personal_data=True)
    log.answered(CLICK, DIRECT)
    log.settled(settled(Reply(200), Delivered()))

    assert list(PERSONAL) == [secret for secret in PERSONAL if secret in str(lines())]


def test_a_call_that_got_too_old_is_a_line(lines):
    """What expires in the outbox is said with the click's id."""
    ClickLog().expired(("c1",))

    assert "s2s_dead click=c1 reason=too_old" == lines()[0][0]
