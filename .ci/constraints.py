"""Prints what is installed for storehop by another Python, as constraints for pip. Call: constraints.py PYTHON"""

import subprocess
import sys

HEAD = """\
# What storehop[redis] needs, and what that needs, as the tests ran with it: pip install storehop -c constraints.txt
# Made by `make constraints`, for each Python from 3.12 on; a test compares them with what is installed.
"""


def main() -> None:
    command = [sys.argv[1], "-m", "pip", "freeze", "--exclude", "storehop"]
    frozen = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603  ours
    sys.stdout.write(HEAD + frozen)


main()
