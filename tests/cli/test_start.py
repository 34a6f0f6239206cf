"""What the command line imports: who runs a sidecar or a health check pays for no other command."""

import subprocess
import sys

import pytest

from tests.support.patience import START_S

HEAVY = ("mitmproxy", "httpx", "backports.zstd", "brotli", "storehop.audit.readers", "storehop.audit.page")
"""What takes long to import, and serves single commands."""
IMPORTED = f"import storehop.cli.app, sys; print(*(name for name in {HEAVY} if name in sys.modules))"


@pytest.mark.process
def test_the_command_line_imports_nothing_heavy():
    """Until a command needs it: `--help`, `check` and the start of `run` are quick."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, timeout=START_S, check=True)

    assert done.stdout == "\n"
