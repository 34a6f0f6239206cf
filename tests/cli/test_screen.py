"""The screen of commands that people may cut short."""

import os
import subprocess
import sys

import pytest

from tests.support.processes import ADDON

WRITES = "from storehop.cli.screen import Screen; console = Screen(); [console.print('x' * 70) for _ in range(5000)]"


@pytest.mark.process
def test_a_reader_that_has_seen_enough_is_no_fault():
    """`make demo | head` ends well and without a word."""
    script = f'{{ "{sys.executable}" -c "{WRITES}"; echo "exit $?" >&2; }} | head -n 1'
    environment = os.environ | {"PYTHONPATH": str(ADDON)}
    ran = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert ("x" * 70 + "\n", "exit 0\n") == (ran.stdout, ran.stderr)
