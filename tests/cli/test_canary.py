"""`storehop canary`: what people and scripts see of stops, make and take away."""

import json
import time

import pytest
from typer.testing import CliRunner

from storehop.canary.figures import Figures, Sums
from storehop.canary.roll_call import RollCall
from storehop.canary.stop import BY_HAND, Resumed, Stop
from storehop.canary.sums import Counted, to_text
from storehop.cli import canary as module
from storehop.cli import roll_call
from storehop.cli.app import app
from storehop.decide.rules import Match, RuleSet
from storehop.deliver.operations import Accept, Mark, Marks, Settle, Unmark
from storehop.deliver.outbox import Outbox
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.deliver.tickets import OutboxError
from storehop.model import Delivered, S2SCall
from storehop.settings import Rule

STOP = Stop("games", 1_780_000_000.0, "s2s_refused", "3 S2S calls in a row were refused")
RULES = "version: 1\npartner: NetworkA\nrules: [{name: games, match: {}}]\n"


@pytest.fixture(autouse=True)
def nobody_answers_soon(monkeypatch):
    """Nobody runs on these outboxes but the processes of a test."""
    monkeypatch.setattr(roll_call, "WAIT_S", 0.0)
    monkeypatch.setattr(roll_call, "PATIENCE_S", 0.0)


@pytest.fixture
def running(path, monkeypatch):
    """Starts processes on the outbox, each with these rules."""

    def start(*processes):
        def answer(_seconds):
            for one in people:
                for name, text in one.marks().items():
                    change(path, Unmark(name) if text is None else Mark(name, text))
                one.heard(marks(path))

        people = [
            RollCall(f"p{place}", lambda: Stop.of_marks(marks(path)), lambda own=own: rules_named(*own))
            for place, own in enumerate(processes)
        ]
        monkeypatch.setattr(roll_call, "PATIENCE_S", 60.0)
        monkeypatch.setattr(roll_call.time, "sleep", answer)

    return start


def rules_named(*names):
    return RuleSet(rules=tuple((Match(), Rule(name)) for name in names))


@pytest.fixture
def path(tmp_path):
    """An outbox without a mark."""
    change(tmp_path / "outbox.db")
    return tmp_path / "outbox.db"


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.fixture
def stopped(path):
    """An outbox where a rule is stopped."""
    change(path, Mark(STOP.mark, STOP.to_text()))
    return path


def change(path, *operations):
    engine = SqliteEngine(path, power_safe=False)
    results = engine.run(operations)
    engine.close()
    return results


def marks(path):
    return change(path, Marks())[0]


def store(path, *names):
    calls = (S2SCall(name, "https://af.test", f"/{name}", (("User-Agent", "ua"),), "games") for name in names)
    change(path, *(Accept(call, f"test:{call.id}", 60.0) for call in calls))


def run(command, path, *arguments, answer=None):
    where = [] if path is None else ["--outbox", path]
    return CliRunner().invoke(app, ["canary", command, *map(str, [*arguments, *where])], input=answer)


# status


def test_nothing_is_stopped(path):
    """A sentence, not an empty table."""
    assert run("status", path).stdout == "no rule is stopped\n"


def test_status_says_which_rule_since_when_and_why(stopped):
    """One line for each."""
    line = run("status", stopped).stdout

    assert line.startswith(
        "rule games is stopped: 3 S2S calls in a row were refused (s2s_refused, since 2026-05-28T20:26:40Z, "
    )


def test_status_says_who_was_let_go_on_lately(path):
    """With the reason, and how long the stop was."""
    now = time.time()
    resumed = Resumed("games", now - 120, "the page is back", now - 180)
    change(path, Mark(resumed.mark, resumed.to_text()))

    assert run("status", path).stdout.splitlines() == [
        "no rule is stopped",
        "rule games: let go on 2 min ago, after a stop of 1 min: the page is back",
    ]


