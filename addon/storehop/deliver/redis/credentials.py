"""Who we are for a shared outbox: environment variables, or files as Docker and Kubernetes make them of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storehop.deliver.redis.place import Credentials
from storehop.state import VARIABLES

_OUTBOX = f"{VARIABLES}OUTBOX_"
_SENTINEL = f"{_OUTBOX}SENTINEL_"
VARIABLES_OF_SECRETS = frozenset(
    f"{prefix}{name}" for prefix in (_OUTBOX, _SENTINEL) for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE")
)


def credentials_of(environment: Mapping[str, str], password_file: Path | None = None) -> Credentials:
    """`password_file` is the flag's, in place of the variable's.

    Raises ValueError where a file can't be read, or where a password is said twice.
    """
    return Credentials(
        environment.get(f"{_OUTBOX}USERNAME"),
        _password(environment, _OUTBOX, password_file),
        environment.get(f"{_SENTINEL}USERNAME"),
        _password(environment, _SENTINEL),
    )


def _password(environment: Mapping[str, str], prefix: str, flag: Path | None = None) -> str | None:
    variable = f"{prefix}PASSWORD"
    name = flag or environment.get(f"{variable}_FILE")
    if not name:
        return environment.get(variable)
    if environment.get(variable):
        raise ValueError(f"{variable} and a file with the password: expected one of them")
    return _first_line(Path(name), f"{variable}_FILE")


def _first_line(file: Path, variable: str) -> str:
    try:
        line = file.read_text(encoding="utf-8").partition("\n")[0]  # it has made \n of \r\n
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "expected UTF-8"
        raise ValueError(f"{variable} {file}: cannot be read: {why}") from None
    if not line:
        raise ValueError(f"{variable} {file}: expected the password in its first line")
    return line
