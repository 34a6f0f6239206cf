"""The script that a stock mitmproxy loads: where storehop can't run it says so in one sentence, and what to install."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mitmproxy import hooks

from tests.support.needs import missing
from tests.support.processes import ENTRY, ROOT

PIPX = f"`pipx inject mitmproxy {ROOT}`"
PIP = f"`{sys.executable} -m pip install {ROOT}`"


def loaded(path=ENTRY):
    """The script, as mitmproxy loads it."""
    spec = importlib.util.spec_from_file_location("__mitmproxy_script__.entry", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(caplog):
    """The one ERROR, at which mitmproxy ends its start."""
    (record,) = caplog.records
    assert "ERROR" == record.levelname
    return record.message


class Lacks:
    """Finds no module of this name when the addon is imported."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, fullname, *_):
        if fullname == "storehop.host.addon":
            raise ModuleNotFoundError(f"No module named {self.name!r}", name=self.name)


def lack(monkeypatch, module):
    """As if this module were not installed."""
    monkeypatch.delitem(sys.modules, "storehop.host.addon", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Lacks(module), *sys.meta_path])


def test_the_addon_is_all_there_is(caplog):
    """Where everything is there, mitmproxy gets one addon and reads nothing."""
    assert ["storehop"] == [addon.name for addon in loaded().addons]
    assert [] == caplog.records


def test_no_name_is_one_of_a_hook():
    """They would be called."""
    assert set() == set(vars(loaded())) & set(hooks.all_hooks)


def test_it_asks_for_what_the_package_asks_for():
    """The script's lowest versions are those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (mitmproxy,) = (name for name in project["dependencies"] if name.startswith("mitmproxy"))
    script = loaded()

    assert project["requires-python"] == ">={}.{}".format(*script.LEAST_PYTHON)
    assert re.match(r"mitmproxy>=([\d.]+)", mitmproxy)[1] == "{}.{}".format(*script.LEAST_MITMPROXY)


def test_a_missing_library_is_named(monkeypatch, caplog):
    """With both ways to install what is missing: for pipx, and for the very Python that runs this."""
    lack(monkeypatch, "http_sf")

    assert [] == loaded().addons
    assert f"storehop can't run in this mitmproxy: No module named 'http_sf'. Try {PIPX}, or {PIP}." == said(caplog)


def test_a_script_without_its_package_names_the_package(monkeypatch, caplog, tmp_path):
    """Copied away from its checkout, and storehop is not installed."""
    lack(monkeypatch, "storehop")
    script = tmp_path / "addon" / "entry.py"
    script.parent.mkdir()
    script.write_text(ENTRY.read_text())

    assert [] == loaded(script).addons
    assert f"Try `pipx inject mitmproxy storehop`, or `{sys.executable} -m pip install storehop`." in said(caplog)


def test_an_old_mitmproxy_is_named(monkeypatch, caplog):
    """With its version, and the one that is needed."""
    monkeypatch.setattr("mitmproxy.version.VERSION", "11.0.2")

    assert [] == loaded().addons
    assert "it needs mitmproxy 12.2 or newer, and this is 11.0.2. Try `pipx inject" in said(caplog)


def test_a_standalone_binary_can_not_be_helped(monkeypatch, caplog):
    """It takes no libraries, so another mitmproxy is needed first."""
    lack(monkeypatch, "http_sf")
    monkeypatch.setattr(sys, "frozen", True, raising=False)

    assert [] == loaded().addons
    assert f"Try `pipx install --force --python python3.13 mitmproxy`, then {PIPX}." in said(caplog)


def test_a_fault_of_our_own_is_not_hidden(monkeypatch):
    """A module of ours that is missing is nothing that anybody could install: the traceback says more."""
    lack(monkeypatch, "storehop.host.clicks")

    with pytest.raises(ImportError, match=r"storehop\.host\.clicks"):
        loaded()


@pytest.mark.process
def test_mitmdump_ends_with_the_sentence(tmp_path):
    """Without a traceback, and with exit code 1."""
    (tmp_path / "http_sf.py").write_text("raise ModuleNotFoundError(\"No module named 'http_sf'\", name='http_sf')")
    command = [Path(sys.executable).with_name("mitmdump"), "-s", ENTRY, "-p", "0", "--set", f"confdir={tmp_path}"]
    ran = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert (1, False) == (ran.returncode, "Traceback" in ran.stdout + ran.stderr)
    assert f"storehop can't run in this mitmproxy: No module named 'http_sf'. Try {PIPX}" in ran.stdout


@pytest.mark.process
def test_an_old_python_can_read_it(tmp_path):
    """It says which Python is needed, where our own modules would be a SyntaxError."""
    (tmp_path / "mitmproxy").mkdir()
    (tmp_path / "mitmproxy" / "version.py").write_text('VERSION = "11.0.2"')
    command = [old_python(), "-S", ENTRY]
    ran = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)

    expected = "storehop can't run in this mitmproxy: it needs Python 3.12 or newer, and this is 3."
    assert (0, expected) == (ran.returncode, ran.stderr[: len(expected)])


def old_python():
    """One from before 3.12, of Debian or pyenv."""
    versions = [Path("/usr/bin/python3.11"), *Path.home().glob(".pyenv/versions/3.[89].*/bin/python")]
    found = [path for path in (*versions, *Path.home().glob(".pyenv/versions/3.1[01].*/bin/python")) if path.exists()]
    return found[0] if found else missing("needs a Python 3.8 to 3.11")
