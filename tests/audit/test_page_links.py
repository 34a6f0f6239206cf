"""Where pages lead on their own: tables of what is seen in the wild."""

import gzip
import sys
import zlib
from functools import partial

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.audit import pages
from storehop.audit.pages import MAX_PAGE_BYTES, link_of_answer, link_of_page, link_of_refresh

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOUNDED = pytest.mark.skipif(not pages.CAN_BOUND_BROTLI, reason="this Brotli decodes to the end")
LINK = "https://app.appsflyer.com/com.example.game?pid=x&c=1"
ESCAPED = LINK.replace("&", "&amp;")


@pytest.mark.parametrize(
    "value",
    [
        f"0; url={LINK}",
        f"0;URL={LINK}",
        f"0;url='{LINK}'",
        f'0; URL = "{LINK}"; more',
        f"0, url={LINK}",
        f"0;{LINK}",
        f"0 {LINK}",
        f"3.5;url={LINK}",
        f"; url={LINK}",
        f"  0 ;\turl= {LINK} ",
    ],
)
def test_a_refresh_leads_to_its_url(value):
    """Browsers are as lenient (HTML, "shared declarative refresh steps")."""
    assert LINK == link_of_refresh(value)


@pytest.mark.parametrize("value", ["", "5", "0; url=/next", "0; url=javascript:x()", "0;url=", "0; url=market://x"])
def test_a_refresh_of_the_page_or_its_site_leads_nowhere(value):
    """No http(s) URL of another host."""
    assert link_of_refresh(value) is None


@pytest.mark.parametrize(
    "page",
    [
        f'<meta http-equiv="refresh" content="0; url={ESCAPED}">',
        f"<META HTTP-EQUIV=Refresh CONTENT='0;URL={ESCAPED}' />",
        f'<meta content="0;url=&#39;{ESCAPED}&#39;" http-equiv="refresh">',
        f'<noscript><meta http-equiv = "refresh"\n content="1;{ESCAPED}"></noscript>',
        f'<script>window.location = "{LINK}";</script>',
        f"<script>window.location.href='{LINK}'</script>",
        f'<script>top.location.href = "{LINK}"</script>',
        f"<body onload=\"document.location='{LINK}'\">",
        f'<script>location.replace("{LINK}")</script>',
        f"<script>self.location.assign( '{LINK}' )</script>",
        f"<script>setTimeout(function () {{ location = `{LINK}` }}, 50)</script>",
        f'<script>window.open("{LINK}", "_self")</script>',
        "<script>location.href = '{}'</script>".format(LINK.replace("/", "\\/")),
        '<script>location.href = "{}"</script>'.format(LINK.replace("&", "\\u0026").replace("=", "\\x3d")),
        f'<script>location = "{LINK.removeprefix("https:")}"</script>',
        f'<script>if (x) location = "https://example.com/"; else location = "{LINK}"</script>',
        f'<script>location.href = "intent://x"; setTimeout(() => {{ location.href = "{LINK}" }}, 25)</script>',
    ],
)
def test_a_page_leads_to_its_link(page):
    """By meta refresh and by script; of several links to AppsFlyer's."""
    assert LINK == link_of_page(f"<!doctype html><title>one moment</title>{page}")


@pytest.mark.parametrize(
    "page",
    [
        "",
        f'<a href="{LINK}">install</a>',
        f'<meta property="og:url" content="{LINK}">',
        f'<meta name="refresh" content="0;url={LINK}">',
        f'<script>if (location == "{LINK}") x()</script>',
        f'<script>var allocation = "{LINK}"</script>',
        '<script>location.href = "/next"</script>',
        "<script>location.reload()</script>",
        f'<script>location.href = "javascript:{LINK}"</script>',
    ],
)
def test_other_pages_lead_nowhere(page):
    """Links that a person has to click, comparisons, and ways within the site."""
    assert link_of_page(page) is None


def test_a_link_of_another_host_is_said_too():
    """Rules may know it as a branded domain."""
    assert "https://go.brand.example/AbC1?x=1" == link_of_page(
        '<script>location = "https://go.brand.example/AbC1?x=1"</script>'
    )


PAGE = f'<meta http-equiv="refresh" content="0; url={ESCAPED}">'.encode()
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("", PAGE),
        ("identity", PAGE),
        ("gzip", gzip.compress(PAGE, mtime=0)),
        ("GZIP ", gzip.compress(PAGE, mtime=0)),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", RAW.compress(PAGE) + RAW.flush()),
        pytest.param("br", brotli.compress(PAGE), marks=BOUNDED),
        ("zstd", zstd.compress(PAGE)),
    ],
)
def test_a_coded_body_is_decoded(coding, body):
    """All codings that browsers ask for."""
    assert LINK == link_of_answer("text/html;charset=utf-8", coding, body)


def test_a_page_that_nobody_can_bound_is_not_looked_at(monkeypatch):
    """With the Brotli of mitmproxy 12.2."""
    monkeypatch.setattr(pages, "CAN_BOUND_BROTLI", False)

    assert link_of_answer("text/html", "br", brotli.compress(PAGE)) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_broken_body_leads_nowhere(coding):
    """It is no error."""
    assert link_of_answer("text/html", coding, b"\x00no such thing") is None


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        pytest.param("br", partial(brotli.compress, quality=5), marks=BOUNDED),
        ("zstd", zstd.compress),
    ],
)
def test_a_bomb_is_decoded_in_part(coding, compress):
    """Its beginning is enough."""
    body = compress(PAGE + bytes(50 * 2**20))

    assert LINK == link_of_answer("text/html", coding, body)


def test_other_kinds_are_not_looked_at():
    """A script's own file leads nobody anywhere."""
    assert link_of_answer("application/javascript", "", PAGE) is None


def test_the_beginning_of_a_page_is_looked_at():
    """A redirect page is small."""
    assert link_of_page(" " * MAX_PAGE_BYTES + PAGE.decode()) is None


@given(
    st.text(max_size=200), st.sampled_from(["location='", 'content="', "<meta ", "window.open(`"]), st.text(max_size=50)
)
def test_any_text_is_a_page(before, start, after):
    """A URL comes of it, or nothing."""
    for link in (link_of_page(before + start + after), link_of_refresh(before)):
        assert link is None or link.lower().startswith(("http://", "https://"))
