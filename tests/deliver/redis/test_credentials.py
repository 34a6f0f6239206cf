"""Where the credentials of a shared outbox come from."""

import pytest

from storehop.deliver.redis.credentials import VARIABLES_OF_SECRETS, credentials_of
from storehop.deliver.redis.place import Credentials

PASSWORD, FILE = "STOREHOP_OUTBOX_PASSWORD", "STOREHOP_OUTBOX_PASSWORD_FILE"
SENTINEL_FILE = "STOREHOP_OUTBOX_SENTINEL_PASSWORD_FILE"


@pytest.fixture
def file(tmp_path):
    """With a password, and what an editor leaves."""
    made = tmp_path / "password"
    made.write_bytes(b" s:cr\xc3\xa9t \r\nmore\n")
    return made


def test_without_any_there_are_none():
    assert Credentials() == credentials_of({})


def test_they_stand_in_the_environment():
    """Of the server and of the Sentinels apart."""
    names = ("USERNAME", "PASSWORD", "SENTINEL_USERNAME", "SENTINEL_PASSWORD")
    environment = {f"STOREHOP_OUTBOX_{name}": name for name in names}

    assert Credentials(*names) == credentials_of(environment)


@pytest.mark.parametrize("variable", [FILE, SENTINEL_FILE])
def test_a_password_is_the_first_line_of_its_file(file, variable):
    """Without its newline, and with everything else."""
    read = credentials_of({variable: str(file)})

    assert " s:crét " == (read.password or read.sentinel_password)


def test_the_flag_s_file_is_stronger(file):
    """It is of the server's password."""
    assert " s:crét " == credentials_of({FILE: "/none"}, file).password


def test_a_password_is_said_once(file):
    """Who says it twice has forgotten one."""
    with pytest.raises(ValueError, match="expected one of them"):
        credentials_of({PASSWORD: "other"}, file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read: No such file"), (b"\n", "in its first line"), (b"s\xffcret", "expected UTF-8")],
)
def test_a_file_without_a_password_is_refused(tmp_path, content, expected):
    """By its name; nothing of what it holds is told."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ValueError, match=expected) as raised:
        credentials_of({FILE: str(file)})
    assert str(file) in str(raised.value)
    assert "cret" not in str(raised.value)


def test_their_variables_are_known():
    """`storehop run` warns of others."""
    assert {PASSWORD, FILE, SENTINEL_FILE} < VARIABLES_OF_SECRETS
