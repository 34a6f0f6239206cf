"""Which engine keeps an outbox."""

import pytest

from storehop.deliver.engines import engine_for
from storehop.deliver.operations import ListCalls
from storehop.settings import Delivery


@pytest.mark.parametrize("prefix", ["", "sqlite://"])
def test_a_path_and_its_url_are_one_file(tmp_path, prefix):
    """The URL's path begins at the root."""
    path = tmp_path / "outbox.db"
    engine = engine_for(f"{prefix}{path}", Delivery())
    engine.run([ListCalls()])
    engine.close()

    assert path.is_file()


def test_whoever_tidies_up_has_no_bound(tmp_path):
    """The rule file says how large the outbox may be, and he does not read it."""
    bounds = [
        engine_for(str(tmp_path / "outbox.db"), delivery)._max_bytes for delivery in (Delivery(max_outbox=1), None)
    ]

    assert [1, None] == bounds


@pytest.mark.parametrize("location", ["postgres://host/name", "sqlite://", ""])
def test_another_url_is_refused(location):
    """With what was expected."""
    with pytest.raises(ValueError, match="expected a path or sqlite:///path"):
        engine_for(location)