def test_status_is_json_for_machines(stopped):
    """The keys are what scripts build on."""
    assert json.loads(run("status", stopped, "--json").stdout) == {
        "stopped": [
            {
                "rule": "games",
                "since": 1_780_000_000.0,
                "signal": "s2s_refused",
                "why": "3 S2S calls in a row were refused",
            }
        ],
        "resumed": [],
        "watched": [],
        "processes": [],
    }


def test_status_of_one_rule(stopped):
    """Of fifty watched rules nobody reads all."""
    games, apps = (Counted("5", 0.0, 0.0, Figures(time.time(), Sums(direct=7), Sums(direct=7))) for _ in range(2))
    change(stopped, Mark("canary:a", to_text(time.time(), {"games": games, "apps": apps})))
    other, own = run("status", stopped, "apps"), run("status", stopped, "games", "--json")

    assert other.stdout.splitlines()[:2] == [
        "rule apps is not stopped",
        "rule apps at 5 %: 7 direct, 0 control, 0 failed (1 process)",
    ]
    assert ["games", "games"] == [one["rule"] for key in ("stopped", "watched") for one in json.loads(own.stdout)[key]]


def test_status_of_one_rule_while_all_are_stopped(path):
    """It is one of them."""
    run("stop", path, "--yes")

    assert run("status", path, "apps").stdout.startswith("all rules are stopped")


def test_status_of_a_rule_that_nobody_watches(path):
    """A rule without `canary: auto`, or a misspelled one, is not one that does well."""
    assert run("status", path, "apps").stdout.splitlines() == [
        "rule apps is not stopped",
        "no figures of rule apps: of late no process has counted clicks of it under canary: auto and mode: direct",
    ]


def test_an_outbox_that_is_not_there_is_named(tmp_path):
    """A stop in a new file would stop nothing."""
    result = run("stop", tmp_path / "other.db", "games")

    assert (result.exit_code, "there is no outbox at" in result.stderr) == (1, True)


# stop


def test_a_stop_is_a_mark(path):
    """Of a person, with the reason, from now on."""
    run("stop", path, "games", "--because", "the store page\nis broken")
    stop = Stop.of_marks(marks(path))["games"]

    assert (stop.signal, stop.why) == (BY_HAND, "the store page is broken")
    assert stop.since == pytest.approx(time.time(), abs=60)


def test_a_stop_says_what_happens(path):
    """What is stored is delivered still, and how to go on."""
    store(path, "c1", "c2")

    assert run("stop", path, "games").stdout.splitlines() == [
        "stopped: within 2 seconds all clicks of rule games pass, in every process on this outbox, over restarts, too",
        "2 stored clicks are still delivered; the same click again within 10 s gets its earlier answer",
        "to go on: storehop canary resume games --because 'what was mended'",
    ]


def test_a_rule_is_taken_as_it_is_written(path):
    """Where no rule file can say whether there is one; that is said."""
    result = run("stop", path, "games")

    assert "rule games is taken as it is written" in result.stderr


def test_a_rule_of_the_file_is_stopped(path, rules):
    """Without a word on its name."""
    result = run("stop", path, "games", "--rules", rules)

    assert "taken as it is written" not in result.stderr
    assert set(marks(path)) == {"stop:games"}


def test_a_rule_that_nobody_knows_is_refused(path, rules):
    """With the one that was meant; nothing is stopped."""
    result = run("stop", path, "gmes", "--rules", rules)

    assert (2, {}) == (result.exit_code, marks(path))
    assert "has no rule gmes: did you mean games?" in result.stderr


def test_faulty_rule_files_keep_nobody_from_a_stop(path, rules):
    """An edit that went wrong may be why somebody stops it."""
    rules.write_text("rules: nonsense")
    result = run("stop", path, "games", "--rules", rules)

    assert (0, {"stop:games"}) == (result.exit_code, set(marks(path)))
    assert "can't be used now" in result.stderr


def test_all_rules_are_stopped_after_a_question(path):
    """Without a RULE."""
    result = run("stop", path, answer="y\n")

    assert (0, {"stop:*"}) == (result.exit_code, set(marks(path)))
    assert "resume --all" in result.stdout


