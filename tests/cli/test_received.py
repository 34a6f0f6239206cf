"""What a stand-in makes of the calls that come to it."""

import pytest

from storehop.cli.received import ReceivedCall, Tally, printable
from storehop.observe.coverage import Signal

ANDROID = "/com.example.game?pid=networka_int&clickid=K1&af_ref=NetworkA_K1&af_ip=8.8.8.8&redirect=false"
IPHONE = "/id123456789?pid=networka_int&af_ref=NetworkA_K2&redirect=false"


def call(target=ANDROID, method="GET", status=200):
    return ReceivedCall(method, target, (), status)


def test_a_call_is_read_as_appsflyer_reads_it():
    """App, click id and parameters, decoded."""
    read = call("/com.example.game?c=a%20b&clickid=K1")

    assert ("com.example.game", "K1", (("c", "a b"), ("clickid", "K1"))) == (read.app, read.click_id, read.params)


def test_without_a_click_id_the_referrer_has_one():
    """Behind the network's name."""
    assert "K2" == call(IPHONE).click_id


@pytest.mark.parametrize(("target", "signals"), [(ANDROID, (Signal.REFERRER, Signal.IP)), (IPHONE, ())])
def test_the_app_store_hands_on_no_referrer(target, signals):
    """There it matches nothing."""
    assert signals == call(target).signals


def test_a_good_call_has_no_problem():
    """As storehop sends it."""
    assert () == call().problems


@pytest.mark.parametrize(
    ("faulty", "problem"),
    [
        (call(method="POST"), "the method is POST"),
        (call("/?pid=a&redirect=false"), "no app id"),
        (call("/com.example.game?redirect=false"), "no pid"),
        (call("/com.example.game?pid=a"), "no redirect=false"),
        (call(f"{ANDROID}&pid=other"), "pid is there 2 times"),
    ],
)
def test_a_fault_is_named(faulty, problem):
    """One sentence for each."""
    (named,) = faulty.problems

    assert named.startswith(problem)


def test_a_click_id_that_was_taken_is_doubled():
    """The second time it comes."""
    tally = Tally()

    assert [False, True] == [tally.add(call()).is_doubled for _ in range(2)]


def test_a_retry_of_what_was_refused_is_not_doubled():
    """It is as it should be."""
    tally = Tally()

    assert [False, False] == [tally.add(call(status=status)).is_doubled for status in (503, 200)]


def test_a_tally_counts():
    """Calls, faulty ones, apps, and what could be matched on."""
    tally = Tally()
    for target in (ANDROID, IPHONE, "/com.example.game?pid=a"):
        tally.add(call(target))
    text = str(tally)

    assert text.startswith("3 S2S calls, 1 with something wrong; by app: com.example.game 2, id123456789 1; ")
    assert "referrer 1, device id 0, IP 1" in text


def test_a_tally_of_nothing_says_so():
    """No table of zeros."""
    assert "no S2S call came" == str(Tally())


def test_a_stranger_s_text_ends_no_line():
    """Nor does it steer a terminal."""
    assert r"a\n\x1b[1m" == printable("a\n\x1b[1m")
