"""TLS with clients is ours: by our certificates, or not at all."""

import logging

from mitmproxy.proxy.layers.tls import TlsData
from mitmproxy.test import taddons

from storehop.host.tls.addon import Tls
from storehop.host.tls.live import LiveCertificates
from tests.support.certificates import Authority
from tests.support.wires import context

NAMES = ("first.example", "second.example")


def beginning(sni=None):
    """The start of a handshake with a client that asks for this name."""
    made = context()
    made.client.sni = sni
    return TlsData(made.client, made)


def test_no_certificate_means_no_tls(tmp_path):
    """Mitmproxy's own addon would make an authority; this one makes no file either."""
    data = beginning()
    with taddons.context(Tls(None), loadcore=False) as host:
        host.options.confdir = str(tmp_path)
        host.master.addons.get("tls").tls_start_client(data)

    assert (None, []) == (data.ssl_conn, list(tmp_path.iterdir()))


def test_a_client_gets_the_certificate_of_its_name(tmp_path):
    """Each has a context of its own, made once."""
    authority = Authority.make(tmp_path)
    certificates = LiveCertificates([str(authority.sign(name)) for name in NAMES])
    tls = Tls(certificates)
    second, none = beginning("second.example"), beginning()
    tls.tls_start_client(second)
    tls.tls_start_client(none)

    assert [1, 0] == [
        [one.context for one in certificates.current.certificates].index(data.ssl_conn.get_context())
        for data in (second, none)
    ]


def test_failed_handshakes_are_said_once_a_minute(caplog):
    """Anybody can cause them."""
    caplog.set_level(logging.INFO)
    data = beginning()
    data.conn.error = "unknown ca. You may need to install mitmproxy's."
    tls = Tls(None)
    for _ in range(3):
        tls.tls_failed_client(data)

    assert ["a TLS handshake failed: unknown ca"] == caplog.messages