def test_all_rules_are_not_stopped_where_the_answer_is_no(path):
    """Nothing happens."""
    result = run("stop", path, answer="n\n")

    assert (1, {}) == (result.exit_code, marks(path))


def test_a_question_that_nobody_can_answer_says_what_to_type(path):
    """In a script, or in a container without a terminal."""
    result = run("stop", path, answer="")

    assert (1, {}) == (result.exit_code, marks(path))
    assert "nobody has answered, so nothing was done: --yes does it without a question" in result.stderr


def test_all_rules_are_stopped_without_a_question(path):
    """With --yes."""
    run("stop", path, "--yes")

    assert set(marks(path)) == {"stop:*"}


def test_a_rule_that_is_stopped_already_stays_so(stopped):
    """Its first cause is what people look for."""
    result = run("stop", stopped, "games", "--because", "me too")

    assert "since 2026-05-28T20:26:40Z already" in result.stdout
    assert Stop.of_marks(marks(stopped)) == {"games": STOP}


def test_wait_returns_when_nothing_is_pending(path, monkeypatch):
    """What is still delivered meanwhile is counted down."""
    store(path, "c1", "c2")
    waiting = iter(["c1", "c2"])

    def deliver(_seconds):
        if name := next(waiting, None):
            change(path, Settle(name, f"test:{name}", Delivered(), "200"))

    monkeypatch.setattr(module, "KNOWN_S", 0.0)
    monkeypatch.setattr(module.time, "sleep", deliver)
    result = run("stop", path, "games", "--wait")

    assert ["2 pending", "1 pending"] == [line for line in result.stderr.splitlines() if "pending" in line][:2]
    assert result.stdout.splitlines()[-1] == "nothing is pending"


def test_wait_asks_whether_anybody_delivers(path, monkeypatch):
    """Where nothing changes for long."""
    store(path, "c1")
    monkeypatch.setattr(module, "KNOWN_S", 0.0)
    monkeypatch.setattr(module, "STUCK_S", 0.0)
    looks = iter(range(3))

    def settle_late(_seconds):
        if next(looks) == 2:
            change(path, Settle("c1", "test:c1", Delivered(), "200"))

    monkeypatch.setattr(module.time, "sleep", settle_late)
    result = run("stop", path, "games", "--wait")

    assert 1 == result.stderr.count("does one run?")


# who runs on the outbox


def test_a_stop_says_who_lets_the_clicks_pass(path, running):
    """When they have heard of it."""
    running(["games"], ["games", "apps"])
    result = run("stop", path, "games", "--rules", "none.yaml")

    assert "2 processes on this outbox let all clicks of rule games pass now" == result.stdout.splitlines()[-1]
    assert set(marks(path)) == {"stop:games"}


def test_a_stop_on_an_outbox_of_nobody_s_is_doubted(path):
    """It is a stop all the same: for who starts on it."""
    result = run("stop", path, "games")

    assert (0, {"stop:games"}) == (result.exit_code, set(marks(path)))
    assert f"no storehop that runs on this outbox has answered: {path}" in result.stderr


def test_a_stop_of_a_rule_that_no_process_has_is_doubted(path, running):
    """The rule that was meant is named, and how to take it back."""
    running(["games"], ["games", "apps"])
    result = run("stop", path, "gmaes")

    assert "no process on this outbox has a rule gmaes (did you mean games?)" in result.stderr
    assert "storehop canary resume gmaes" in result.stderr
    assert "pass now" not in result.stdout


def test_a_rule_of_some_processes_is_stopped_in_them(path, running):
    """Hosts that share an outbox may have rule files of their own."""
    running(["games"], ["apps"])
    result = run("stop", path, "games")

    assert "1 process on this outbox lets all clicks of rule games pass now" == result.stdout.splitlines()[-1]
    assert "1 of 2 processes on this outbox has no rule games" in result.stderr


