"""`storehop run` says what is wrong with an option before anything is started (design §5)."""

import re

import pytest
from typer.testing import CliRunner

from storehop.cli.app import app
from storehop.deliver.engines import SharedOutbox
from storehop.options import LogFormat, LogLevel, RunOptions, rows

RULES = "version: 1\npartner: NetworkA\nrules: [{name: games, match: {app: com.example.game}}]\n"
MITMPROXY_WARNS = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # it is imported here, and its libraries warn
UPSTREAM = ("--upstream", "http://legacy:8000")


def storehop(*arguments, **environment):
    runner = CliRunner(env={"COLUMNS": "200", **environment})
    return runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.fixture
def served(monkeypatch, tmp_path):
    """The options with which the host is started; it serves nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    options = []
    monkeypatch.setattr("storehop.host.runner.serve", options.append)
    return options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        pytest.param("--upstream", "legacy:8000", id="upstream without scheme"),
        pytest.param("--upstream", "ftp://legacy", id="upstream of another scheme"),
        pytest.param("--upstream", "http://legacy/path", id="upstream with a path"),
        pytest.param("--upstream", "http://legacy:65536", id="upstream's port too high"),
        pytest.param("--listen", "8080", id="listen without host"),
        pytest.param("--listen", "127.0.0.1:65536", id="listen's port too high"),
        pytest.param("--listen", "::1:8080", id="IPv6 without brackets"),
    ],
)
def test_the_sidecar_refuses_what_is_no_address(rules, option, value):
    """An upstream or a listen address that is none ends with exit 2 and one sentence that names it."""
    options = {"--upstream": "http://legacy:8000", "--listen": "127.0.0.1:0", "--rules": rules} | {option: value}
    result = storehop("run", *(word for pair in options.items() for word in pair))

    assert (2, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(rf"storehop: {option} '{re.escape(value)}': expected [^\n]+\n", result.stderr)


@pytest.mark.parametrize("option", ["--tls-cert", "--upstream-ca"])
@pytest.mark.parametrize("content", [None, "", "no PEM"], ids=["missing", "empty", "text"])
def test_the_sidecar_refuses_what_is_no_certificate(tmp_path, rules, option, content):
    """A certificate file that can't be used ends with exit 1 and one sentence that names it."""
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_text(content)
    result = storehop("run", "--upstream", "http://legacy:8000", "--rules", rules, option, file)

    assert (1, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(rf"storehop: {option} {re.escape(str(file))}: expected PEM[^\n]+\n", result.stderr)


def test_the_sidecar_refuses_faulty_rules(rules):
    """The sidecar does not start with faulty rules: exit 1 and every fault at its place."""
    rules.write_text(f"{RULES}nonsense: 1\nhosts: 7\n")
    result = storehop("run", "--upstream", "http://legacy:8000", "--rules", rules)

    assert (1, "") == (result.exit_code, result.stdout)
    assert [f"{rules}:4:1", f"{rules}:5:8"] == [line.partition(": ")[0] for line in result.stderr.splitlines()]


@MITMPROXY_WARNS
def test_the_sidecar_refuses_a_state_folder_that_cannot_be(served, rules):
    """A state folder that can't be made ends with exit 1 and one sentence that names it, and nothing is served."""
    folder = rules / "state"
    result = storehop("run", "--upstream", "http://legacy:8000", "--rules", rules, "--state", folder)

    assert (1, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(rf"storehop: --state {re.escape(str(folder))}: [^\n]+\n", result.stderr)
    assert [] == served


@pytest.mark.parametrize(
    ("option", "value"),
    [
        pytest.param("--admin", "9321", id="admin without host"),
        pytest.param("--admin", "on", id="admin that is not off"),
        pytest.param("--web", "8081", id="web without host"),
        pytest.param("--outbox", "postgres://localhost/0", id="outbox of an unknown scheme"),
        pytest.param("--outbox", "sqlite://host/clicks.db", id="outbox with a host"),
        pytest.param("--outbox", "sqlite:///", id="outbox without a path"),
        pytest.param("--outbox", "", id="outbox without a name"),
    ],
)
def test_a_bad_value_is_named(rules, option, value):
    """A value that the option does not take ends with exit 2 and one sentence that names both."""
    result = storehop("run", *UPSTREAM, "--rules", rules, option, value)

    assert (2, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(rf"storehop: {option} '{re.escape(value)}': expected [^\n]+\n", result.stderr)


def test_a_bad_value_of_the_environment_is_named_by_its_variable(rules):
    """Who set a variable is not sent to a flag."""
    result = storehop("run", *UPSTREAM, "--rules", rules, STOREHOP_LISTEN="8080")

    assert (2, True) == (result.exit_code, result.stderr.startswith("storehop: STOREHOP_LISTEN '8080': expected HOST"))


@pytest.mark.parametrize(
    "words",
    [
        ["--workers", "0"],
        ["--workers", "65"],
        ["--drain", "-1"],
        ["--drain", "soon"],
        ["--log-format", "xml"],
        ["--log-level", "loud"],
    ],
    ids=" ".join,
)
def test_a_value_out_of_range_is_a_usage_error(rules, words):
    """Numbers and choices have bounds: exit 2, and stderr names the option."""
    result = storehop("run", *UPSTREAM, "--rules", rules, *words)

    assert (2, "", True) == (result.exit_code, result.stdout, words[0] in result.stderr)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--web", "127.0.0.1:0"], "--web shows the clicks of one process: expected --workers 1 with it"),
        (["--listen", "127.0.0.1:0"], "--workers share a port: expected --listen HOST:PORT with a port above 0"),
    ],
    ids=["page", "any port"],
)
def test_what_workers_cannot_share_is_refused(rules, words, message):
    """Options that contradict `--workers 2` end with exit 2 and a sentence."""
    result = storehop("run", *UPSTREAM, "--rules", rules, "--workers", 2, *words)

    assert (2, f"storehop: {message}\n") == (result.exit_code, result.stderr)


@MITMPROXY_WARNS
def test_without_options_the_defaults_count(rules, served, tmp_path):
    """Only the upstream and the rules must be set."""
    result = storehop("run", *UPSTREAM, "--rules", rules)

    assert 0 == result.exit_code, result.stderr
    state = tmp_path / "home" / "storehop"
    assert [RunOptions(upstream="http://legacy:8000", rules=rules, state=state)] == served


VARIABLES = {
    "STOREHOP_UPSTREAM": "https://legacy",
    "STOREHOP_ADMIN": "off",
    "STOREHOP_WEB": "[::1]:7",
    "STOREHOP_DRAIN": "2.5",
    "STOREHOP_LOG_FORMAT": "json",
    "STOREHOP_LOG_LEVEL": "warning",
    "STOREHOP_LOG_PERSONAL_DATA": "1",
}


@MITMPROXY_WARNS
def test_the_environment_sets_options(rules, served):
    """Each option can be set by its variable, without a flag."""
    result = storehop("run", **VARIABLES, STOREHOP_RULES=str(rules))

    assert 0 == result.exit_code, result.stderr
    (options,) = served
    names = [name.removeprefix("STOREHOP_").lower() for name in VARIABLES]
    values = ["https://legacy:443", None, ("::1", 7), 2.5, LogFormat.JSON, LogLevel.WARNING, True]
    assert values == [getattr(options, name) for name in names]


@MITMPROXY_WARNS
def test_a_flag_is_stronger_than_the_environment(rules, served):
    """What was typed for this run counts."""
    storehop("run", *UPSTREAM, "--rules", rules, "--listen", "127.0.0.1:5", STOREHOP_LISTEN="127.0.0.1:6")

    assert [5] == [options.listen.port for options in served]


@pytest.mark.parametrize("row", [row for row in rows(RunOptions) if row.option.is_for_users], ids=lambda row: row.name)
def test_the_help_names_flag_and_variable(row):
    """Every option that is for users is in the help, with its environment variable."""
    words = storehop("run", "--help").stdout.split()

    assert (True, True) == (row.flag in words, f"{row.variable}]" in words)


def test_the_help_hides_what_is_not_for_users():
    """The supervisor's own options are in no help."""
    text = storehop("run", "--help").stdout

    assert (False, False) == ("worker-socket" in text, "worker-place" in text)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--dry-run", "--listen", "0.0.0.0:8080"], "expected a loopback address such as 127.0.0.1:8080"),
        (["--dry-run", "--listen", "[::]:8080"], "or --dry-run-public with it"),
        (["--dry-run", "--workers", "2"], "expected --workers 1 with it"),
        (["--dry-run-public"], "expected --dry-run with it"),
    ],
)
def test_a_dry_run_is_refused_where_it_could_do_harm(rules, served, options, expected):
    """Exit 2 and one sentence, and nothing is served."""
    result = storehop("run", *UPSTREAM, "--rules", rules, *options)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert expected in result.stderr
    assert [] == served


