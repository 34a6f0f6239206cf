"""The pages of the manual, and the commands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".github", "addon", "rules", "tests")
"""Beside the front page, pages lie in these folders and below them."""


def pages() -> list[Path]:
    """Every page, the front page first."""
    below = (page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("*.md")))
    return [*sorted(ROOT.glob("*.md")), *below]


def commands() -> list[str]:
    """Each line of each shell block of each page, once, without its comment."""
    blocks = (block for page in pages() for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return list(dict.fromkeys(line for line in lines if line))
