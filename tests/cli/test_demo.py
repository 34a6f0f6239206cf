"""`storehop demo`, from end to end."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.processes import ADDON

pytestmark = pytest.mark.process
COMMAND = (sys.executable, "-m", "storehop", "demo")
ENVIRONMENT = {"PYTHONPATH": str(ADDON), "COLUMNS": "200", "PATH": "/usr/bin:/bin"}
AT_WORK_MS = 100.0
"""More than any hop takes that waits for nothing to start, also on a busy machine: a first click took 500."""


@pytest.fixture(scope="module")
def shown():
    return subprocess.run(COMMAND, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout


def test_its_times_are_not_the_start_s(shown):
    """The sidecar is ready and at work before anything is measured."""
    times = [float(time) for time in re.findall(r" 302 +(\d+\.\d) ", shown)]

    assert (3 + 3 + 4, True) == (len(times), max(times) < AT_WORK_MS), times


def test_it_shows_both_ways_of_the_same_click(shown):
    """The link is the same before and after, and AppsFlyer received its S2S click."""
    assert 1 == shown.count("app.appsflyer.com/com.example.game?pid=networka_int&c=spring&clickid=K1&af_siteid=77")
    assert 2 == shown.count("clickid=K3")
    assert 2 == shown.count("AppsFlyer received")


def test_nobody_has_to_read_it_to_the_end():
    """As in `make demo | head`: no traceback, and no error for make to report."""
    with subprocess.Popen(COMMAND, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        demo.stdout.readline()
        demo.stdout.close()
        errors = demo.stderr.read()

    assert (0, "") == (demo.returncode, errors)
