"""The manual's tables of the log say what the code does."""

import json
import logging
import re
from itertools import chain

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
from storehop.observe.lines import JsonLines, without_none
from storehop.observe.log import ClickLog
from storehop.settings import Store

CALL = S2SCall("c1", "https://app.appsflyer.com", "/com.x.y", (), "games")
CLICK = Click("c1", "GET", "https://app.appsflyer.com/com.x.y", {"user-agent": "Pixel 5"}, "81.2.69.142")
FAILED = Failure(Fault.CONNECT, maybe_sent=False, cause="Connection refused")


def direct(repeats=""):
    likeness = Likeness(b"key", "")
    return Direct(
        "games",
        "com.x.y",
        Platform.ANDROID,
        Store.GOOGLE_PLAY,
        "N_1",
        "https://play",
        CALL,
        (),
        likeness,
        repeats=repeats,
    )


class Lines:
    """Fields and level of each event that was said."""

    def __init__(self):
        self.said = {}

    def write(self, level, event, fields):
        levels, names = self.said.setdefault(event, (set(), {}))
        levels.add(logging.getLevelName(level).lower())
        names |= without_none(fields)


@pytest.fixture(scope="module")
def manual(pytestconfig):
    return (pytestconfig.rootpath / "rules" / "monitoring" / "README.md").read_text().partition("\n## The log\n")[2]


def said(*, personal_data):
    """Every event, as fully as it can be."""
    lines = Lines()
    log = ClickLog(personal_data=personal_data, lines=lines)
    for decision in (direct(), direct("c0"), Pass(Reason.NO_RULE, "games", "com.x.y", Platform.ANDROID)):
        log.answered(CLICK, decision)
    for outcome, verdict in (
        (Reply(200), Delivered()),
        (FAILED, RetryIn(1.0)),
        (FAILED, Dead(DeadReason.REJECTED)),
    ):
        log.settled(Settled(CALL, outcome, verdict, 1, 0.034))
    return lines.said


@pytest.fixture(autouse=True)
def _all_levels(caplog):
    caplog.set_level(logging.INFO, "storehop.click")


def rows(text, title):
    """The cells of a table, by its heading."""
    table = text.partition(f"| {title} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_every_event_has_its_level_and_fields(manual):
    """No more, no less, in their order."""
    table = {
        code(event)[0]: (level, code(fields))
        for event, _, level, fields in rows(manual, "event | says | level | fields")
    }

    assert {event: (*level, list(fields)) for event, (level, fields) in said(personal_data=False).items()} == table


def test_every_field_is_explained(manual):
    """Those of personal data, too."""
    explained = list(chain(*(code(name) for name, _ in rows(manual.partition("As JSON")[0], "field | holds"))))
    fields = {name for _, names in said(personal_data=True).values() for name in names}

    assert (fields, len(fields)) == (set(explained), len(explained))


def test_every_field_of_a_json_line_is_explained(manual):
    """In the order in which it has them."""
    explained = [code(name)[0] for name, _ in rows(manual.partition("As JSON")[2], "field | holds")]
    record = logging.makeLogRecord({"exc_info": (ValueError, ValueError("x"), None)})
    plain = list(json.loads(JsonLines(2).format(record)))
    record.fields = {}
    of_click = [name for name in json.loads(JsonLines(2).format(record)) if name not in plain]

    assert explained == [*plain[:5], *of_click, *plain[5:]]


def test_reasons_and_outcomes_are_complete(manual):
    """Closed lists."""
    table = dict(rows(manual, "field | holds"))

    assert (list(DeadReason), list(Fault)) == (code(table["`reason`"]), code(table["`outcome`"]))


def test_the_other_lines_are_the_code_s(manual, pytestconfig):
    """What the manual quotes can be found in the source; an ellipsis stands for what differs."""
    source = "\n".join(path.read_text() for path in (pytestconfig.rootpath / "addon" / "storehop").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*"', "", source)
    source = re.sub(r"\{[^{}\n]*\}|%\w|%\.1f|%g", "…", source)
    source = re.sub("…+", "…", source)
    quoted = [code(line)[0] for line, _ in rows(manual, "line | means")]
    parts = [part.strip() for line in quoted for part in line.split("…") if not re.search(r"\d", part)]

    assert [] == [part for part in parts if part and part not in source]
