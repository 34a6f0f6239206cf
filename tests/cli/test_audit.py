"""`storehop audit`: what it reads, writes, says and exits with. The figures have tests of their own in tests/audit."""

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from storehop.audit import tally, walk
from storehop.audit.exchange import Exchange
from storehop.audit.gates import NAMES
from storehop.cli import audit as auditing
from storehop.cli.app import app
from tests.support.patience import START_S, wait_until
from tests.support.recorded_clicks import RULES, as_bytes, clicks, write_flows, write_har, write_json_lines


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where rules and recordings lie, as the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES)
    write_json_lines(tmp_path / "a.log", clicks(200))
    return tmp_path


@pytest.fixture
def audit(folder):
    """Runs `storehop audit` there; whatever it says, it shows no traceback."""

    def run(*args, stdin=None, code=0, rules="rules.yaml"):
        result = CliRunner().invoke(app, ["audit", *map(str, args), "--rules", rules], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        assert code == result.exit_code, result.output
        return result

    return run


def test_a_summary_is_one_screen_of_plain_words(audit):
    """At most 60 lines of 80 columns, with the figures, the reasons in words, and that nothing was sent."""
    said = audit("a.log", "--gate", "direct>=0.5", *["--gate", "drift==0"] * 6, code=1).stdout
    lines = said.splitlines()

    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    assert "185 of 200 clicks go direct" in said
    assert "no_rule: no rule matches" in said
    assert "These recordings cannot tell" in said
    assert lines[-1] == "Nothing was sent."


def test_all_formats_of_one_run_are_added_up(audit, folder):
    """Several recordings, each in its own format, come to one report; each is named with its digest and its times."""
    write_har(folder / "a.har", clicks(10))
    write_flows(folder / "a.flow", clicks(20))
    audit("a.log", "a.har", "a.flow", "--json", "r.json")
    found = json.loads((folder / "r.json").read_text())

    assert found["clicks"] == 230
    assert [("a.log", 200), ("a.har", 10), ("a.flow", 20)] == [(one["name"], one["lines"]) for one in found["inputs"]]
    assert all(len(one["sha256"]) == 64 and one["from"] < one["to"] for one in found["inputs"])
    assert found["inputs"][0]["from"] == "2026-11-27T12:00:00Z"


def test_json_on_stdout_stands_alone(audit):
    """`--json -` is for programs: the summary goes to stderr."""
    result = audit("a.log", "--json", "-")

    assert json.loads(result.stdout)["clicks"] == 200
    assert "Nothing was sent." in result.stderr


def test_a_page_is_written(audit, folder):
    """`--html` writes one file."""
    audit("a.log", "--html", "r.html")

    assert "<html" in (folder / "r.html").read_text()


def test_stdin_is_read(audit):
    """`-` is stdin."""
    assert json.loads(audit("-", "--json", "-", stdin=as_bytes(clicks(5))).stdout)["clicks"] == 5


def test_a_sample_ends_early(audit):
    """`--sample` reads the first lines of each recording; the report says so, and has no digest of the rest."""
    found = json.loads(audit("a.log", "--sample", "50", "--json", "-").stdout)

    assert (50, "") == (found["clicks"], found["inputs"][0]["sha256"])
    assert any("line 50" in words for words in found["cannot_tell"])


@pytest.mark.parametrize(("limit", "code"), [("direct>=0.5", 0), ("direct>=0.99", 1), ("drift==0", 1)])
def test_gates_set_the_exit_code(audit, limit, code):
    """0: all hold; 1: one does not, or nobody can tell."""
    gate = json.loads(audit("a.log", "--gate", limit, "--json", "-", code=code).stdout)["gates"][0]

    assert {"name", "value", "limit", "holds"} <= gate.keys()
    assert gate["holds"] is (code == 0)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a.log", "--gate", "unexpanded<=0"], list(NAMES)),
        (["a.log", "--gate", "direct>=80"], ["is a share"]),
        (["a.log", "--map", "link"], ["expected NAME=COLUMN"]),
        (["a.log", "--map", "link=a,link=b"], ["each name once"]),
        (["a.log", "--format", "paper"], ["paper", "jsonl"]),
        (["a.log", "--baseline", "none.json"], ["none.json", "No such file"]),
        (["a.log", "--baseline", "a.log"], ["a.log", "it is no JSON"]),
        (["a.log", "--json", "missing/r.json"], ["missing/r.json", "expected a file in a folder that is there"]),
        (["a.log", "--html", "."], ["expected a file"]),
        (["-", "-"], ["it can be read once"]),
        (["none.log"], ["none.log", "No such file", "nothing could be read"]),
        (["empty.log"], ["nothing could be read"]),
        ([], ["Missing argument"]),
    ],
)
def test_what_cannot_be_done_is_said(audit, folder, args, words):
    """Exit 2 with a text, before anything is read where that is possible."""
    (folder / "empty.log").write_text("")
    said = audit(*args, code=2).stderr

    assert all(word in said for word in words), said


