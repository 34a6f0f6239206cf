"""The pages of the manual: their commands, what replaces some of those, their links, headings and programs' names."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".github", "addon", "rules", "tests")
"""Beside the front page, pages lie in these folders and below them."""
FRONT = ROOT / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"

_BLOCK = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)((?:.|\n(?!\n))+?)\1")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TABLE_HEAD = "| command | what is checked instead | by |"
_ROW = re.compile(r"^\| `([^`|]+)` \| [^|]+ \| `((?:tests|\.ci)/[^`:|]+)(?:::(\w+))?` \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A row of a table with TABLE_HEAD: commands that begin so are not run, something else is checked instead."""

    words: tuple[str, ...]
    file: str
    """Of tests, or a script in .ci/; from the root."""
    test: str
    """A function of the file; empty for the whole file."""

    @property
    def command(self) -> str:
        return " ".join(self.words)

    def is_for(self, command: str) -> bool:
        return self.words == tuple(_bare(command)[: len(self.words)])


@cache
def pages() -> tuple[Path, ...]:
    """Every page, the front page first."""
    below = (page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("*.md")))
    return (*sorted(ROOT.glob("*.md")), *below)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block; the language may be empty."""
    return [(language, text) for _, language, text in _BLOCK.findall(page.read_text())]


def commands() -> list[str]:
    """Each command of each shell block of each page, once, in one line and without its comment."""
    texts = (text.replace("\\\n", " ") for page in pages() for language, text in blocks(page) if language == "sh")
    lines = (re.sub(r"(^|\s{2,})# .*", "", line) for text in texts for line in text.splitlines())
    return list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))


def replacements(*of: Path) -> list[Replacement]:
    """The rows of the table in CONTRIBUTING.md, and of those in pages of their own subject; or of some pages."""
    texts = [page.read_text() for page in of or pages()]
    rows = [row for text in texts if TABLE_HEAD in text for row in _ROW.findall(text)]
    return [Replacement(tuple(command.split()), file, test) for command, file, test in rows]


def inline_codes(page: Path) -> list[str]:
    """What stands between backticks, outside of blocks and of tables of replacements, each once."""
    text = _ROW.sub("", _prose(page))
    return list(dict.fromkeys(" ".join(code.split()) for _, code in _CODE.findall(text)))


def links(page: Path) -> list[str]:
    """Targets of all links and pictures."""
    return _LINK.findall(_CODE.sub("", _prose(page)))


def anchors(page: Path) -> set[str]:
    """What `#` may name in a page, as GitHub makes it of headings: the same one again gets a number."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in _HEADING.findall(_prose(page)):
        slug = _slug(heading)
        names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return names


def _slug(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def _prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text())


def _bare(command: str) -> list[str]:
    """The words of a command, without `sudo` and variables before it."""
    words = shlex.split(command)
    while words and (words[0] == "sudo" or re.match(r"[A-Z_]+=", words[0])):
        del words[0]
    return words
