"""What other programs save, told by its first bytes: it can't be read, and people are told what makes it readable."""

from __future__ import annotations

_EXCEL = "is an Excel workbook, or another archive: save it as CSV (UTF-8), or unpack it"
_WAREHOUSE = "export it as CSV or JSON lines"
_ADVICE = (
    (b"\xff\xfe", "is UTF-16; expected UTF-8: iconv -f UTF-16 -t UTF-8 < FILE > NEW"),
    (b"\xfe\xff", "is UTF-16; expected UTF-8: iconv -f UTF-16 -t UTF-8 < FILE > NEW"),
    (b"PK\x03\x04", _EXCEL),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _EXCEL),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it"),
    (b"\xfd7zXZ\0", "is packed by xz: xz -dc FILE | storehop audit -"),
    (b"PAR1\x15", f"is Parquet: {_WAREHOUSE}"),
    (b"Obj\x01", f"is Avro: {_WAREHOUSE}"),
    *((b"BZh%d1AY&SY" % level, "is packed by bzip2: bzip2 -dc FILE | storehop audit -") for level in range(1, 10)),
)
_LOOKED_AT = 64
"""Bytes that tell UTF-16 without a byte order mark: of ASCII every other one is 0."""


def advice_on(head: bytes) -> str:
    """What this is and what to do; empty where it is none of these."""
    for start, advice in _ADVICE:
        if head.startswith(start):
            return advice
    even, odd = head[:_LOOKED_AT:2], head[1:_LOOKED_AT:2]
    for zeros, others, order in ((odd, even, "LE"), (even, odd, "BE")):
        if zeros and not any(zeros) and all(others):
            return f"is UTF-16 without a mark; expected UTF-8: iconv -f UTF-16{order} -t UTF-8 < FILE > NEW"
    return ""
