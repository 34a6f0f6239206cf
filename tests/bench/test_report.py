"""Ratios are taken within rounds, parts are merged, and the page keeps what people wrote."""

import json

import pytest

from tests.bench import __main__ as bench
from tests.bench.report import BEGIN, END, GOALS, doubts, on_page, spread, with_ratios, within_rounds
from tests.bench.rounds import PARTS
from tests.bench.tables import markdown

MACHINE = {
    "processor": "A", "cores": 2, "pinning": "shared by all", "system": "Linux", "python": "3.13", "mitmproxy": "12",
    "load": "wrk", "loop_ms": 4.0, "commit_ms": 1.0, "date": "2026-11-30",
}  # fmt: skip


def part(*rounds, machine=MACHINE):
    return {"machine": machine, "rounds": list(rounds), "skipped": {}}


def rates(stock, clicks, **more):
    """One round."""
    whole = {"rate": clicks, "cpu_us": 1e6 / clicks, "busy": 1.0, "passed": 0, "lost": 0, "twice": 0, "failed": 0}
    return {"stock, forwarding": {"rate": stock, "cpu_us": 1e6 / stock, "failed": 0}, "storehop, clicks": whole | more}


def test_a_ratio_is_taken_within_each_round():
    """A machine that is half as fast in one round changes no ratio; the spread is of the rounds."""
    found = with_ratios({"speed": part(rates(100, 300), rates(50, 130), rates(100, 240))})

    assert (2.6, 2.4, 3.0) == tuple(found["goals"]["clicks"][name] for name in ("value", "least", "most"))
    assert found["goals"]["clicks"]["reached"]
    text = markdown(found)
    assert "| whole clicks ÷ stock forwarding | 2.60 (2.40..3.00) | ≥ 2.5 | ✓ |" in text
    assert "| storehop, whole clicks | 240 | 2.60 (2.40..3.00) |" in text


def test_of_one_round_there_is_no_spread():
    """Nor of equal ones; what was not measured is a dash."""
    assert "2.00" == spread(2, 2, 2)
    assert "1.00" == within_rounds(part(rates(1, 1)), lambda one: one["storehop, clicks"]["rate"])
    assert "–" == within_rounds(part({}), lambda one: one["stock"]["rate"])


def test_a_limit_of_microseconds_follows_the_machine():
    """40 µs where 100,000 additions take 2 ms are 80 µs where they take 4."""
    goal = next(goal for goal in GOALS if goal.name == "decision")

    assert 80 == goal.limit_in(part({"loop_ms": 4.0}))


def test_two_workers_are_judged_only_with_cores_of_their_own():
    """On two cores they share them with the load, and the ratio says nothing."""
    figures = {"one worker, clicks": {"rate": 100}, "two workers, clicks": {"rate": 190}}

    assert {} == with_ratios({"workers": part(figures)})["goals"]
    assert with_ratios({"workers": part(figures, machine=MACHINE | {"cores": 4})})["goals"]["workers"]["reached"]


def test_what_a_perfect_run_has_none_of_is_said():
    """At any depth: lost clicks, and a core that others used."""
    found = with_ratios({"connections": part({"kept": {"alone": {"busy": 0.5, "lost": 3}, "failed": 1}})})

    assert [
        "Beware: others were at work. Of its core the proxy had only 50% in kept, alone.",
        "Round 1, kept: 1 failed.",
        "Round 1, kept, alone: 3 lost.",
    ] == doubts(found["parts"]["connections"])


def test_failures_are_told_with_why_clicks_passed():
    """In each round for itself."""
    rounds = ({"half": {"failed": failed, "why": {"outbox_down": down, "bot": 0}}} for failed, down in ((3, 2), (1, 0)))

    assert [
        "Round 1, half: 3 failed (2 passed as outbox_down).",
        "Round 2, half: 1 failed.",
    ] == doubts(with_ratios({"speed": part(*rounds)})["parts"]["speed"])


def test_the_page_keeps_what_people_wrote():
    """Only what stands between the marks is made anew."""
    page = f"# Speed\n\nOurs.\n\n{BEGIN}\n\nold\n\n{END}\n\nOurs, too.\n"

    made = on_page(page, "| new |")

    assert f"# Speed\n\nOurs.\n\n{BEGIN}\n\n| new |\n\n{END}\n\nOurs, too.\n" == made
    assert made == on_page(made, "| new |")
    with pytest.raises(ValueError, match="the page has no"):
        on_page("# Speed\n", "| new |")


def test_the_page_has_its_marks():
    """So that `make bench` finds its place after half an hour."""
    assert on_page(bench.PAGE.read_text(), "x")


def test_parts_that_are_not_measured_stay(tmp_path, monkeypatch, capsys):
    """One table can be made anew; the others are as they were, with the machine that they were measured on."""
    file, page = tmp_path / "bench.json", tmp_path / "README.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    old = part(rates(100, 300), machine=MACHINE | {"date": "2026-11-01"})
    file.write_text(json.dumps(with_ratios({"speed": old})))
    monkeypatch.setattr(bench, "PAGE", page)
    monkeypatch.setattr(bench, "measure", lambda *_: [{"redirects": part(rates(100, 260))}])
    monkeypatch.setattr("sys.argv", ["bench", "--only", "redirects", "--json", str(file)])

    bench.main()

    assert {"speed", "redirects"} == set(json.loads(file.read_text())["parts"])
    assert "| storehop, whole clicks | 300 | 3.00 |" in page.read_text()
    assert "| storehop, whole clicks on nginx's redirects | 260 | 2.60 |" in page.read_text()
    assert "speed: A, 2 cores" in page.read_text()
    assert capsys.readouterr().out in page.read_text()


def test_what_was_measured_is_kept_if_the_rest_fails(tmp_path, monkeypatch):
    """Half an hour of rounds is not lost with a tail."""
    file = tmp_path / "bench.json"

    def measure(*_):
        yield {"redirects": part(rates(100, 260))}
        raise RuntimeError("a proxy does not answer")

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr("sys.argv", ["bench", "--json", str(file)])

    with pytest.raises(RuntimeError, match="does not answer"):
        bench.main()
    assert {"redirects"} == set(json.loads(file.read_text())["parts"])


def test_a_quick_run_changes_no_page(tmp_path, monkeypatch):
    """It is an idea, and no measurement."""
    monkeypatch.setattr(bench, "PAGE", tmp_path / "missing")
    monkeypatch.setattr(bench, "measure", lambda *_: [{"redirects": part(rates(100, 260))}])
    monkeypatch.setattr("sys.argv", ["bench", "--quick", "--only", "redirects", "--json", str(tmp_path / "it.json")])

    bench.main()


def test_an_unknown_part_is_refused(monkeypatch, capsys):
    """With the parts that there are."""
    monkeypatch.setattr("sys.argv", ["bench", "--only", "tsl"])

    with pytest.raises(SystemExit):
        bench.main()
    assert "no such part: tsl; there are speed, tls" in capsys.readouterr().err


def test_rounds_are_measured_together_and_long_parts_alone():
    """A machine's moods meet all that is compared alike; a failure loses one part at the most."""
    together, *alone = bench._in_turn(PARTS)

    assert ["speed", "tls", "redirects", "workers"] == list(together)
    assert [[name] for name, part in PARTS.items() if part.is_once] == [list(one) for one in alone]
