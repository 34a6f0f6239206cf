"""In place of mitmproxy's addon for TLS: clients get our certificates or none, and no authority is ever made.

mitmproxy's makes an authority's files in the state folder when it starts, whether anybody speaks TLS or not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from mitmproxy.addonmanager import Loader
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.tls import TlsData
from OpenSSL import SSL
from prometheus_client.registry import Collector

from storehop.host.tls.live import LiveCertificates
from storehop.host.tls.places import CertificatesError
from storehop.observe.seldom import Seldom, since_last
from storehop.serving import CannotServeError

logger = logging.getLogger(__name__)


class Tls:
    """With clients TLS is ours; with the upstream it is mitmproxy's."""

    def __init__(self, certificates: LiveCertificates | None) -> None:
        """None: no client speaks TLS."""
        self._certificates = certificates
        self._upstream = TlsConfig()
        self._failed = Seldom(time.monotonic)

    @classmethod
    def of(cls, names: Sequence[str] | None) -> Tls:
        """What `--tls-cert` says. Raises CannotServeError."""
        try:
            return cls(LiveCertificates(names) if names else None)
        except CertificatesError as error:
            raise CannotServeError(str(error)) from error

    @property
    def is_spoken(self) -> bool:
        """Whether clients speak TLS."""
        return self._certificates is not None

    @property
    def metrics(self) -> Sequence[Collector]:
        """What /metrics shows of the certificates."""
        return [self._certificates.expiry] if self._certificates else []

    def load(self, loader: Loader) -> None:
        self._upstream.load(loader)

    def running(self) -> None:
        if self._certificates:
            self._certificates.watch()

    def done(self) -> None:
        if self._certificates:
            self._certificates.stop()

    def reload(self) -> None:
        """Reads the certificates again, now."""
        if self._certificates:
            self._certificates.reload()

    def tls_start_client(self, tls_start: TlsData) -> None:
        if self._certificates is None:
            return
        certificate = self._certificates.current.for_name(tls_start.conn.sni)
        tls_start.ssl_conn = connection = SSL.Connection(certificate.context)
        connection.set_accept_state()

    def tls_start_server(self, tls_start: TlsData) -> None:
        self._upstream.tls_start_server(tls_start)

    def tls_failed_client(self, tls_start: TlsData) -> None:
        """Anybody may cause that at any rate, so it is said seldom: a certificate that no client likes must be seen."""
        if count := self._failed.count():
            # Advice for debugging proxies comes behind a full stop, a client's bytes behind a colon.
            why = (tls_start.conn.error or "").partition(". ")[0].partition(": ")[0]
            logger.info("a TLS handshake failed: %s%s", why, since_last(count))
