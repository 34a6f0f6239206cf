"""Every law on every engine."""

import signal
import subprocess
import sys

import pytest

from storehop.deliver.operations import ClaimDue, Release
from storehop.deliver.sqlite.engine import SqliteEngine
from tests.deliver.conformance.laws import LAWS
from tests.support.engines import KITS

ACCEPTS = """
import sys, time
from pathlib import Path
from storehop.deliver.operations import Accept
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import S2SCall
engine = SqliteEngine(Path(sys.argv[1]))
for number in range(10_000_000):
    engine.run([Accept(S2SCall(f"c{number}", "https://af.test", "/x", ()), f"a:{number}", 6.0)])
    print(number, flush=True)
"""


MARKS = {
    "real time": [pytest.mark.measures],
    "redis 7.0": [pytest.mark.process],
    "redis 8.2": [pytest.mark.process],
    "redis in real time": [pytest.mark.process, pytest.mark.measures],
}
ENGINES = [pytest.param(name, marks=MARKS.get(name, [])) for name in KITS]


@pytest.fixture(params=ENGINES)
def kit(request):
    engine_kit = KITS[request.param]()
    yield engine_kit
    engine_kit.close()


@pytest.mark.parametrize("law", LAWS)
def test_law(law, kit):
    """See the check of this name."""
    ability = getattr(LAWS[law], "ability", None)
    if ability and not getattr(kit, ability):
        pytest.skip(f"this engine's kit has no {ability}")
    LAWS[law](kit)


@pytest.mark.process
def test_what_sqlite_has_accepted_survives_kill_9(tmp_path):
    """Law 1 with a real process: whatever it said was accepted is claimed by the next one, each call once."""
    path = tmp_path / "outbox.db"
    with subprocess.Popen([sys.executable, "-c", ACCEPTS, path], stdout=subprocess.PIPE) as child:
        lines = [child.stdout.readline() for _ in range(100)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    engine = SqliteEngine(path)
    engine.run([Release("a")])
    leased, again = engine.run([ClaimDue(1_000_000, "b:1", 600.0), ClaimDue(1_000_000, "b:2", 600.0)])
    engine.close()

    assert {f"c{int(line)}" for line in lines if line.endswith(b"\n")} <= {one.call.id for one in leased}
    assert [] == again
