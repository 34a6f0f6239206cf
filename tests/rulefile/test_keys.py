"""Keys that storehop does not know: what was meant by them (design §4)."""

import pytest

from storehop.rulefile import read
from storehop.rulefile.keys import _ALSO_CALLED, _SECTIONS

RULE = "version: 1\npartner: A\nrules:\n  - name: games\n    match: {}\n"
MATCH = "version: 1\npartner: A\nrules:\n  - name: games\n    match:\n      "


@pytest.fixture
def said(tmp_path):
    def said(text):
        (tmp_path / "rules.yaml").write_text(text)
        (fault,) = read(tmp_path / "rules.yaml").faults
        return fault.message.partition("unknown key")[2]

    return said


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"{MATCH}app_id: com.a.b", ": did you mean app?"),
        (f"{MATCH}bundle_id: com.a.b", ": did you mean app?"),
        (f"{MATCH}package: com.a.b", ": did you mean app?"),
        (f"{MATCH}apps: [com.a.b]", ": did you mean app?"),
        (f"{MATCH}appp: com.a.b", ": did you mean app?"),
        (f"{MATCH}media_source: x", ": did you mean pid?"),
        (f"{MATCH}os: ios", ": did you mean platform?"),
        (f"{MATCH}App: com.a.b", ": did you mean app?"),
        (f"{MATCH}country: us", " here: it stands in a rule, beside its name"),
        (f"{RULE}    percentage: 5", ": did you mean percent?"),
        (f"{RULE}    enabled: false", ": did you mean mode: off?"),
        (f"{RULE}    deep-links: store", ": did you mean deep_links?"),
        (f"{RULE}    url: x", ": did you mean store_url?"),
        (f"{RULE}    app: com.a.b", " here: it stands under match"),
        (f"{RULE}    pid: x", " here: it stands under match"),
        (f"{RULE}trusted_proxies: []", " here: it stands under client_ip"),
        (f"{RULE}timeout: 5s", " here: it stands under delivery"),
        (f"{RULE}mode: off", " here: it stands in a rule, beside its name"),
        (f"{RULE}proxies: []", ": did you mean client_ip?"),
        (f"{RULE}prefix: A", ": did you mean partner?"),
        (f"{RULE}parnter: A", ": did you mean partner?"),
    ],
)
def test_what_was_meant(said, text, meant):
    """A key that people write for another, that is misspelt, or that stands in the wrong place."""
    assert meant == said(text)


def test_every_other_name_is_for_a_key():
    """The table names keys that there are, and no other name is a key of the same section."""
    keys = {key for section in _SECTIONS.values() for key in section.model_fields}

    assert {name.partition(":")[0] for name in _ALSO_CALLED} <= keys
