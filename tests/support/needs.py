"""What a test needs of the machine: missing, it is skipped where people work, and fails where CI does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


def need(program: str) -> str:
    """The path of a program."""
    return shutil.which(program) or missing(f"needs the program {program}")


def need_namespace() -> None:
    """A network namespace of one's own, which takes root or user namespaces."""
    command = [need("unshare"), "--net", need("ip"), "link", "set", "lo", "up"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        missing(f"may not make a network namespace: {tried.stderr.strip()}")


def missing(what: str) -> NoReturn:
    """Skips the test because of this, or fails it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; CI has to have it")
    pytest.skip(what, allow_module_level=True)


def need_mount(folder: Path, size: str) -> None:
    """A small file system of one's own in this folder, which takes root. The caller unmounts it."""
    command = [need("mount"), "-t", "tmpfs", "-o", f"size={size}", "storehop-test", folder]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        missing(f"may not mount: {tried.stderr.strip()}")
