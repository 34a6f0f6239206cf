"""What rows hold."""

import json

from hypothesis import given
from hypothesis import strategies as st

from storehop.deliver.sqlite.statements import headers_text
from storehop.model import S2SCall

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_headers_are_stored_as_json(headers):
    """Any version reads them, and the text is the one that was always written."""
    call = S2SCall("c1", "https://af.test", "/", tuple(headers))

    assert json.dumps(headers, ensure_ascii=False) == headers_text(call)
