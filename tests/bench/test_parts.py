"""Each part of the benchmark can be measured by itself, and says what it has to say."""

import pytest

from tests.bench.__main__ import measure
from tests.bench.measures import TINY
from tests.bench.report import with_ratios
from tests.bench.rounds import PARTS
from tests.bench.tables import markdown
from tests.support.needs import need


def tiny(part, folder):
    """Its figures of one tiny round, their median, and the tables."""
    [measured] = measure(TINY, folder, {part: PARTS[part]})
    found = with_ratios(measured)
    return found["parts"][part]["median"], markdown(found)


@pytest.mark.parametrize("part", ["tls", "redirects"])
def test_clicks_are_compared_with_stock(tmp_path, part):
    """Over TLS with HTTP/2, and on the redirects of a real nginx: each click is whole, each request forwarded."""
    need("nginx")
    figures, text = tiny(part, tmp_path)

    assert 0 < figures["stock, forwarding"]["rate"]
    assert 0 == figures["stock, forwarding"]["failed"]
    assert 0 < figures["storehop, clicks"]["clicks"]
    assert not any(figures["storehop, clicks"][what] for what in ("passed", "lost", "twice", "failed"))
    assert "| storehop, whole clicks" in text


def test_two_workers_are_compared_with_one(tmp_path):
    """Where they have no cores of their own, the report says so."""
    figures, text = tiny("workers", tmp_path)

    assert 0 < figures["one worker, clicks"]["clicks"]
    assert 0 < figures["two workers, clicks"]["clicks"]
    assert ("so two workers cannot do twice as much" in text) == ("shared with load and neighbours |" in text)


def test_silent_clients_cost_no_click(tmp_path):
    """Each of them is answered when it asks again, and the others' clicks are whole meanwhile."""
    figures, text = tiny("connections", tmp_path)

    assert (TINY.kept, 0, 0) == tuple(figures["kept"][name] for name in ("kept", "failed", "lost"))
    assert "| the same beside 20 kept connections |" in text


def test_a_tail_says_what_it_was_made_of(tmp_path):
    """The answers, the waits for the commit within them, and the collector's share."""
    figures, text = tiny("tail", tmp_path)

    assert 0 < figures["wait"]["p50"] <= figures["wait"]["max"]
    assert 0 < figures["half"]["answer"]["p999"] <= figures["half"]["answer"]["max"]
    assert 0 <= figures["collector"]["share"] < 1
    assert "clicks/s for 2 seconds | p50 | p99 | p99.9 | max |" in text


def test_memory_is_measured_of_usual_and_hostile_clicks(tmp_path):
    """Both come in full, so their figures are of delivered clicks."""
    figures, text = tiny("memory", tmp_path)

    assert {"answer", "hostile"} == set(figures)
    assert all(held["many"] >= TINY.many for held in figures.values())
    assert "clicks of which each header value is new" in text


def test_a_start_is_measured_to_its_first_click(tmp_path):
    """In seconds of the clock and of the processor."""
    figures, text = tiny("start", tmp_path)

    assert 0 < figures["warm"]["processor_seconds"]
    assert 0 < figures["warm"]["seconds"]
    assert "| storehop run | " in text


def test_decisions_have_a_limit_of_this_machine(tmp_path):
    """Microseconds are judged by how fast Python is here."""
    figures, text = tiny("decision", tmp_path)

    assert {"10", "1000", "100000"} == set(figures["us"])
    assert "(40 µs × " in text
