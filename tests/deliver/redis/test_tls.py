"""TLS, users and passwords: right, wrong, and mended while we run; no text tells a credential."""

from __future__ import annotations

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.deliver.engines import SharedOutbox, engine_for
from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Credentials, Place
from storehop.settings import Delivery
from tests.deliver.conformance.steps import accept, is_refused, one
from tests.support.certificates import Authority
from tests.support.patience import SOON_S, wait_until
from tests.support.processes import free_port
from tests.support.redis_servers import RedisServer
from tests.support.sentinels import RedisSet

pytestmark = pytest.mark.process
SECRET = "open-sesame"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("tls"))


class TlsServer(RedisServer):
    """Speaks TLS on a second port; the tests use the other one. Debian's: the wheel's is built without TLS."""

    def __init__(self, authority: Authority, name: str) -> None:
        pem = authority.sign(name, file=authority.folder / f"{name}.pem")
        self.tls_port = free_port()
        files = {"tls_cert_file": pem, "tls_key_file": pem, "tls_ca_cert_file": authority.ca}
        super().__init__(tls_port=self.tls_port, tls_auth_clients="no", **files)


def url_of(server, authority, host="localhost"):
    return f"rediss://{host}:{server.tls_port}?ca_file={authority.ca}"


def fault_of(engine):
    with pytest.raises(EngineError) as caught:
        engine.run([op.Probe()])
    return str(caught.value)


def heals(engine):
    wait_until(lambda: not is_refused(engine, op.Probe()), SOON_S, "that it heals")
    return one(engine, accept("c1")).call.id == "c1"


def test_a_private_authority_is_trusted_when_it_is_named(engine_at, authority):
    """By ?ca_file=."""
    with TlsServer(authority, "localhost") as server:
        assert heals(engine_at(url_of(server, authority)))


def test_an_unknown_authority_is_not_trusted(engine_at, authority, tmp_path):
    """Nor is one that is not named."""
    other = Authority.make(tmp_path)
    with TlsServer(authority, "localhost") as server:
        for url in (url_of(server, other), f"rediss://localhost:{server.tls_port}"):
            assert "CERTIFICATE_VERIFY_FAILED" in fault_of(engine_at(url)).upper().replace(" ", "_")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("none.pem", None, "No such file or directory"), ("note.pem", "no certificate", "no certificate or crl found")],
)
def test_a_file_of_authorities_that_can_not_be_read_is_named(engine_at, authority, tmp_path, name, text, said):
    """It is no fault of the server's."""
    file = tmp_path / name
    if text:
        file.write_text(text)
    with TlsServer(authority, "localhost") as server:
        fault = fault_of(engine_at(f"rediss://localhost:{server.tls_port}?ca_file={file}"))

    assert (True, True) == (fault.startswith(f"{file}: "), said in fault)


def test_another_server_s_certificate_is_not_trusted(engine_at, authority):
    """It is of another name."""
    with TlsServer(authority, "elsewhere.test") as server:
        assert "localhost" in fault_of(engine_at(url_of(server, authority)))


def test_who_speaks_no_tls_is_told(engine_at, authority):
    """Either side; at once, not after a while."""
    with TlsServer(authority, "localhost") as server:
        plain = fault_of(engine_at(f"redis://localhost:{server.tls_port}"))
        tls = fault_of(engine_at(f"rediss://localhost:{server.port}"))

    assert all(f":{port}: " in said for port, said in ((server.tls_port, plain), (server.port, tls)))


def test_an_authority_s_file_may_come_later(engine_at, authority, tmp_path):
    """A mounted secret: it is told that it is not there, and it heals."""
    file = tmp_path / "ca.pem"
    with TlsServer(authority, "localhost") as server:
        engine = engine_at(f"rediss://localhost:{server.tls_port}?ca_file={file}")
        said = fault_of(engine)
        file.write_bytes(authority.ca.read_bytes())

        assert ("No such file" in said, heals(engine)) == (True, True)


def test_a_renewed_certificate_is_taken(engine_at, authority):
    """The server gets the right one while we run."""
    with TlsServer(authority, "elsewhere.test") as server:
        engine = engine_at(url_of(server, authority))
        fault_of(engine)
        pem = authority.sign("localhost", file=authority.folder / "renewed.pem")
        server.client().config_set("tls-cert-file", str(pem), "tls-key-file", str(pem))

        assert heals(engine)


# users and passwords


@pytest.fixture
def server():
    with RedisServer() as made:
        yield made


def allow(server, **user):
    """A user who may do what the script does."""
    rights = ["on", "resetkeys", "~{*", "-@all", "+@read", "+@write", "+@scripting", "+@connection"]
    rights += ["+wait", "+role", "+info", "+config|get", "+time", "resetpass", f">{user['password']}"]
    server.client().execute_command("ACL", "SETUSER", user["name"], *rights)


def test_a_user_with_few_rights_is_enough(engine_at, server):
    """As the manual lists them."""
    allow(server, name="hop", password=SECRET)

    assert heals(engine_at(server.url.replace("//", f"//hop:{SECRET}@")))


def test_a_password_may_stand_in_a_file(server, tmp_path, outbox_name):
    """Read when the engine is made."""
    server.config("requirepass", SECRET)
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    shared = SharedOutbox(outbox_name, 0, None, file)
    engine = engine_for(server.url, shared=shared)

    assert heals(engine)
    engine.close()


@pytest.mark.parametrize("user", ["", "hop"])
def test_a_wrong_password_is_told_without_it_and_heals(engine_at, server, user):
    """When the server gets the right one."""
    server.config("requirepass", "another")
    engine = engine_at(server.url.replace("//", f"//{user}:{SECRET}@"))
    said = fault_of(engine)
    own = server.client(password="another")
    own.config_set("requirepass", SECRET)
    own.execute_command("ACL", "SETUSER", "hop", "on", "+@all", "~*", f">{SECRET}")

    assert ("expected the outbox's user and password" in said, SECRET in said + str(engine.where)) == (True, False)
    assert heals(engine)


def test_sentinels_with_a_password_of_their_own(outbox_name):
    """It is not the servers'; without it, or with a wrong one, people are told, without it."""
    settings = Delivery(outbox_replicas=1, outbox_name=outbox_name)
    with RedisSet() as servers:
        for sentinel in servers.sentinels:
            sentinel.client().execute_command("ACL", "SETUSER", "default", "resetpass", f">{SECRET}")
        none, wrong, right = (
            RedisEngine(Place.from_url(servers.url, Credentials(sentinel_password=one)), settings)
            for one in (None, "guess", SECRET)
        )
        said = [fault_of(none), fault_of(wrong)]
        works = heals(right)
        right.close()

    assert ([True, True], True) == (["no Sentinel tells" in one and "password" in one for one in said], works)
    assert not any(word in text for word in ("guess", SECRET) for text in said)
