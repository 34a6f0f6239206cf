"""One certificate: its PEM, checked with a plain sentence for what is wrong, as OpenSSL serves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import PKey

HTTP_ALPNS = (b"h2", b"http/1.1")
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Of TLS 1.2: Mozilla's intermediate ones, without DHE, which takes parameters. TLS 1.3 has its own."""
_KEY = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a certificate lies."""

    chain: Path
    """The server's own certificate first, then those between it and the root."""
    key: Path
    """Mostly the same file."""

    def __str__(self) -> str:
        return str(self.chain) if self.chain == self.key else f"{self.chain}:{self.key}"


class CertificateError(ValueError):
    """What can't be served; the text says why in one sentence, with its place."""

    def __init__(self, place: Place | Path, why: str) -> None:
        super().__init__(f"{place}: {why}")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that can be served."""

    place: Place
    names: tuple[str, ...]
    """Lower case, with `*.` where it is a wildcard."""
    expires: float
    """Unix seconds: the first of the chain to expire."""
    context: SSL.Context


def read(place: Place, chain_pem: bytes, key_pem: bytes) -> Certificate:
    """Checks chain and key, and makes what a handshake takes. Raises CertificateError."""
    chain = _chain(place, chain_pem)
    key = _key(place, key_pem)
    _check_match(place, chain, key)
    try:
        context = _context(chain, key)
    except SSL.Error as error:
        raise CertificateError(place, f"OpenSSL refuses it: {_reason(error)}") from error
    expires = min(one.not_valid_after_utc.timestamp() for one in chain)
    return Certificate(place, _names(chain[0]), expires, context)


def _chain(place: Place, pem: bytes) -> list[x509.Certificate]:
    if b"-----BEGIN" not in pem:
        raise CertificateError(place, "expected PEM with certificate chain and key")
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise CertificateError(place, "expected PEM with certificate chain and key: there is no certificate in it")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(place, "expected PEM with certificate chain and key: a certificate is broken") from error


def _key(place: Place, pem: bytes) -> PrivateKeyTypes:
    found = _KEY.search(pem)
    if found is None:
        raise CertificateError(
            place,
            "expected PEM with certificate chain and key: there is no private key in it; "
            "put both in one file, or name two files as CHAIN:KEY",
        )
    try:
        return load_pem_private_key(found[0], None)
    except TypeError:
        why = "its private key has a passphrase, which nobody could type in: expected a key without one"
        raise CertificateError(place, why) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(place, "its private key is broken or of a kind that we do not know") from error


def _check_match(place: Place, chain: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    public = key.public_key()
    if chain[0].public_key() == public:
        return
    why = "its private key is that of another certificate"
    if any(one.public_key() == public for one in chain):
        why = "its private key is not that of the first certificate: expected the server's own certificate first"
    raise CertificateError(place, why)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names by RFC 9525 §6.3; the subject's where a certificate is so old that it has no others."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        subject = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(one.value).lower() for one in subject)
    return tuple(name.lower() for name in alternatives.get_values_for_type(x509.DNSName))


def _context(chain: list[x509.Certificate], key: PrivateKeyTypes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_cipher_list(_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # clients keep their sessions themselves, as tickets
    context.set_alpn_select_callback(_select_protocol)
    context.use_certificate(chain[0])
    for one in chain[1:]:
        context.add_extra_chain_cert(one)
    context.use_privatekey(cast("PKey", key))  # kinds that it does not know, it refuses
    return context


def _select_protocol(_connection: SSL.Connection, offers: list[bytes]) -> Any:
    """The first that we speak, in the client's order."""
    return next((offer for offer in offers if offer in HTTP_ALPNS), SSL.NO_OVERLAPPING_PROTOCOLS)


def _reason(error: SSL.Error) -> str:
    errors = error.args[0] if error.args else []
    return "; ".join(reason for _, _, reason in errors) or "it does not say why"
