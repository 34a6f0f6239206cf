"""The image's Dockerfile, read, and its container, emulated: this machine has no Docker engine."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from tests.support.needs import need, need_namespace
from tests.support.processes import ROOT

PACKAGING = ROOT / "rules" / "packaging"
DOCKERFILE = (PACKAGING / "Dockerfile").read_text()


def instructions(text: str = DOCKERFILE) -> list[tuple[str, str]]:
    """Each instruction and its arguments, in order; lines that go on are joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, arguments.strip()) for name, arguments in pairs]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage; what stands before the first FROM is left out."""
    found: list[list[tuple[str, str]]] = []
    for name, arguments in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found


def environment() -> dict[str, str]:
    """The variables of a container."""
    words = (word for name, arguments in stages()[-1] if name == "ENV" for word in shlex.split(arguments))
    return {name: value for name, _, value in (word.partition("=") for word in words)}


CONTAINER = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 storehop-test /mnt
mkdir /mnt/app /mnt/venv /mnt/python /mnt/rules
install -d -o 10001 -g 0 -m 0770 /mnt/state
cp "$RULES" /mnt/rules/rules.yaml
mount --bind "$APP" /mnt/app
mount --bind "$VENV" /mnt/venv
mount --bind "$PYTHON" /mnt/python
for place in / /mnt /mnt/app /mnt/venv /mnt/python; do mount -o remount,bind,ro $place; done
mount -t tmpfs -o size=32m,mode=700,uid=10001 storehop-test /mnt/state
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all env -i "$@"
"""
"""All is read-only but /mnt/state, and the user has a number and nothing else: no name, no home, no capability."""


def container(rules: Path, variables: dict[str, str], *words: str) -> list[str | Path]:
    """The command that runs `storehop WORDS` as a container of the image would, with these variables beside its own."""
    need_namespace()
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = environment() | {
        "PATH": "/usr/bin:/bin",
        "LD_LIBRARY_PATH": "/mnt/python/lib",
        "PYTHONPATH": f"/mnt/app/addon:/mnt/venv/lib/{python}/site-packages",
        "STOREHOP_RULES": "/mnt/rules",
        "STOREHOP_STATE": "/mnt/state",
    }
    outside = [f"APP={ROOT}", f"VENV={sys.prefix}", f"PYTHON={sys.base_prefix}", f"RULES={rules}"]
    inside = [f"{name}={value}" for name, value in (own | variables).items()]
    inner = [*inside, f"/mnt/python/bin/{python}", "-m", "storehop", *words]
    return ["env", *outside, need("unshare"), "--mount", "sh", "-c", CONTAINER, "container", *inner]
