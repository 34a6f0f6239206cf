"""The benchmark of the audit runs; memory and page stay as they are, however long a recording is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.audit import Run
from tests.support.patience import START_S, in_full
from tests.support.processes import ROOT
from tests.support.recorded_clicks import RULES, clicks, write_flows, write_json_lines

MEASURE = """
import json, pathlib, sys
from tests.bench.audit import audited
print(json.dumps(audited(pathlib.Path(sys.argv[1]))))
"""


def run(folder: Path, write, number):
    """In a process of its own: Linux counts the memory of a parent as its child's, and a test has much."""
    (folder / "rules.yaml").write_text(RULES)
    file = write(folder / "recording", clicks(number))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'addon'}{os.pathsep}{ROOT}"},
        capture_output=True,
        check=True,
        timeout=5 * START_S,
    )
    return Run(*json.loads(done.stdout))


@pytest.mark.parametrize("write", [write_json_lines, write_flows])
def test_an_audit_is_measured(tmp_path, write):
    """Processor time, peak memory and the page's size of one run."""
    found = run(tmp_path, write, 200)

    assert found.seconds > 0
    assert 20 < found.peak_mb < 200
    assert 0 < found.page_kb < 300


@in_full
@pytest.mark.measures
def test_memory_is_flat(tmp_path):
    """Ten times the lines take no more memory than a twentieth more, less than 200 MB, and a page below 300 kB."""
    short, long = run(tmp_path, write_json_lines, 30_000), run(tmp_path, write_json_lines, 300_000)

    assert long.peak_mb <= short.peak_mb * 1.05
    assert long.peak_mb < 200
    assert long.page_kb < 300
