"""`storehop` and `python -m storehop`."""

import io
import sys

from storehop.cli.app import app, with_defaults


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
    app(with_defaults(sys.argv[1:]), prog_name="storehop")


if __name__ == "__main__":
    main()