def test_faulty_rules_are_exit_2(audit, folder):
    """1 means that a gate does not hold: rules that can't be used are asked wrongly."""
    (folder / "bad.yaml").write_text("version: 1\nrule: []\n")

    assert "bad.yaml:2" in audit("a.log", rules="bad.yaml", code=2).stderr


def test_a_recording_that_cannot_be_read_does_not_end_the_run(audit):
    """The others are counted; the report names it, and the exit code is not 0."""
    found = json.loads(audit("none.log", "a.log", "--json", "-", code=1).stdout)

    assert (200, ["none.log"]) == (found["clicks"], list(found["not_read"]))


def test_broken_lines_are_counted_and_shown(audit, folder):
    """A broken line never ends a run: the first ones are shown with their places."""
    with (folder / "a.log").open("ab") as file:
        file.write(b'{"time": \n\xff\xfe\n')
    result = audit("a.log", "--json", "-")
    found = json.loads(result.stdout)

    assert (200, 2) == (found["clicks"], found["unreadable"])
    assert found["inputs"][0]["first_faults"][0].startswith("201: ")


@pytest.mark.parametrize("write", [write_har, write_flows, write_json_lines])
@pytest.mark.parametrize("is_packed", [False, True])
def test_what_stands_before_a_cut_is_reported(audit, folder, write, is_packed):
    """A recording that ends in the middle gives what was read, and says so."""
    whole = write(folder / "b", clicks(100)).read_bytes()
    packed = gzip.compress(whole) if is_packed else whole
    (folder / "b").write_bytes(packed[: len(packed) * 453 // 1000])  # the half would end between two clicks at times
    found = json.loads(audit("b", "--json", "-").stdout)

    assert 10 < found["clicks"] < 90
    assert found["inputs"][0]["truncated"] or found["unreadable"] == 1


def test_no_clicks_at_all_says_what_to_do(audit, folder):
    """A log in which no redirect leads to AppsFlyer: the message names Location and --map."""
    elsewhere = (replace(one, location="https://brand.app.link/x") for one in clicks(3))
    write_json_lines(folder / "b.log", elsewhere)
    said = audit("b.log").stdout

    assert "No click was found." in said
    assert "--map" in said
    assert "3 links of other networks: 3 of Branch" in said


def test_a_baseline_shows_what_changed(audit, folder):
    """Another day with other links: the shares that moved are named."""
    audit("a.log", "--json", "old.json")
    write_json_lines(folder / "b.log", (replace(one, headers={}) for one in clicks(200)))
    said = audit("b.log", "--baseline", "old.json").stdout

    assert "Since old.json" in said
    assert "all clicks: direct: 92.5 % before, 0 % now" in said


def test_one_drift_names_the_app(audit, folder):
    """AppsFlyer led a single click to another app: which one is said in the summary and on the page."""
    link = "https://app.appsflyer.com/com.example.game1?pid=networka_int&clickid=K1"
    phone = {"user-agent": "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 Chrome/95.0.4638.74"}
    store = "market://details?id=com.example.evil"
    hops = [
        Exchange(1, 1_795_780_800.0, url="https://ads.example/r", headers=phone, status=302, location=link),
        Exchange(2, 1_795_780_800.1, url=link, headers=phone, status=302, location=store),
    ]
    write_har(folder / "a.har", hops)
    said = audit("a.har", "--gate", "drift==0", "--html", "r.html", code=1).stdout

    assert "1 lead elsewhere than ours: com.example.game1" in said
    assert "AppsFlyer leads to com.example.evil in google_play" in (folder / "r.html").read_text()


def test_show_ids_is_asked_for(audit):
    """Samples hold no click id unless somebody asks for it."""
    hidden, shown = (audit("a.log", "--json", "-", *more).stdout for more in ([], ["--show-ids"]))

    assert ("clickid=K" in hidden, "clickid=K" in shown) == (False, True)


def test_ctrl_c_reports_what_was_read(audit, monkeypatch):
    """Ctrl-C ends the reading, not the report: it says that it was stopped, and the exit code is 130."""

    def interrupted(self, _exchange, _name):
        self.add_unreadable()
        if self._numbers.unreadable == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(walk.Tally, "add", interrupted)
    result = audit("a.log", "--json", "-", code=130)

    assert json.loads(result.stdout)["stopped_early"]
    assert "It was stopped" in result.stderr


@pytest.mark.process
def test_a_bar_is_shown_on_a_terminal_only(folder):
    """In a pipe stderr is empty; on a terminal the file's name and a bar run there."""
    write_json_lines(folder / "a.log", clicks(600))
    command = [sys.executable, "-m", "storehop", "audit", "a.log", "--rules", "rules.yaml"]
    piped = subprocess.run(command, capture_output=True, timeout=START_S, check=True)
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, timeout=START_S, check=True)
    os.close(theirs)

    assert piped.stderr == b""
    assert b"a.log" in os.read(ours, 100_000)
    os.close(ours)


def test_each_recording_has_a_bar_of_its_own(monkeypatch):
    """Also one that lies in memory where another one lay before."""
    bars = []
    monkeypatch.setattr(auditing.sys, "stderr", SimpleNamespace(isatty=lambda: True, write=len, flush=int))
    monkeypatch.setattr(auditing.Progress, "add_task", lambda _, name, **_keys: bars.append(name) or 0)
    monkeypatch.setattr(auditing.Progress, "update", lambda *_, **__: None)
    with auditing._watching() as watch:
        for name in "abcdef":
            recording = SimpleNamespace(name=name, total_bytes=9, read_bytes=1)
            watch(recording)
            watch(recording)
            del recording

    assert list("abcdef") == bars


@pytest.mark.process
def test_a_real_ctrl_c(folder):
    """The signal of a terminal, while stdin goes on: what was read by then is reported."""
    command = [sys.executable, "-m", "storehop", "audit", "-", "--rules", "rules.yaml", "--json", "r.json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(as_bytes(clicks(2000)))
        process.stdin.flush()
        wait_until(lambda: _waits_for_stdin(process.pid), START_S, "the process waits for stdin")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=START_S)

    assert process.returncode == 130
    assert b"It was stopped" in said
    assert json.loads((folder / "r.json").read_text())["clicks"] > 0


def _waits_for_stdin(pid):
    """Whether the process has read all that there is and sleeps in a read of a pipe."""
    try:
        return "pipe" in Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("name", ["a.log", "./a.log", "link.log", "rules.yaml"])
def test_no_input_is_overwritten(audit, folder, option, name):
    """A report that would be written over a recording or the rules is refused before anything is read."""
    (folder / "link.log").symlink_to("a.log")
    before = (folder / name).read_bytes()
    said = audit("a.log", option, name, code=2).stderr

    assert f"{option} {Path(name)}" in said
    assert (folder / name).read_bytes() == before


@pytest.mark.parametrize("name", ["r", "./r", "-"])
def test_two_reports_are_two_files(audit, folder, name):
    """The page never takes the JSON's place, and is never a file that is called `-`."""
    said = audit("a.log", "--json", "r", "--html", name, code=2).stderr

    assert "--html" in said
    assert sorted(path.name for path in folder.iterdir()) == ["a.log", "rules.yaml"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_report_that_cannot_be_written_costs_no_summary(audit, option):
    """After an hour of reading the disk is full: the figures are shown all the same, and the file is named."""
    result = audit("a.log", option, "/dev/full", code=2)

    assert "185 of 200 clicks go direct" in result.stdout
    assert "/dev/full: No space left on device" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"\n \n", "is empty"), (gzip.compress(b"", mtime=0)[:5], "cut off in the middle")],
)
def test_a_recording_without_a_line_is_named(audit, folder, content, words):
    """Nobody has to guess which of them was empty, and why."""
    (folder / "none.log").write_bytes(content)

    for others, code in (((), 2), (("a.log",), 0)):
        said = audit("none.log", *others, code=code)
        assert "none.log" in said.stderr + said.stdout
        assert words in said.stderr + said.stdout


