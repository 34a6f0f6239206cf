"""Prints the lowest version that pyproject.toml declares of each dependency, as constraints for pip."""

import re
import sys
import tomllib
from pathlib import Path

DECLARED = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)(?:,<[\w.]+)?(; ?\w+ (?:<|!=) '[\w.]+')?$")


def main() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for dependency in (*project["dependencies"], *project["optional-dependencies"]["redis"]):
        parts = DECLARED.match(dependency)
        if parts is None:
            sys.exit(f"pyproject.toml declares {dependency!r}: expected name>=version or name>=version,<version")
        sys.stdout.write(f"{parts[1]}=={parts[2]}{parts[3] or ''}\n")


main()
