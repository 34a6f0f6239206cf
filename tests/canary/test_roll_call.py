"""The roll call: which processes run on an outbox, and what each of them says of the stops."""

import time

import pytest

from storehop.canary.roll_call import ASK_PREFIX, OLD_S, Present, RollCall, answers, left_over, new_question
from storehop.decide.rules import EVERY_RULE, Match, RuleSet
from storehop.settings import Rule

RULES = RuleSet(rules=((Match(), Rule("games")), (Match(), Rule("apps"))))


class Hall:
    """Marks, and the processes that look at them when they are told to."""

    def __init__(self, **stopped):
        self.marks = {}
        self.processes = {name: RollCall(name, lambda own=own: own, lambda: RULES) for name, own in stopped.items()}

    def look(self):
        for one in self.processes.values():
            for name, text in one.marks().items():
                self.marks.pop(name, None) if text is None else self.marks.update({name: text})
            one.heard(dict(self.marks))

    def ask(self, question):
        self.marks[ASK_PREFIX + question] = question
        self.look()
        self.look()
        return answers(self.marks, question)


def test_each_process_answers():
    """With the stops that hold in it."""
    found = Hall(a=("games",), b=()).ask(new_question())

    assert [(one.process, one.stopped, one.unknown) for one in found] == [("a", ("games",), ()), ("b", (), ())]


def test_nobody_writes_where_nobody_asks():
    """A look costs no commit."""
    hall = Hall(a=("games",))
    hall.look()
    hall.look()

    assert hall.marks == {}


def test_a_question_is_answered_once():
    """However long its mark stays."""
    hall = Hall(a=())
    hall.ask(new_question())

    assert {} == hall.processes["a"].marks()


def test_two_questions_have_an_answer_each():
    """Two people may ask at a time."""
    hall = Hall(a=())
    hall.ask("1-x")
    one, two = new_question(), new_question()
    hall.ask(one)
    hall.ask(two)

    assert [1, 1] == [len(answers(hall.marks, asked)) for asked in (one, two)]


def test_an_answer_goes_with_its_question():
    """Also where it came too late for who asked."""
    hall = Hall(a=())
    asked = new_question()
    hall.ask(asked)
    del hall.marks[ASK_PREFIX + asked]
    hall.look()
    hall.look()

    assert hall.marks == {}


@pytest.mark.parametrize(
    "question", [f"{time.time() - OLD_S - 9:.0f}-x", "nonsense", ""], ids=["old", "nonsense", "none"]
)
def test_an_old_question_has_no_answer(question):
    """A killed command's: each process that starts would leave one."""
    hall = Hall(a=())

    assert ([], [ASK_PREFIX + question]) == (hall.ask(question), list(left_over(hall.marks, new_question())))


def test_a_rule_that_a_process_does_not_know_is_said():
    """With those that it knows."""
    (found,) = Hall(a=("gmaes", "apps", EVERY_RULE)).ask(new_question())

    assert (found.unknown, found.rules) == (("gmaes",), ("games", "apps"))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"process": "a"}', '{"process": "a", "stopped": 7}', "[" * 5000])
def test_an_answer_that_can_not_be_read_is_somebody(text):
    """Who knows of no stop."""
    assert [Present("a", (), (), ())] == answers({"here:1-x:a": text}, "1-x")


def test_other_marks_stay():
    """What is left over of a question is its own."""
    marks = {"stop:games": "", "ask:1-x": "", "here:1-x:a": "", f"ask:{new_question()}": "", "canary:a": ""}

    assert {"ask:1-x", "here:1-x:a"} == set(left_over(marks, "1-x"))
