"""mitmweb's page in front of a reverse proxy: without the addons that would meddle with its traffic, and with ours."""

import pytest
from mitmproxy.options import Options

from storehop.host.runner import _with_page
from storehop.host.tls.addon import Tls


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mitmweb's libraries warn
async def test_the_page_has_our_tls_and_no_authority(tmp_path):
    """Its own addon for TLS would make one; the one against HTTP/2 would warn of each client that begins so."""
    master = _with_page(Options(confdir=str(tmp_path)), Tls(None))
    found = [name for name in ("tls", "tlsconfig", "disableh2c", "scriptloader") if master.addons.get(name)]

    assert (["tls"], []) == (found, list(tmp_path.iterdir()))
