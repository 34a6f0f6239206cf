"""Floods of frames that cost time: hyper-h2 on our side, frames by hand on the client's."""

import pytest
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError
from hyperframe.frame import GoAwayFrame, PingFrame, PriorityFrame, SettingsFrame, WindowUpdateFrame

from storehop.host.layers.calm import MAX_PRIORITIES, MAX_QUESTIONS, WINDOW_S, CalmConnection
from tests.support.wires import Browser2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PING = PingFrame(0, b"12345678").serialize()
SETTINGS = SettingsFrame(0, {4: 65_535}).serialize()
PRIORITY = PriorityFrame(1, 0, 1).serialize()
GOAWAY = GoAwayFrame(0, error_code=ErrorCodes.ENHANCE_YOUR_CALM).serialize()


@pytest.mark.parametrize(
    "question", [PING, SETTINGS, PING + SETTINGS, PRIORITY], ids=["PING", "SETTINGS", "both", "PRIORITY"]
)
def test_a_flood_of_questions_ends_the_connection(question):
    """At once, however many came in one piece; GOAWAY says why, once and in no words."""
    wire = Browser2().wire
    before = len(wire.sent)
    wire.receive(question * 5000)
    said = wire.sent[before:]

    assert (True, True) == (wire.is_closed, said.endswith(GOAWAY))
    assert len(said) <= MAX_QUESTIONS * len(PING) + len(GOAWAY)


def test_what_is_no_question_may_come_often():
    """An answer to a question of ours, or a frame that needs none and that an honest client may send."""
    browser = Browser2()
    browser.wire.receive(PingFrame(0, b"12345678", flags=["ACK"]).serialize() * 5000)
    browser.wire.receive(WindowUpdateFrame(0, window_increment=1).serialize() * 5000)
    browser.wire.receive(PRIORITY * (MAX_PRIORITIES // 2))
    browser.ask()

    assert not browser.wire.is_closed


def connected(clock):
    connection = CalmConnection(H2Configuration(client_side=False), clock)
    connection.initiate_connection()
    connection.receive_data(PREFACE)
    return connection


def test_questions_now_and_then_are_answered_for_ever():
    """The bound is of a while, not of a connection's life."""
    now = 0.0
    connection = connected(lambda: now)
    connection.data_to_send()
    for _ in range(10):
        connection.receive_data(PING * MAX_QUESTIONS)
        now += WINDOW_S

    assert 10 * MAX_QUESTIONS == connection.data_to_send().count(b"12345678")


def test_a_second_flood_ends_it_as_well():
    """After a quiet while it has as many as before."""
    now = 0.0
    connection = connected(lambda: now)
    connection.receive_data(PING * MAX_QUESTIONS)
    now += WINDOW_S
    connection.receive_data(PING * MAX_QUESTIONS)

    with pytest.raises(DenialOfServiceError):
        connection.receive_data(PING)
