"""Files that come with storehop: found in a checkout and in a wheel."""

import pytest

from storehop import assets


@pytest.mark.parametrize("name", ["entry.py", "rules/storehop.yaml", "rules/storehop.schema.json", "rules/packaging"])
def test_what_is_shipped_is_there(name):
    """By its name: a file or a folder."""
    assert assets.asset(name).exists()


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("alerts.yaml", "rules/monitoring/alerts.yaml"),
        ("alerts", "rules/monitoring/alerts.yaml"),
        ("Dockerfile", "rules/packaging/Dockerfile"),
        ("packaging", "rules/packaging"),
        ("packaging/README.md", "rules/packaging/README.md"),
    ],
)
def test_the_end_of_a_name_is_enough(short, name):
    """Where it fits one: who looks for a file knows how it is called."""
    assert assets.asset(name) == assets.asset(short)


@pytest.mark.parametrize(
    "name", ["nothing.txt", "/etc/hosts", "../pyproject.toml", "rules/../LICENSE", "", "\0", "addon"]
)
def test_another_name_is_no_asset(name):
    """A file that does not come with storehop is refused, wherever it lies."""
    with pytest.raises(FileNotFoundError, match="does not come with storehop"):
        assets.asset(name)


def test_an_ambiguous_name_is_refused():
    """With all that it may be."""
    with pytest.raises(FileNotFoundError, match=r"may be any of .*rules/README\.md, .*rules/packaging/README\.md"):
        assets.asset("README.md")


def test_a_wheels_own_copy_comes_first(monkeypatch, tmp_path):
    """Files inside the package go before a checkout's, so that a wheel never reads a stranger's folder."""
    homes = [tmp_path / "package", tmp_path / "checkout"]
    for home in homes:
        home.mkdir()
        (home / "entry.py").touch()
    monkeypatch.setattr(assets, "_HOMES", tuple(homes))

    assert homes[0] / "entry.py" == assets.asset("entry.py")