def test_status_says_how_many_run(stopped, running):
    """Last, behind the rules."""
    running(["games"])

    assert "1 process on this outbox" == run("status", stopped).stdout.splitlines()[-1]


def test_status_doubts_a_stop_that_stops_nothing(stopped, running):
    """As the stop's own command does."""
    running(["apps"])

    assert "no process on this outbox has a rule games" in run("status", stopped).stderr


def test_status_says_in_json_who_runs(stopped, running):
    """What each has stopped, and what it does not know."""
    running(["apps"])

    assert [{"process": "p0", "stopped": ["games"], "unknown": ["games"]}] == json.loads(
        run("status", stopped, "--json").stdout
    )["processes"]


def test_status_can_be_read_where_nothing_can_be_written(stopped, monkeypatch):
    """Only the question is left out."""

    def full(*_):
        raise OutboxError("database or disk is full")

    monkeypatch.setattr(module, "call_roll", full)
    result = run("status", stopped)

    assert (0, True) == (result.exit_code, result.stdout.startswith("rule games is stopped"))
    assert "can't be asked who runs on it: database or disk is full" in result.stderr


def test_a_question_that_failed_goes_away(path, monkeypatch):
    """Where too few replicas acknowledge a mark, it may be there all the same."""
    ask = Outbox.mark

    async def unsure(*question):
        await ask(*question)
        raise OutboxError("too few replicas")

    monkeypatch.setattr(Outbox, "mark", unsure)
    run("status", path)

    assert marks(path) == {}


def test_a_stop_that_can_not_be_written_says_so(path, monkeypatch):
    """With the way back that needs no outbox."""

    async def full(*_):
        raise OutboxError("database or disk is full")

    monkeypatch.setattr(Outbox, "mark", full)
    result = run("stop", path, "games")

    assert (1, "") == (result.exit_code, result.stdout)
    assert "rule games is NOT stopped" in result.stderr
    assert "mode: observe" in result.stderr


# resume


def test_a_rule_goes_on(stopped):
    """Its mark is gone, and who reads the marks knows why."""
    result = run("resume", stopped, "games", "--because", "mended")
    (resumed,) = Resumed.of_marks(marks(stopped)).values()

    assert (0, {"resumed:games"}) == (result.exit_code, set(marks(stopped)))
    assert (resumed.because, resumed.stopped_since) == ("mended", STOP.since)


def test_all_rules_go_on(stopped):
    """The stop of all rules, too."""
    run("stop", stopped, "--yes")
    run("resume", stopped, "--all", "--because", "mended")

    assert {} == Stop.of_marks(marks(stopped))


@pytest.mark.parametrize(
    "words", [("games",), ("games", "--because", " "), ("--because", "x"), ("games", "--all", "--because", "x")]
)
def test_a_person_says_which_rule_and_why(stopped, words):
    """Else nothing goes on."""
    result = run("resume", stopped, *words)

    assert (2, {"games": STOP}) == (result.exit_code, Stop.of_marks(marks(stopped)))


def test_a_rule_that_was_not_stopped_is_said(stopped):
    """With those that are."""
    result = run("resume", stopped, "apps", "--because", "x")

    assert (1, "rule apps is not stopped\n  rule games is stopped: 3 S2S") == (
        result.exit_code,
        result.stderr.removeprefix("storehop: ")[:55],
    )


def test_one_rule_can_not_go_on_while_all_are_stopped(path):
    """That stop has a way of its own."""
    run("stop", path, "--yes")
    result = run("resume", path, "games", "--because", "x")

    assert (1, True) == (result.exit_code, "all rules are stopped by one stop: resume --all ends it" in result.stderr)


def test_a_rule_does_not_go_on_while_all_are_stopped(stopped):
    """Its own stop ends, and nobody is told that its clicks go direct."""
    run("stop", stopped, "--yes")
    result = run("resume", stopped, "games", "--because", "x")

    assert "rule games: its own stop is over, but all rules are stopped: resume --all ends that\n" == result.stdout


