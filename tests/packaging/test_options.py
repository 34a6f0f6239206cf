"""What the shipped files set: every variable and flag in them is one of `storehop run`."""

import re

import pytest

from storehop.deliver.redis.credentials import VARIABLES_OF_SECRETS
from storehop.options import RunOptions, rows
from tests.support.image import PACKAGING
from tests.support.processes import ROOT

FILES = [file for file in sorted(PACKAGING.rglob("*")) if file.is_file() and file.suffix != ".md"]
VARIABLES = {row.variable for row in rows(RunOptions)} | VARIABLES_OF_SECRETS
FLAGS = {row.flag for row in rows(RunOptions)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_set_exists(file):
    """A variable that storehop does not know would be overlooked in silence; an unknown flag ends the start."""
    text = file.read_text()
    commands = re.findall(r"storehop run\b.*", text)

    assert set() == set(re.findall(r"\bSTOREHOP_[A-Z_]+\b", text)) - VARIABLES
    assert set() == {flag for command in commands for flag in re.findall(r"--[a-z-]+", command)} - FLAGS
