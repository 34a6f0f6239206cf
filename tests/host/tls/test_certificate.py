"""One certificate as PEM: what can be served, and the sentence that says why another can't."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL

from storehop.host.tls.certificate import CertificateError, Place, read
from tests.support.certificates import Authority

FILE = Place(Path("/tls/site.pem"), Path("/tls/site.pem"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pem(authority):
    return authority.sign("ads.example", "*.ads.example").read_bytes()


def key_pem(key, form=PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def self_signed(key, *, common_name="self.example", extensions=()):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=90))
    for one in extensions:
        builder = builder.add_extension(one, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def parts(pem):
    """(certificate, key) of a PEM that has both."""
    at = pem.index(b"-----BEGIN PRIVATE")
    return pem[:at], pem[at:]


def test_a_file_with_both_can_be_served(pem, authority):
    """Its names, and when it expires."""
    certificate = read(FILE, pem, pem)

    assert ("ads.example", "*.ads.example") == certificate.names
    assert timedelta(hours=23).total_seconds() < certificate.expires - datetime.now(UTC).timestamp() < 86_401


def test_the_order_in_the_file_is_free(pem, authority):
    """Key first, and text around, as openssl and some authorities write them."""
    certificate, key = parts(pem)
    chain = authority.ca.read_bytes()

    assert ("ads.example", "*.ads.example") == read(FILE, *[b"Bag Attributes\n" + key + certificate + chain] * 2).names


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)], ids=["EC", "RSA"]
)
def test_keys_of_both_kinds_and_forms(key, form):
    """What authorities hand out today, and what openssl wrote for decades."""
    pem = self_signed(key) + key_pem(key, form)

    assert ("self.example",) == read(FILE, pem, pem).names


def test_ec_parameters_before_the_key_are_skipped():
    """`openssl ecparam -genkey` writes them."""
    key = ec.generate_private_key(ec.SECP256R1())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = parameters + key_pem(key, PrivateFormat.TraditionalOpenSSL) + self_signed(key)

    assert ("self.example",) == read(FILE, pem, pem).names


def test_an_authoritys_own_certificate_can_be_served():
    """A self-signed one that may sign others, as `openssl req -x509` makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = self_signed(key, extensions=[x509.BasicConstraints(ca=True, path_length=None)]) + key_pem(key)

    assert ("self.example",) == read(FILE, pem, pem).names


def test_the_first_of_the_chain_to_expire_counts(authority):
    """The authority's lasts a day."""
    pem = authority.sign("long.example", lifetime=timedelta(days=90)).read_bytes() + authority.ca.read_bytes()

    assert read(FILE, pem, pem).expires - datetime.now(UTC).timestamp() < 86_401


def test_an_expired_one_can_be_served(authority):
    """Better than no service: there is a warning."""
    pem = authority.sign("old.example", lifetime=timedelta(days=-1)).read_bytes()

    assert read(FILE, pem, pem).expires < datetime.now(UTC).timestamp()


def faulty(pem, authority):
    certificate, key = parts(pem)
    other = ec.generate_private_key(ec.SECP256R1())
    weak = rsa.generate_private_key(65537, 1024)
    expected = "expected PEM with certificate chain and key"
    return {
        "nothing": (b"", expected),
        "text": (b"hello", expected),
        "no certificate": (key, f"{expected}: there is no certificate in it"),
        "a broken certificate": (certificate.replace(b"MII", b"AAA") + key, f"{expected}: a certificate is broken"),
        "no key": (
            certificate,
            f"{expected}: there is no private key in it; put both in one file, or name two files as CHAIN:KEY",
        ),
        "a broken key": (
            certificate + key.replace(b"MIG", b"AAA"),
            "its private key is broken or of a kind that we do not know",
        ),
        "a passphrase": (
            certificate + key_pem(other, encryption=BestAvailableEncryption(b"secret")),
            "its private key has a passphrase, which nobody could type in: expected a key without one",
        ),
        "an old passphrase": (
            certificate
            + key_pem(other, PrivateFormat.TraditionalOpenSSL, encryption=BestAvailableEncryption(b"secret")),
            "its private key has a passphrase, which nobody could type in: expected a key without one",
        ),
        "another's key": (certificate + key_pem(other), "its private key is that of another certificate"),
        "authority first": (
            authority.ca.read_bytes() + pem,
            "its private key is not that of the first certificate: expected the server's own certificate first",
        ),
        "a weak key": (self_signed(weak) + key_pem(weak), "OpenSSL refuses it: ee key too small"),
    }


CASES = [
    "nothing",
    "text",
    "no certificate",
    "a broken certificate",
    "no key",
    "a broken key",
    "a passphrase",
    "an old passphrase",
    "another's key",
    "authority first",
    "a weak key",
]


@pytest.mark.parametrize("case", CASES)
def test_what_can_not_be_served_says_why(pem, authority, case):
    """In one sentence that begins with the file."""
    bad, why = faulty(pem, authority)[case]

    with pytest.raises(CertificateError, match=rf"^/tls/site\.pem: {re.escape(why)}$"):
        read(FILE, bad, bad)


def test_two_files_are_named_as_a_pair(pem):
    """As the option has them."""
    certificate, _ = parts(pem)
    pair = Place(Path("/tls/tls.crt"), Path("/tls/tls.key"))

    with pytest.raises(CertificateError, match=r"^/tls/tls\.crt:/tls/tls\.key: "):
        read(pair, certificate, b"")


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_old_versions_of_tls_are_refused(pem, version):
    """TLS 1.2 is the oldest (RFC 8996)."""
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_cipher_list(b"ALL:@SECLEVEL=0")
    client_context.set_min_proto_version(SSL.TLS1_VERSION)
    client_context.set_max_proto_version(version)
    client, server = SSL.Connection(client_context), SSL.Connection(read(FILE, pem, pem).context)
    client.set_connect_state()
    server.set_accept_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    server.bio_write(client.bio_read(65535))

    with pytest.raises(SSL.Error, match="unsupported protocol"):
        server.do_handshake()
