"""Values that say nothing: never filled in, empty, zeroed (design §3.2).

An ad stack fills templates such as `clickid={clickid}`. A macro that it leaves unfilled is the same text for every
click: no id, no address and no User-Agent. The forms come from the networks' documentation and from links in the
wild; tests/decide/unfilled.yaml has them with their sources. None of the forms may match a real value.
"""

from __future__ import annotations

import hashlib
import re

_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_NAME = r"[A-Za-z][A-Za-z0-9_.]*"

_ANYWHERE = re.compile(
    rf'\{{(?!{_UUID}\}})[^{{}}"]*\}}'  # {x}, and with it ${x}, {{x}} and %%{x}; no GUID, no JSON
    r'|<[^<>"]*>'  # <x>, and with it <<x>>
    r"|\$\([^()$]*\)"
    r"|%%[^%]+%%"
)
"""Forms that no real value contains."""
_WHOLE = re.compile(rf'\[[^"]*\]|#.*#|\$\$.+\$\$|%{_NAME}%|@{_NAME}@|__{_NAME}__|--{_NAME}--', re.DOTALL)
"""Forms that a real value may contain, but never is as a whole."""
_OPENINGS = ("[", "#", "$$", "%", "@", "__", "--")
"""The beginnings of the forms in `_WHOLE`."""
_BINARY = re.compile(r"[\x00-\x1f\x7f\ufffd]")
"""Characters that random bytes decode to. No macro has them."""
_WORDS = frozenset({"null", "(null)", "undefined", "none", "nil", "nan"})
"""Words that programs write for a value that is missing, lower case."""
_PERCENT_MACRO = re.compile(rf"%%[^%]+%%|(?:\A|_)%{_NAME}%\Z")

_NO_MACRO = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
"""What most values are. None of the forms above begins like this and has such characters only."""

_ZEROS = re.compile(r"[0-]{8,}")  # fewer could be a sub id
_ZERO_ID = b"00000000-0000-0000-0000-000000000000"
_HASHES_OF_NOTHING = frozenset(
    hash_(text, usedforsecurity=False).hexdigest() for hash_ in (hashlib.sha1, hashlib.md5) for text in (b"", _ZERO_ID)
)
_NOTHING = _WORDS | _HASHES_OF_NOTHING


def is_unfilled(value: str) -> bool:
    """Whether nobody filled this value in. `value` is decoded, see `link.decoded`."""
    text = value.strip()
    return text.lower() in _WORDS or _is_macro(text)


def _is_macro(text: str) -> bool:
    if _NO_MACRO.fullmatch(text):
        return False
    has_form = _WHOLE.fullmatch(text) is not None or _ANYWHERE.search(text) is not None
    return has_form and _BINARY.search(text) is None


def is_absent(value: str) -> bool:
    """Whether this value says nothing: it is empty, a zeroed id or the hash of one, or nobody filled it in."""
    text = value.strip()
    return not text or text.lower() in _NOTHING or _ZEROS.fullmatch(text) is not None or _is_macro(text)


def is_unfilled_referrer(value: str) -> bool:
    """As `is_unfilled`, for a referrer token PARTNER_TRANSACTION: the transaction must be filled in."""
    return is_unfilled(value) or any(is_absent(part) for part in _transactions(value))


def _transactions(referrer: str) -> list[str]:
    """The text behind the last `_`, and behind each `_` with which a macro begins: its name may hold a `_` too."""
    starts = [referrer.rfind("_"), *(referrer.find(f"_{opening}") for opening in _OPENINGS)]
    return [referrer[start + 1 :] for start in starts if start >= 0]


def is_percent_macro(raw: str) -> bool:
    """Whether a value as written holds a macro between percent signs: the `%AD` in `%%AD_ID%%` is no percent-code."""
    return ("%%" in raw or raw.endswith("%")) and _PERCENT_MACRO.search(raw) is not None
