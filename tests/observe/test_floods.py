"""What libraries say of connections, and tracebacks: one line a minute of a kind."""

import logging
import sys

import pytest

from storehop.observe.floods import MAX_CHARACTERS, MAX_KINDS, Floods


class Log:
    """What comes through, as text."""

    def __init__(self):
        self.now = 0.0
        self._floods = Floods(lambda: self.now)

    def says(self, msg, *args, name="mitmproxy.proxy.server", level=logging.WARNING, error=None):
        record = logging.LogRecord(name, level, "", 0, msg, args, error)
        kept = self._floods.filter(record)
        return (record if kept is True else kept).getMessage() if kept else None


@pytest.fixture
def log():
    return Log()


def raised():
    """What logging knows of an exception."""
    try:
        return int("one")
    except ValueError:
        return sys.exc_info()


def raised_elsewhere():
    try:
        return int("one")
    except ValueError:
        return sys.exc_info()


def test_a_library_s_warning_is_said_once_a_minute(log):
    """With how often it came meanwhile."""
    said = [log.says("TLS Error: x") for _ in range(3)]
    log.now = 60.0

    assert (["TLS Error: x", None, None], "TLS Error: x (3 times since the last such line)") == (
        said,
        log.says("TLS Error: x"),
    )


def test_kinds_are_told_apart_by_how_they_begin(log):
    """A stranger's words come later in a line."""
    assert "Client TLS handshake failed. a" == log.says("Client TLS handshake failed. %s", "a")
    assert log.says("Client TLS handshake failed. %s", "b") is None
    assert "Server TLS handshake failed. a" == log.says("Server TLS handshake failed. %s", "a")


def test_what_strangers_choose_makes_no_endless_kinds(log):
    """All beyond a number are one."""
    said = [log.says(f"{number} from a stranger") for number in range(MAX_KINDS + 10)]

    assert MAX_KINDS + 1 == len(said) - said.count(None)


@pytest.mark.parametrize(
    "line",
    [
        {"level": logging.INFO},
        {"name": "storehop.host.strangers"},
        {"name": "storehop.click", "level": logging.ERROR},
    ],
    ids=["no warning", "ours", "an error of ours"],
)
def test_other_lines_come_through(log, line):
    """As they are, each of them."""
    assert ["said 1", "said 1"] == [log.says("said %d", 1, **line) for _ in range(2)]


def test_a_traceback_is_said_once_a_minute(log):
    """Ours too; another one at another place is another kind."""
    errors = (raised(), raised(), raised_elsewhere(), raised_elsewhere())
    said = [log.says("failed", name="storehop.handler", error=error) for error in errors]

    assert ["failed", None, "failed", None] == said


def test_a_library_s_line_has_an_end(log):
    """However much of a connection it repeats."""
    assert MAX_CHARACTERS + 1 == len(log.says("x" * 10_000))