def test_recordings_of_one_name_are_told_apart(audit, folder):
    """Logs of several days have one name in several folders: then the folder is named, too."""
    for day in ("monday", "tuesday"):
        (folder / day).mkdir()
        (folder / day / "a.log").write_bytes((folder / "a.log").read_bytes() + b"broken\n")
    found = json.loads(audit("monday/a.log", "tuesday/a.log", "no/a.log", "none/a.log", "--json", "-", code=1).stdout)

    assert [one["name"] for one in found["inputs"]] == ["monday/a.log", "tuesday/a.log"]
    assert list(found["not_read"]) == ["no/a.log", "none/a.log"]


def test_a_recording_that_is_given_twice_is_said(audit, folder):
    """Its clicks count twice: by a pattern that fits twice, or a copy."""
    (folder / "b.log").write_bytes((folder / "a.log").read_bytes())
    said = audit("a.log", "b.log").stdout

    assert "b.log: it is the same as a.log: its clicks are counted twice" in " ".join(said.split())


def test_a_ctrl_c_never_counts_half_a_click(audit, monkeypatch):
    """Somebody presses it while a click is being counted: that click is counted whole, and then the reading ends."""
    decide = tally.decide
    times = []

    def pressed(click, rules):
        times.append(click)
        if len(times) == 20:
            signal.raise_signal(signal.SIGINT)
        return decide(click, rules)

    monkeypatch.setattr(tally, "decide", pressed)
    found = json.loads(audit("a.log", "--json", "-", code=130).stdout)

    assert (20, 20, 20) == (found["exchanges"], found["clicks"], found["inputs"][0]["lines"])
    assert found["configured"]["clicks"] == found["clicks"]


