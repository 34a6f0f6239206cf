"""Files that come with storehop: found in a checkout and in a wheel."""

import pytest

from storehop import assets


@pytest.mark.parametrize("name", assets.ASSETS)
def test_every_asset_is_there(name):
    """Every file that storehop says it ships is there."""
    assert assets.asset(name).is_file()


@pytest.mark.parametrize("name", ["nothing.txt", "README.md", "/etc/hosts", "../pyproject.toml", ""])
def test_another_name_is_no_asset(name):
    """A file that does not come with storehop is refused, with the names of those that do."""
    with pytest.raises(FileNotFoundError, match=r"expected one of entry\.py, rules/storehop\.yaml"):
        assets.asset(name)


def test_a_wheels_own_copy_comes_first(monkeypatch, tmp_path):
    """Files inside the package go before a checkout's, so that a wheel never reads a stranger's folder."""
    homes = [tmp_path / "package", tmp_path / "checkout"]
    for home in homes:
        home.mkdir()
        (home / "entry.py").touch()
    monkeypatch.setattr(assets, "_HOMES", tuple(homes))

    assert homes[0] / "entry.py" == assets.asset("entry.py")
