"""What a rule file says of a shared outbox."""

import pytest

from storehop.rulefile.faults import RuleFileError
from storehop.rulefile.load import load
from storehop.settings import Delivery


def loaded(folder, keys):
    file = folder / "rules.yaml"
    file.write_text(f"version: 1\ndelivery: {{{keys}}}\n")
    return load(file)


@pytest.mark.parametrize(
    ("keys", "delivery"),
    [
        ("timeout: 5s", Delivery(outbox_replicas=1, outbox_wait=0.1, outbox_name="storehop")),
        ("outbox_replicas: 0", Delivery(outbox_replicas=0)),
        ("outbox_wait: 250ms", Delivery(outbox_wait=0.25)),
        ("outbox_name: ads-2", Delivery(outbox_name="ads-2")),
    ],
)
def test_what_is_said(tmp_path, keys, delivery):
    """Each key has its setting, and without it a default."""
    assert delivery == loaded(tmp_path, keys).delivery


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("outbox_replicas: 6", "outbox_replicas: expected 5 at the most"),
        ("outbox_replicas: -1", "outbox_replicas: expected 0 or more"),
        ("outbox_wait: 251ms", "outbox_wait: expected a duration from 1ms to 250ms"),
        ("outbox_wait: 0.5ms", "outbox_wait: expected a duration from 1ms to 250ms"),
        ("outbox_wait: soon", "outbox_wait: expected a duration above zero"),
        ("outbox_name: a:b", "outbox_name: expected only A-Z a-z 0-9 _ . -, 1 to 64 characters"),
        ("replicas: 2", "did you mean outbox_replicas?"),
    ],
)
def test_what_cannot_be(tmp_path, keys, expected):
    """It is refused with what was expected."""
    with pytest.raises(RuleFileError, match=expected.replace("?", r"\?")):
        loaded(tmp_path, keys)