def test_every_share_and_all_advice_is_shown(audit, folder):
    """A long reason never takes the share's column; what to do is not cut at the terminal's edge."""
    long = (replace(one, location=f"{one.location}&af_sub2={'x' * 1990}") for one in clicks(10))
    write_json_lines(folder / "long.log", long)
    write_json_lines(folder / "none.log", (replace(one, location="https://brand.example/x") for one in clicks(3)))
    (said,) = [line for line in audit("long.log").stdout.splitlines() if "too_long" in line]
    advice = audit("none.log").stdout

    assert " 90 % " in said
    assert "…" not in advice
    assert max(map(len, advice.splitlines())) <= 80
    assert "UTC" in advice


def test_the_log_of_a_storehop_says_so(audit, folder):
    """Who audits the wrong log is told what is in it: in the terminal, and on the page."""
    store = "https://play.google.com/store/apps/details?id=com.example.game"
    write_json_lines(folder / "b.log", (replace(one, location=store) for one in clicks(3)))
    said = audit("b.log", "--html", "r.html").stdout

    assert "3 redirects lead to a store already" in " ".join(said.split())
    assert "redirects to a store already" in (folder / "r.html").read_text()


def test_a_recording_read_as_another_format_is_not_called_empty(audit):
    """`--format har` on JSON lines: it is the format that does not fit."""
    said = audit("a.log", "--format", "har", code=2).stderr

    assert "a.log: nothing stands in it, read as har" in said
