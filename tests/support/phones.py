"""What Chrome on an Android phone sends: its click, and the retry with client hints that it is asked for."""

from __future__ import annotations

from tests.support.clients import Answer

REDUCED = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36"
)
FIRST = {
    "user_agent": REDUCED,
    "x_forwarded_proto": "https",
    "sec_ch_ua": '"Chromium";v="139", "Not)A;Brand";v="99"',
    "sec_fetch_dest": "document",
}
"""What Chrome sends to an origin that it does not know: the low-entropy hints alone."""
RETRY = {**FIRST, "sec_ch_ua_model": '"SM-S918B"', "sec_ch_ua_platform_version": '"15.0.0"'}
HINTS = "Sec-CH-UA-Model, Sec-CH-UA-Platform-Version"


def cookies(answer: Answer) -> dict[str, str]:
    """The Cookie that a browser sends that has had this answer."""
    crumbs = [line.partition(";")[0] for line in answer.all("Set-Cookie")]
    return {"cookie": "; ".join(["session=secret", *crumbs])}