@MITMPROXY_WARNS
@pytest.mark.parametrize("options", [["--listen", "[::1]:0"], ["--listen", "0.0.0.0:0", "--dry-run-public"]])
def test_a_dry_run_has_an_outbox_of_its_own(rules, monkeypatch, options):
    """Whatever outbox and state are named, and it hands the host a stand-in on loopback."""
    served = []
    monkeypatch.setattr("storehop.host.runner.serve", lambda own, standin: served.append((own, standin)))
    real = ["--outbox", "/real/outbox.db", "--state", "/real/state"]
    result = storehop("run", *UPSTREAM, "--rules", rules, "--dry-run", *options, *real)
    ((own, standin),) = served

    assert 0 == result.exit_code, result.stderr
    assert (False, True) == ("/real" in f"{own.outbox} {own.state}", standin.startswith("http://127.0.0.1:"))
    assert not own.state.exists()


def test_the_proxy_protocol_needs_somebody_to_trust(tmp_path, rules, served):
    """Else every connection would be closed: exit 1, and the key of the rules is named."""
    result = storehop("run", *UPSTREAM, "--rules", rules, "--proxy-protocol", "--state", tmp_path)

    assert (1, "", []) == (result.exit_code, result.stdout, served)
    assert re.fullmatch(r"storehop: --proxy-protocol [^\n]*client_ip\.trusted_proxies[^\n]+\n", result.stderr)


