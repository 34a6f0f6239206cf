"""`storehop` and `python -m storehop`."""

from storehop.cli.app import app


def main() -> None:
    app(prog_name="storehop")


if __name__ == "__main__":
    main()
