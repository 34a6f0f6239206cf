"""The table of options: what the manual and mitmproxy make of it."""

import pwd
import re
from pathlib import Path

import pytest

from storehop.options import AddonOptions, RunOptions, row_of, rows
from storehop.state import outbox_file, outbox_path, state_folder

FOR_USERS = [row for row in rows(RunOptions) if row.option.is_for_users]


def line(row):
    """The manual's line for a run option."""
    default = row.option.shown_default or ("" if row.default in (None, False) else f"`{row.default}`")
    flag = f"{row.flag} {row.option.metavar or ''}".rstrip().replace("|", "\\|")
    cells = (f"`{flag}`", f"`{row.variable}`", "must be set" if row.is_required else default, row.option.help)
    return "".join(f"| {cell} ".replace("  ", " ") for cell in cells) + "|"


def test_the_manual_lists_the_run_options(pytestconfig):
    """One line for each, in this order, as the table of options says it."""
    text = (pytestconfig.rootpath / "rules" / "packaging" / "README.md").read_text()

    assert list(map(line, FOR_USERS)) == re.findall(r"^\| `--.*STOREHOP_.*$", text, re.MULTILINE)


def test_variables_are_named_after_flags():
    """Who knows the flag knows the variable."""
    listen = row_of(RunOptions, "tls_cert")

    assert ("--tls-cert", "STOREHOP_TLS_CERT") == (listen.flag, listen.variable)


def test_the_supervisor_s_own_option_has_no_variable():
    """A worker would hand it on to whatever it starts."""
    assert row_of(RunOptions, "worker_socket").variable is None


@pytest.mark.parametrize("row", rows(AddonOptions), ids=lambda row: row.name)
def test_addon_options_have_defaults_of_their_type(row):
    """Mitmproxy refuses others."""
    assert row.type is type(row.default)


def test_both_kinds_of_an_option_say_the_same():
    """An option that the sidecar and the addon have is described once."""
    names = {row.name for row in rows(RunOptions)} & {row.name for row in rows(AddonOptions)}

    assert {"rules", "outbox", "admin"} == names
    assert all(row_of(RunOptions, name).option is row_of(AddonOptions, name).option for name in names)


def test_the_outbox_lies_in_the_state_folder():
    """Unless it is named."""
    options = RunOptions(upstream="http://a:80", rules=Path("rules"), state=Path("/state"))

    assert "/state/outbox.db" == options.outbox_location


@pytest.mark.parametrize(
    ("location", "file"),
    [
        ("clicks.db", "clicks.db"),
        ("/var/lib/clicks.db", "/var/lib/clicks.db"),
        ("~/clicks.db", "HOME/clicks.db"),
        ("sqlite:///var/lib/clicks.db", "/var/lib/clicks.db"),
        ("sqlite:////var/lib/clicks.db", "/var/lib/clicks.db"),
    ],
)
def test_an_outbox_is_a_path_or_a_url(monkeypatch, location, file):
    """The path of a URL begins at the root."""
    monkeypatch.setenv("HOME", "HOME")

    assert Path(file) == outbox_file(location)


@pytest.mark.parametrize("location", ["", "postgres://a/0", "sqlite://a/b", "sqlite:///", "SQLITE://x"])
def test_an_outbox_of_an_unknown_kind_is_refused(location):
    """Nothing is made of it by guessing."""
    with pytest.raises(ValueError, match="expected a path, sqlite:///path, redis://host"):
        outbox_file(location)


@pytest.mark.parametrize("location", ["10.0.0.1:6379", "redis:6379", "[::1]:6379", "one:26379,two:26379/storehop"])
def test_an_address_is_no_path(location):
    """It would be a file of the host's own, where people mean a server that hosts share."""
    with pytest.raises(ValueError, match=r"an address needs redis:// before it; \./ names a file"):
        outbox_file(location)


def test_a_file_may_be_called_like_an_address(tmp_path):
    """Who says its folder means it."""
    assert [Path("one:6379"), tmp_path / "one:6379"] == [outbox_file("./one:6379"), outbox_file(f"{tmp_path}/one:6379")]


def test_without_a_home_the_state_folder_is_that_of_a_service(monkeypatch):
    """A user that nobody knows has none: a container's, for example."""
    for name in ("STOREHOP_STATE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)

    assert Path("/var/lib/storehop") == state_folder()


def test_the_state_folder_of_all_commands_is_the_run_option_s(monkeypatch):
    """`storehop outbox` looks where a sidecar with the same environment stores."""
    monkeypatch.setenv(row_of(RunOptions, "state").variable, "/state")

    assert (Path("/state"), Path("/state/outbox.db")) == (state_folder(), outbox_path())
