"""`storehop check`: rule files that can be used, and every fault of those that can't (design §4, §5)."""

import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from storehop.cli.app import app
from storehop.deliver.operations import Probe
from storehop.deliver.sqlite.engine import SqliteEngine

GOOD = """\
version: 1
partner: NetworkA
onelinks:
  - {host: brand.onelink.me, template: AbC1, android: com.example.game, ios: id123456789}
rules:
  - {name: games, match: {app: "com.example.*"}, percent: 25}
  - {name: games-ios, match: {app: id123456789}, mode: observe, store: app_store}
"""
FAULTY = """\
version: 1
partner: NetworkA
rules:
  - name: games
    match: {app: "com.example.*"}
    mode: sideways
    percnt: 50
  - name: other
    match: {app: com.example.game}
    store: custom
"""


def storehop(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def check(path):
    return storehop("check", path)


def places(result):
    """`file:line:column` of each fault, once the command has failed as it should."""
    assert (1, "") == (result.exit_code, result.stdout)
    return [line.partition(": ")[0] for line in result.stderr.splitlines()]


@pytest.fixture
def write(tmp_path):
    def write(text, name="rules.yaml"):
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


def test_a_good_file_is_summed_up(write):
    """A usable file gives exit 0 and a summary that counts what it holds, with nothing on stderr."""
    file = write(GOOD)
    result = check(file)

    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith(f"{file}: 2 rules (1 observe), 1 exact app id, 1 OneLink ")


def test_the_summary_tells_every_rule(write):
    """The summary tells each rule's name, mode and store, and its share of clicks where that is not all of them."""
    _, *rules = check(write(GOOD)).stdout.splitlines()

    assert ["  games: direct to auto, 25 % of clicks", "  games-ios: observe to app_store"] == rules


def test_the_summary_tells_which_rules_are_watched(write):
    """By a canary, in the rule or in the file: nobody has to look for it."""
    _, *rules = check(write(GOOD.replace("rules:", "canary: auto\nrules:"))).stdout.splitlines()

    assert [
        "  games: direct to auto, 25 % of clicks, canary: auto",
        "  games-ios: observe to app_store, canary: auto",
    ] == rules


def test_the_shipped_rules_are_good(pytestconfig):
    """The rule file that comes with storehop can be used as it is."""
    result = check(pytestconfig.rootpath / "rules" / "storehop.yaml")

    assert (0, "") == (result.exit_code, result.stderr)


def test_a_warning_is_told_and_no_fault(write):
    """What can hardly be meant goes to stderr with its place; the file can be used: exit 0 and the summary."""
    file = write(GOOD + "client_ip: {trusted_proxies: [0.0.0.0/0]}\n")
    result = check(file)

    assert result.exit_code == 0
    assert result.stdout.startswith(f"{file}: 2 rules")
    assert result.stderr.startswith(f"{file}:8:31: warning: client_ip.trusted_proxies: everybody is trusted")


def test_every_fault_is_told_at_its_place(write):
    """A faulty file gives exit 1 and each of its faults on stderr, in the file's order, and no summary."""
    file = write(FAULTY)

    assert [f"{file}:6:11", f"{file}:7:5", f"{file}:10:12"] == places(check(file))


def test_a_fault_names_rule_key_and_what_was_expected(write):
    """A fault says which rule and key it is about, and what was expected there."""
    mode, percent, store = check(write(FAULTY)).stderr.splitlines()

    assert mode.endswith(": rule 'games': mode: expected 'direct', 'observe' or 'off'")
    assert percent.endswith(": rule 'games': percnt: unknown key: did you mean percent?")
    assert store.endswith(": rule 'other': store: store: custom needs a store_url")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("version: 1\nrules: [}\n", "2:9", id="no YAML"),
        pytest.param("", "1:1", id="empty"),
        pytest.param("- version: 1\n", "1:1", id="a list"),
    ],
)
def test_a_file_that_holds_no_rules_is_a_fault(write, text, place):
    """A file that is no YAML mapping is one fault at the place where that shows."""
    file = write(text)

    assert [f"{file}:{place}"] == places(check(file))


def test_a_file_that_is_no_text_is_a_fault(tmp_path):
    """A file that is no UTF-8 text is one fault of that file."""
    file = tmp_path / "rules.yaml"
    file.write_bytes(b"version: 1\npartner: \xff\n")

    assert [f"{file}:1:1"] == places(check(file))


def test_a_missing_file_is_a_fault(tmp_path):
    """A file that is not there is one fault of that file."""
    assert [f"{tmp_path / 'none.yaml'}:1:1"] == places(check(tmp_path / "none.yaml"))