def test_h2c_and_tls_exclude_each_other(rules):
    """One is HTTP/2 without the other."""
    result = storehop("run", *UPSTREAM, "--rules", rules, "--h2c", "--tls-cert", "a.pem")

    assert (2, "") == (result.exit_code, result.stdout)
    assert re.fullmatch(r"storehop: --h2c [^\n]+\n", result.stderr)


@pytest.mark.parametrize("text", ["", "a.pem,", ",a.pem"])
def test_a_list_of_certificates_has_no_gaps(rules, text):
    """A forgotten name is no file."""
    result = storehop("run", *UPSTREAM, "--rules", rules, "--tls-cert", text)

    assert (2, f"storehop: --tls-cert '{text}': expected FILE or FILE,FILE,…\n") == (result.exit_code, result.stderr)


def test_every_wrong_certificate_is_named(tmp_path, rules):
    """A line each."""
    files = [tmp_path / "a.pem", tmp_path / "b.pem"]
    result = storehop("run", *UPSTREAM, "--rules", rules, "--tls-cert", ",".join(map(str, files)))
    lines = result.stderr.splitlines()

    assert (1, 2) == (result.exit_code, len(lines))
    assert all(f"--tls-cert {file}: " in line for file, line in zip(files, lines, strict=True))


# options in a file


@pytest.fixture
def option_file(tmp_path):
    """A file of options with these lines."""

    def write(*lines):
        file = tmp_path / "options.env"
        file.write_text("\n".join(lines))
        return file

    return write


def test_options_may_stand_in_a_file(rules, served, option_file, tmp_path):
    """Lines, comments and quotes, as systemd and Docker read them."""
    file = option_file("# ours", "", "STOREHOP_UPSTREAM=http://legacy:8000", f'STOREHOP_RULES="{rules}"')
    result = storehop("run", "--options", file, STOREHOP_STATE=str(tmp_path))

    assert (0, "http://legacy:8000", rules) == (result.exit_code, served[0].upstream, served[0].rules)


def test_flags_and_environment_are_stronger_than_the_file(rules, served, option_file):
    """In this order."""
    file = option_file("STOREHOP_UPSTREAM=http://file:1", "STOREHOP_DRAIN=1", "STOREHOP_WORKERS=1")
    storehop("run", "--options", file, "--upstream", "http://flag:1", "--rules", rules, STOREHOP_DRAIN="2")

    assert ("http://flag:1", 2.0) == (served[0].upstream, served[0].drain)


