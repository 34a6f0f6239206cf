"""What `--tls-cert` may name: files, pairs and folders, with every fault at once."""

import os

import pytest

from storehop.host.tls.places import CertificatesError, certificates_of, look
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path):
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority.make(folder)


def names(*said):
    return [one.names for one in certificates_of(look([str(one) for one in said]))]


def faults(*said):
    with pytest.raises(CertificatesError) as caught:
        certificates_of(look([str(one) for one in said]))
    return str(caught.value).splitlines()


def test_files_are_read_in_their_order(authority):
    """The first is the one for clients that name nobody we know."""
    one, other = authority.sign("b.example"), authority.sign("a.example")

    assert [("b.example",), ("a.example",)] == names(one, other)


def test_a_pair_is_chain_and_key(authority, tmp_path):
    """As Kubernetes and certbot keep them."""
    pem = authority.sign("a.example").read_bytes()
    at = pem.index(b"-----BEGIN PRIVATE")
    (tmp_path / "tls.crt").write_bytes(pem[:at])
    (tmp_path / "tls.key").write_bytes(pem[at:])

    assert [("a.example",)] == names(f"{tmp_path}/tls.crt:{tmp_path}/tls.key")


def test_a_name_with_a_colon_is_a_file_where_there_is_one(authority, tmp_path):
    """What lies there comes first."""
    assert [("a.example",)] == names(authority.sign("a.example", file=tmp_path / "a:443.pem"))


def test_a_folder_is_its_pem_files_by_name(authority, tmp_path):
    """Others, and hidden ones, are nobody's business."""
    folder = tmp_path / "tls"
    folder.mkdir()
    for name in ("b", "a"):
        authority.sign(f"{name}.example", file=folder / f"{name}.pem")
    (folder / "README").write_text("hello")
    (folder / ".c.pem").write_text("hello")

    assert [("a.example",), ("b.example",)] == names(folder)


def test_every_fault_is_said(authority, tmp_path):
    """A line each, with its file."""
    good, bad, empty = authority.sign("a.example"), tmp_path / "bad.pem", tmp_path / "empty"
    bad.write_text("hello")
    empty.mkdir()
    expected = "expected PEM with certificate chain and key"

    assert [
        f"{bad}: {expected}",
        f"{empty}: {expected}: there is no *.pem in this folder",
        f"{tmp_path}/none: {expected}: cannot be read: No such file or directory",
    ] == faults(good, bad, empty, tmp_path / "none")


def test_a_pipe_is_not_waited_for(tmp_path):
    """It would never end."""
    os.mkfifo(tmp_path / "pipe.pem")

    (fault,) = faults(tmp_path / "pipe.pem")

    assert fault.startswith(f"{tmp_path}/pipe.pem: expected PEM with certificate chain and key: is no regular file")


def test_looks_are_equal_while_nothing_changes(authority, tmp_path):
    """A touch is no change; other bytes are."""
    file = authority.sign("a.example")
    before = look([str(file)])
    os.utime(file, (1, 1))
    touched = look([str(file)])
    authority.sign("a.example")

    assert (True, False) == (before == touched, before == look([str(file)]))