def test_a_folder_is_read_in_the_order_of_names(tmp_path, write):
    """A folder gives one summary of all its rule files, with the rules in the order of the files' names."""
    for name in ("b", "a", "c"):
        write(
            f"version: 1\npartner: X\nrules: [{{name: {name}, match: {{app: com.example.{name}}}}}]\n", f"{name}.yaml"
        )
    write("no rules", "README.md")
    result = check(tmp_path)

    assert (0, "") == (result.exit_code, result.stderr)
    summary, *rules = result.stdout.splitlines()
    assert summary.startswith(f"{tmp_path}: 3 rules, 3 exact app ids, 0 OneLinks ")
    assert ["  a: direct to auto", "  b: direct to auto", "  c: direct to auto"] == rules


def test_a_folders_faults_are_told_together(tmp_path, write):
    """A folder with faulty files gives exit 1 and the faults of each of them, under its own name."""
    second = write(FAULTY, "2.yaml")
    third = write("version: 1\nnonsense: 1\n", "3.yaml")
    write(GOOD.replace("name: games,", "name: good,"), "1.yaml")

    assert [f"{second}:6:11", f"{second}:7:5", f"{second}:10:12", f"{third}:2:1"] == places(check(tmp_path))


def test_a_folder_without_rule_files_is_a_fault(tmp_path):
    """A folder without rule files is one fault of the folder."""
    assert [f"{tmp_path}:1:1"] == places(check(tmp_path))


@pytest.fixture
def outbox(tmp_path):
    file = tmp_path / "outbox.db"
    engine = SqliteEngine(file)
    engine.run([])
    engine.close()
    return file


def test_an_outbox_is_asked_alone(outbox):
    """What it is, and that it works."""
    result = storehop("check", "--outbox", outbox)

    assert (0, f"{outbox}: sqlite, stores clicks\n") == (result.exit_code, result.stdout)


def test_an_outbox_is_asked_after_the_rules(tmp_path, outbox):
    """Both are said."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(GOOD)
    first, *_, last = storehop("check", rules, "--outbox", outbox).stdout.splitlines()

    assert (True, True) == (first.startswith(f"{rules}: 2 rules"), last.startswith(f"{outbox}: sqlite"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "expected the PATH of rules, or --outbox"),
        (("--outbox", "/none/outbox.db"), 1, "there is no outbox at /none/outbox.db"),
        (("--outbox", "redis://me:s3cr3t@one:0"), 2, "'redis://***@one:0': expected hosts such as"),
        (("--outbox", "redis://one", "--rules", "/none"), 1, "/none:1:1: cannot be read"),
        (("--outbox", "redis://one", "--outbox-password-file", "/none"), 1, "/none: cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_said(words, code, said):
    """In one sentence, without credentials."""
    result = storehop("check", *words)

    assert (code, "") == (result.exit_code, result.stdout)
    assert said in result.stderr
    assert "s3cr3t" not in result.stderr


def test_an_outbox_s_refusal_is_said(outbox):
    """With exit 1."""
    outbox.write_bytes(b"no database" * 1000)
    result = storehop("check", "--outbox", outbox)

    assert (1, "", True) == (result.exit_code, result.stdout, result.stderr.startswith(f"storehop: {outbox}: "))
    assert b"no database" in outbox.read_bytes()


class Remarkable:
    """An engine that works, and says how well."""

    def __init__(self, _place, settings, _watcher):
        self.kind, self.where, self.settings = "redis", "redis://one:6379", settings
        self.remarks = ()

    def run(self, batch):
        assert [Probe()] == batch
        self.remarks = ("no replica",)

    def close(self):
        pass


@pytest.fixture
def remarkable(monkeypatch):
    monkeypatch.setitem(sys.modules, "storehop.deliver.redis.engine", SimpleNamespace(RedisEngine=Remarkable))


@pytest.mark.parametrize("option", ["", "--rules"])
def test_remarks_and_terms_of_a_shared_outbox_are_said(tmp_path, remarkable, option):
    """As the rules and the flags have them."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(GOOD + "delivery: {outbox_name: ads, outbox_replicas: 2, outbox_wait: 50ms}\n")
    words = filter(None, (option, str(rules)))
    result = storehop("check", *words, "--outbox", "redis://one", "--outbox-replicas", 1)

    assert (0, "storehop: redis://one:6379: no replica\n") == (result.exit_code, result.stderr)
    terms = "redis://one:6379: redis, stores clicks of the outbox ads; asks for 1 replica within 50 ms"
    assert terms == result.stdout.splitlines()[-1]
