"""rules/packaging/*.service, *.socket: units that systemd takes, and that fit the program."""

import re
import subprocess
import sys

import pytest

from storehop.options import RunOptions, rows
from storehop.workers.supervisor import END_S
from tests.support.image import PACKAGING
from tests.support.needs import need

SERVICE, SOCKET = (PACKAGING / f"storehop.{kind}" for kind in ("service", "socket"))
MOST_EXPOSED = 2.0
"""Of 10 at the most, as `systemd-analyze security` counts: 2.0 and less is `OK`."""


def of(unit, name):
    """Every value of a setting."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.fixture
def installed(tmp_path):
    """Both units in a folder, with a program that this machine has."""
    for unit in (SERVICE, SOCKET):
        text = unit.read_text().replace("/opt/storehop/bin/storehop", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@pytest.mark.process
@pytest.mark.parametrize("unit", [SERVICE.name, SOCKET.name])
def test_systemd_finds_no_fault(installed, unit):
    """In its own words, about ours."""
    program = need("systemd-analyze")
    ran = subprocess.run([program, "verify", "--man=no", installed / unit], capture_output=True, text=True, check=False)

    assert [] == [line for line in ran.stderr.splitlines() if "storehop" in line]


@pytest.mark.process
def test_little_is_exposed(installed):
    """The service could do almost nothing but serve."""
    program = need("systemd-analyze")
    threshold = f"--threshold={MOST_EXPOSED * 10:.0f}"
    command = [program, "security", "--offline=yes", "--no-pager", threshold, installed / SERVICE.name]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == ran.returncode, ran.stdout[-500:]


def test_its_variables_are_options():
    """Each has the name of one."""
    known = {row.variable for row in rows(RunOptions)}
    named = {word.partition("=")[0] for line in of(SERVICE, "Environment") for word in line.split()}

    assert set() == {name for name in named if name.startswith("STOREHOP_")} - known


def test_it_has_time_to_end():
    """Draining, and what its end may take after that."""
    drain = next(row.default for row in rows(RunOptions) if row.name == "drain")

    assert int(of(SERVICE, "TimeoutStopSec")[0]) > drain + END_S


def test_the_socket_is_where_the_service_would_listen():
    """With the socket unit or without it, clients come to one place."""
    listen = re.search(r"STOREHOP_LISTEN=(\S+)", SERVICE.read_text())[1]

    assert [listen] == of(SOCKET, "ListenStream")


def test_the_program_says_when_it_serves():
    """Systemd waits for it, looks whether it lives, and can make it read its rules again."""
    assert (["notify"], True, ["/bin/kill -HUP $MAINPID"]) == (
        of(SERVICE, "Type"),
        int(of(SERVICE, "WatchdogSec")[0]) > 0,
        of(SERVICE, "ExecReload"),
    )
