"""The command line as a whole: its commands, how it says no, and what it tells about itself (design §5)."""

import json
import re
from importlib.metadata import PackageNotFoundError

import pytest
from typer.testing import CliRunner

from storehop.cli.app import app
from storehop.cli.start import with_defaults
from storehop.decide.explanation import HELP
from storehop.model import Reason

LINK = "https://app.appsflyer.com/com.example.game"
RULES = "version: 1\npartner: NetworkA\nrules: [{name: games, match: {app: com.example.game}}]\n"
COMMANDS = ["run", "check", "explain", "demo", "outbox", "schema", "path"]


def storehop(*arguments):
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, [str(argument) for argument in arguments])


def plain(text):
    """Text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(option):
    """The help lists every command, each with a sentence."""
    result = storehop(option)

    assert 0 == result.exit_code
    listed = re.findall(r"^\W*([a-z]+) +[A-Z]\w* ", plain(result.stdout).partition("Commands")[2], re.MULTILINE)
    assert sorted(COMMANDS) == sorted(set(listed) & set(COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    """Each command tells its usage and exits with 0."""
    result = storehop(command, "--help")

    assert 0 == result.exit_code
    assert re.search(rf"Usage: \S+ {command} ", plain(result.stdout))


def test_no_command_shows_the_help():
    """Without a command the help is shown, and the exit code says that something was missing."""
    result = storehop()

    assert 2 == result.exit_code
    assert storehop("--help").stdout.strip() == result.output.strip()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["nonsense"], "nonsense", id="command"),
        pytest.param(["--nonsense"], "--nonsense", id="option"),
        pytest.param(["check", "--nonsense"], "--nonsense", id="a command's option"),
        pytest.param(["check"], "PATH", id="missing argument"),
        pytest.param(["explain", LINK], "--rules", id="missing option"),
        pytest.param(["run", "--rules", "rules.yaml"], "--upstream", id="missing upstream"),
        pytest.param(["check", "a.yaml", "b.yaml"], "b.yaml", id="too many arguments"),
    ],
)
def test_an_unknown_word_is_a_usage_error(arguments, named):
    """What the command line does not know, or misses, ends with exit 2 and its name on stderr."""
    result = storehop(*arguments)

    assert (2, "") == (result.exit_code, result.stdout)
    assert named in plain(result.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nonsense"], id="unknown command"),
        pytest.param(["check", "none.yaml"], id="check a missing file"),
        pytest.param(["check", "/dev/null"], id="check an empty file"),
        pytest.param(["check", "x" * 5000], id="check a name that is too long"),
        pytest.param(["explain", LINK, "--rules", "none.yaml"], id="explain with missing rules"),
        pytest.param(["explain", LINK, "--rules", ""], id="explain with no name of rules"),
        pytest.param(["explain", "\udcff", "--rules", "RULES"], id="explain a byte that is no text"),
        pytest.param(["explain", f"{LINK}?x=\udcff", "--rules", "RULES", "--json"], id="explain such a byte in a link"),
        pytest.param(["explain", LINK, "-H", "X: \udcff", "--rules", "RULES", "--json"], id="and in a header"),
        pytest.param(["explain", "https://[", "--rules", "RULES"], id="explain a broken host"),
        pytest.param(["run", "--upstream", "http://[", "--rules", "RULES"], id="run before a broken host"),
        pytest.param(["run", "--upstream", "http://a", "--rules", "none.yaml"], id="run with missing rules"),
        pytest.param(["path", "none"], id="path of an unknown name"),
        pytest.param(["path", "\0"], id="path of a name that can't be"),
    ],
)
def test_nobody_sees_a_traceback(rules, arguments):
    """Whatever was typed, a command ends by exiting, in words."""
    result = storehop(*(rules if word == "RULES" else word for word in arguments))

    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "" != result.output
    assert "Traceback" not in result.output


def test_schema_prints_the_shipped_schema(pytestconfig):
    """`schema` prints the JSON Schema that lies beside the rules, so that neither falls behind."""
    shipped = (pytestconfig.rootpath / "rules" / "storehop.schema.json").read_text()
    result = storehop("schema")

    assert (0, "") == (result.exit_code, result.stderr)
    assert json.loads(shipped) == json.loads(result.stdout)


def test_version_is_that_of_the_package(monkeypatch):
    """--version prints the name and the installed package's version, and nothing else happens."""
    monkeypatch.setattr("storehop.cli.app.version", lambda name: {"storehop": "4.5.6"}[name])
    result = storehop("--version", "nonsense")

    assert (0, "storehop 4.5.6\n", "") == (result.exit_code, result.stdout, result.stderr)


def test_version_of_a_bare_checkout_is_said_to_be_none(monkeypatch):
    """--version of a checkout that is not installed says so."""

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("storehop.cli.app.version", missing)
    result = storehop("--version")

    assert (0, "storehop (not installed)\n", "") == (result.exit_code, result.stdout, result.stderr)


OF_DELIVERY = {Reason.S2S_DOWN, Reason.OUTBOX_DOWN, Reason.ERROR}
"""Reasons that the host and the delivery give, after the decision."""


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in OF_DELIVERY], ids=str)
def test_every_reason_of_a_decision_is_put_in_words(reason):
    """Each reason that the decision can give has a sentence of several words for people."""
    assert len(HELP.get(reason, "").split()) > 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--web"], ["run", "--web=127.0.0.1:8081"]),
        (["run", "--web", "--rules", "x"], ["run", "--web=127.0.0.1:8081", "--rules", "x"]),
        (["run", "--web", "0.0.0.0:9"], ["run", "--web", "0.0.0.0:9"]),
        (["run", "--rules", "x"], ["run", "--rules", "x"]),
        ([], []),
    ],
)
def test_web_needs_no_address(arguments, expected):
    """`--web` alone means the default address; with one it means that."""
    assert expected == with_defaults(arguments)