def test_all_rules_go_on_in_good_english(path):
    """They, not it."""
    run("stop", path, "--yes")

    assert run("resume", path, "--all", "--because", "x").stdout.startswith("all rules: go on within 2 seconds")


def test_all_of_nothing_can_not_go_on(path):
    """Exit 1, and a sentence."""
    result = run("resume", path, "--all", "--because", "x")

    assert (1, "storehop: no rule is stopped\n") == (result.exit_code, result.stderr)


def test_old_resumptions_are_taken_away(stopped):
    """Marks have no end of their own."""
    old = Resumed("apps", STOP.since, "long ago", STOP.since - 60)
    change(stopped, Mark(old.mark, old.to_text()))
    run("resume", stopped, "games", "--because", "mended")

    assert {"resumed:games"} == set(marks(stopped))


# plan


def test_a_plan_is_a_table():
    """With a row for each step."""
    lines = run("plan", None, "games", "--rate", "2000").stdout

    assert all(
        text in lines for text in ("│ 1 % ", "30 min", "3,000", "< 0.1 %", "first hour after observing: 1 %, 5 %")
    )


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
def test_no_figure_of_a_plan_is_cut(columns, monkeypatch):
    """However narrow the terminal is: half a number is a wrong one."""
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = run("plan", None, "games", "--rate", "2000").stdout

    assert ("…" in shown, all(figure in shown for figure in ("720,000", "30 min", "0.00042 %"))) == (False, True)


@pytest.mark.parametrize("text", ["{", "", "\ufffd\x00", "[" * 100_000])
def test_a_report_that_is_no_json_is_no_report(tmp_path, text):
    """In words that say what was expected."""
    report = tmp_path / "report.json"
    report.write_text(text)
    result = run("plan", None, "games", "--audit", report)

    assert (2, True) == (result.exit_code, "it is no report of storehop audit --json" in result.stderr)


def test_a_plan_is_json_for_machines():
    """The keys are what scripts build on."""
    made = json.loads(run("plan", None, "games", "--rate", "40", "--json").stdout)

    assert made.keys() == {
        "rule",
        "clicks_per_minute",
        "observe_minutes",
        "steps",
        "in_an_hour",
        "advice",
        "installs",
    }
    assert {"percent": 10.0, "minutes": 75.0, "clicks": 300, "at_risk": 4.0, "bad_below": 0.01} == made["steps"][0]


def test_a_plan_takes_an_audit(tmp_path):
    """Its report says how many clicks of the rule go direct, and in which time."""
    report = tmp_path / "report.json"
    inputs = [{"name": "log", "from": "2026-05-28T20:00:00Z", "to": "2026-05-28T21:00:00Z"}]
    report.write_text(json.dumps({"rules": {"games": {"clicks": 3000, "direct": 2400}}, "inputs": inputs}))

    assert 40 == json.loads(run("plan", None, "games", "--audit", report, "--json").stdout)["clicks_per_minute"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "it is no report of storehop audit"),
        ("{", "Expecting"),
        ('{"rules": {"apps": {}}}', "it has no rule games: it has apps"),
        (None, "No such file"),
    ],
)
def test_what_is_no_audit_is_refused(tmp_path, text, said):
    """In one sentence."""
    file = tmp_path / "report.json"
    if text is not None:
        file.write_text(text)
    result = run("plan", None, "games", "--audit", file)

    assert (2, True) == (result.exit_code, said in result.stderr)


@pytest.mark.parametrize("words", [(), ("--rate", "0"), ("--rate", "-1"), ("--rate", "nan"), ("--rate", "inf")])
def test_a_plan_needs_a_rate(words):
    """Of clicks that there are."""
    assert 2 == run("plan", None, "games", *words).exit_code


def test_a_plan_s_rule_is_checked(rules):
    """Where the rule file is known."""
    result = run("plan", None, "gams", "--rate", "40", "--rules", rules)

    assert (2, True) == (result.exit_code, "did you mean games?" in result.stderr)
