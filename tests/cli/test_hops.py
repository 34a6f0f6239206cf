"""The demo's times."""

from storehop.cli.hops import Hop, Way, compared, medians


def run(*milliseconds):
    return [Hop(302, f"host-{place}", "https://store/", time) for place, time in enumerate(milliseconds)]


def test_a_time_is_the_median():
    """Of each hop for itself: one slow click does not show."""
    shown = medians([run(1, 20), run(500, 10), run(2, 30)])

    assert [2, 20] == [hop.milliseconds for hop in shown]


def test_a_click_that_went_another_way_does_not_count():
    """Only those with as many hops as the first are comparable."""
    assert [1] == [hop.milliseconds for hop in medians([run(1), run(7, 7)])]


def test_both_ways_get_the_same_clicks_turn_by_turn(monkeypatch):
    """So that a busy machine slows both."""
    monkeypatch.setattr("storehop.cli.hops.PAUSE_S", 0)
    asked, one, other = [], Way({}), Way({"a": 1})

    def follow(way, turn):
        asked.append((way is other, turn))
        yield from run(1)

    compared(2, follow, one, other)

    assert [(False, 0), (True, 0), (False, 1), (True, 1)] == asked