def test_every_fault_of_the_file_is_said(rules, option_file):
    """With its line."""
    file = option_file("STOREHOP_UPSTREAM=http://legacy:1", "UPSTREAM=http://legacy:1", "nonsense")
    result = storehop("run", "--options", file, "--rules", rules)

    assert (1, [f"storehop: {file}:2", f"{file}:3"]) == (
        result.exit_code,
        [line.partition(": expected")[0] for line in result.stderr.splitlines()],
    )


def test_a_file_of_options_that_is_not_there_is_said(rules, tmp_path):
    """In one sentence."""
    result = storehop("run", "--options", tmp_path / "none", "--rules", rules)

    assert (1, f"storehop: --options {tmp_path / 'none'}: cannot be read: No such file or directory\n") == (
        result.exit_code,
        result.stderr,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--listen", "127.0.0.1:80", "--admin", "127.0.0.1:80"),
            "--admin and --listen are both 127.0.0.1:80: expected",
        ),
        (("--listen", "127.0.0.1:80", "--upstream", "http://127.0.0.1:80"), "is where it listens itself: expected"),
        (("--admin", "127.0.0.1"), "--admin '127.0.0.1': expected HOST:PORT, or off\n"),
    ],
    ids=["one address twice", "a loop", "no port"],
)
def test_addresses_that_cannot_be_meant_are_refused(rules, words, said):
    """Before anything is started."""
    result = storehop("run", *UPSTREAM, "--rules", rules, *words)

    assert (2, True) == (result.exit_code, said in result.stderr)


def test_a_misspelled_variable_is_said(rules, served, tmp_path):
    """It would be ignored, and a container has nothing else. What Kubernetes sets is no mistake."""
    misspelled = {"STOREHOP_HEAD_TIMOUT": "4", "STOREHOP_SERVICE_HOST": "10.0.0.1", "STOREHOP_PORT_80_TCP": "tcp://x"}
    result = storehop("run", *UPSTREAM, "--rules", rules, STOREHOP_STATE=str(tmp_path), **misspelled)

    expected = "storehop: the variable STOREHOP_HEAD_TIMOUT is of no option, did you mean STOREHOP_HEAD_TIMEOUT?\n"
    assert (0, expected) == (result.exit_code, result.stderr)


def test_the_variables_of_an_outbox_s_secrets_are_known(rules, served, tmp_path):
    """They are of no option: a flag would show them to everybody on the machine."""
    names = ("USERNAME", "PASSWORD", "SENTINEL_USERNAME", "SENTINEL_PASSWORD", "SENTINEL_PASSWORD_FILE")
    secrets = {f"STOREHOP_OUTBOX_{name}": "x" for name in names}
    result = storehop("run", *UPSTREAM, "--rules", rules, STOREHOP_STATE=str(tmp_path), **secrets)

    assert (0, "") == (result.exit_code, result.stderr)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--outbox", "redis://me:s3cr3t@one,two"), 2, "--outbox 'redis://***@one,two': expected one host"),
        (("--outbox", "reddis://:s3cr3t@one"), 2, "--outbox 'reddis://***@one': expected a path"),
        (("--outbox", "redis://one", "--outbox-password-file", "/none"), 1, "/none: cannot be read: No such file"),
        (("--outbox-wait", "1s"), 2, "--outbox-wait '1s': expected a duration from 1ms to 250ms"),
        (("--outbox-name", "a b"), 2, "--outbox-name 'a b': expected only A-Z a-z 0-9 _ . -"),
    ],
)
def test_a_shared_outbox_that_cannot_be_meant_is_refused(rules, served, words, code, said):
    """Before anything is started, and without its credentials."""
    result = storehop("run", *UPSTREAM, "--rules", rules, *words)

    assert ([], code, True) == (served, result.exit_code, said in result.stderr)
    assert "s3cr3t" not in result.output


def test_flags_say_how_a_shared_outbox_is_kept(rules, served, tmp_path):
    """In place of the rules."""
    flags = {"--outbox-name": "ads", "--outbox-replicas": 0, "--outbox-wait": "50ms", "--outbox-password-file": rules}
    words = (word for pair in flags.items() for word in pair)
    storehop("run", *UPSTREAM, "--rules", rules, "--state", tmp_path, *words)

    assert [SharedOutbox("ads", 0, 0.05, rules)] == [SharedOutbox.of(options) for options in served]
