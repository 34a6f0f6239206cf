"""Tests read as tests: nothing of them is imported by a name that reads as product code."""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDERS = sorted({folder.name for folder in HERE.rglob("[a-z]*") if folder.is_dir()})


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_tests_is_imported_as_one(name):
    """`import deliver` finds no folder of tests."""
    spec = importlib.util.find_spec(name)

    assert spec is None or not any(Path(place).is_relative_to(HERE) for place in spec.submodule_search_locations or ())
