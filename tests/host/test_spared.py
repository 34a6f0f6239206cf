"""What the sidecar's start is spared, and that mitmproxy and httpx are whole all the same."""

import os
import subprocess
import sys

import pytest

from tests.support.patience import START_S
from tests.support.processes import ADDON

SPARED = """
import sys
from storehop.host.spared import spare_imports
spare_imports()
spare_imports()
import storehop.host.runner
"""


def python(code):
    """What a process of its own prints."""
    command = [sys.executable, "-O", "-c", SPARED + code]
    environment = os.environ | {"PYTHONPATH": str(ADDON)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, env=environment, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.process
def test_what_the_lean_host_has_no_use_for_is_not_imported():
    """Neither mitmproxy's other addons nor what they are made of, nor httpx's command line."""
    names = ("flask", "werkzeug", "jinja2", "ldap3", "rich", "click", "pygments", "mitmproxy.flowfilter")

    assert "[]\n" == python(f"print([name for name in {names} if name in sys.modules])")


MOST_MODULES = 1_150
"""1,003 when it came, where there were 1,439 without it; libraries grow."""


@pytest.mark.process
def test_it_is_few_modules():
    """A module takes a millisecond, and the first click waits for all of them."""
    assert int(python("print(len(sys.modules))")) < MOST_MODULES


@pytest.mark.process
def test_only_addons_that_are_used_have_run():
    """The others are there, and wait."""
    ran = python(
        "print(*sorted(name for name, module in sys.modules.items()"
        " if name.startswith('mitmproxy.addons.') and type(module).__name__ == 'module'))"
    )

    assert "mitmproxy.addons.termlog mitmproxy.addons.tlsconfig\n" == ran


@pytest.mark.process
def test_a_postponed_addon_is_the_addon():
    """Whoever looks into it finds all that is there: mitmproxy's own list of addons can be made."""
    names = "from mitmproxy.addons import default_addons; print(len(default_addons()))"
    whole = subprocess.run(
        [sys.executable, "-c", names], capture_output=True, text=True, timeout=START_S, check=True
    ).stdout

    assert whole == python(names)


@pytest.mark.process
def test_httpx_does_without_its_command_line():
    """As it does where rich and click are not installed: the library is whole."""
    assert "True\n" == python("import httpx; print(callable(httpx.main) and callable(httpx.AsyncClient))")
