"""`storehop` and `python -m storehop`."""

import gc
import io
import os
import sys


def main() -> None:
    _hold_standard_streams()
    if sys.argv[1:2] == ["run"]:
        _without_asserts()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
    if sys.argv[1:2] == ["healthcheck"]:
        from storehop.cli.healthcheck import quick  # noqa: PLC0415  as below

        if (code := quick(sys.argv[2:])) is not None:
            sys.exit(code)
    if sys.argv[1:2] == ["run"]:
        gc.disable()  # while it imports nothing is garbage; `storehop.serving` goes on with it
        from storehop.cli.start import app, with_defaults  # noqa: PLC0415  not before it is sure that this process stays

        app(with_defaults(sys.argv[2:]), prog_name="storehop run")
    else:
        from storehop.cli.app import app  # noqa: PLC0415  as above

        app(prog_name="storehop")


def _hold_standard_streams() -> None:
    """Opens those that were closed: else the next file, perhaps the outbox, takes the number of one, and its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  for the whole life of the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _without_asserts() -> None:
    """Starts this process anew with `python -O`, which spares mitmproxy its checks of every message's types.

    Gain when it came: 600 of the 3,500 µs of a click. PYTHONOPTIMIZE in the environment, 0 too, decides otherwise.
    """
    if "PYTHONOPTIMIZE" not in os.environ and not sys.flags.optimize:
        os.environ["PYTHONOPTIMIZE"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  the same command


if __name__ == "__main__":
    main()
