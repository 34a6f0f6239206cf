"""What the command line imports: who runs a sidecar or a health check pays for no other command."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from storehop.cli import start
from storehop.cli.app import app
from tests.support.patience import START_S

HEAVY = ("mitmproxy", "httpx", "backports.zstd", "brotli", "storehop.audit.readers", "storehop.audit.page")
"""What takes long to import, and serves single commands."""
OTHERS = (
    *("storehop.audit", "storehop.cli.app", "storehop.cli.canary", "storehop.cli.demo", "storehop.cli.dry_run"),
    *("storehop.cli.explain", "storehop.cli.standins", "rich", "http.server"),
)
"""What other commands are made of."""


def imported(module, names):
    """Which of `names` a process has imported with `module`, as it prints them."""
    code = f"import {module}, sys; print(*(name for name in {names} if name in sys.modules))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=True).stdout


@pytest.mark.process
def test_the_command_line_imports_nothing_heavy():
    """Until a command needs it: `--help`, `check` and the start of `run` are quick."""
    assert "\n" == imported("storehop.cli.app", HEAVY)


@pytest.mark.process
def test_run_imports_no_other_command():
    """Nobody waits for them."""
    assert "\n" == imported("storehop.cli.start", HEAVY + OTHERS)


@pytest.mark.parametrize("words", [["--help"], ["--nonsense"], [], ["--upstream", "nowhere", "--rules", "x"]])
def test_run_alone_says_what_the_whole_command_line_says(words):
    """Help, usage and mistakes."""
    alone = CliRunner().invoke(start.app, words, prog_name="storehop run")
    whole = CliRunner().invoke(app, ["run", *words], prog_name="storehop")

    assert (whole.exit_code, whole.output) == (alone.exit_code, alone.output)
