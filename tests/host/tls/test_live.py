"""Certificates of a running process: which client gets which, and what a change does."""

import asyncio
import logging
from contextlib import suppress

import pytest

from storehop.host.tls import live
from storehop.host.tls.live import Choice, LiveCertificates
from storehop.host.tls.places import CertificatesError, certificates_of, look
from tests.support.certificates import Authority
from tests.support.patience import SOON_S


@pytest.fixture
def authority(tmp_path):
    return Authority.make(tmp_path)


@pytest.fixture
async def certificates(authority, monkeypatch, tmp_path):
    """Of one file, looked at all the time."""
    monkeypatch.setattr(live, "LOOK_PAUSE_S", 0.01)
    monkeypatch.setattr(live, "SETTLE_S", 0.01)
    made = LiveCertificates([str(authority.sign("old.example", file=tmp_path / "site.pem"))])
    made.watch()
    yield made
    made.stop()
    with suppress(asyncio.CancelledError):
        await made._watcher


async def names_become(certificates, *wanted):
    async with asyncio.timeout(SOON_S):
        while certificates.current.certificates[0].names != wanted:
            await asyncio.sleep(0.01)


async def said(caplog, wanted):
    async with asyncio.timeout(SOON_S):
        while not any(wanted in message for message in caplog.messages):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("ads.example", "ads.example"),
        ("ADS.example.", "ads.example"),
        ("www.ads.example", "www.ads.example"),
        ("a.ads.example", "*.ads.example"),
        ("a.b.ads.example", "first.example"),
        ("other.example", "first.example"),
        ("", "first.example"),
        (None, "first.example"),
    ],
)
def test_sni_chooses(authority, asked, expected):
    """The exact name, then the wildcard of one label (RFC 9525 §6.3), then the first certificate."""
    names = ["first.example", "*.ads.example", "ads.example", "www.ads.example"]
    files = [str(authority.sign(name)) for name in names]

    assert expected == Choice(certificates_of(look(files))).for_name(asked).names[0]


def test_a_start_needs_good_ones(tmp_path):
    """What is wrong is raised."""
    with pytest.raises(CertificatesError, match="No such file"):
        LiveCertificates([str(tmp_path / "none.pem")])


async def test_a_renewed_one_is_picked_up(certificates, authority, tmp_path, caplog):
    """By itself, with one line."""
    caplog.set_level(logging.INFO)
    authority.sign("new.example", file=tmp_path / "site.pem")
    await names_become(certificates, "new.example")
    await said(caplog, "certificates reloaded: 1, the first of them expires on 2")

    assert 1 == sum("reloaded" in message for message in caplog.messages)


async def test_a_broken_one_is_said_and_the_last_good_stays(certificates, authority, tmp_path, caplog):
    """Until it is mended."""
    (tmp_path / "site.pem").write_text("broken")
    await said(caplog, "the last good ones stay")
    kept = certificates.current.certificates[0].names
    authority.sign("new.example", file=tmp_path / "site.pem")
    await names_become(certificates, "new.example")

    why = f"{tmp_path}/site.pem: expected PEM with certificate chain and key"

    assert ("old.example",) == kept
    assert [f"the changed certificates can't be used, the last good ones stay:\n{why}"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.ERROR
    ]


async def test_a_reload_reads_what_did_not_change(certificates, caplog):
    """It says so."""
    caplog.set_level(logging.INFO)
    certificates.reload()
    await said(caplog, "certificates reloaded")

    assert ("old.example",) == certificates.current.certificates[0].names


async def test_a_fault_of_ours_ends_nothing(certificates, authority, tmp_path, caplog, monkeypatch):
    """The next change is picked up."""
    monkeypatch.setattr(live, "look", lambda _names: 1 / 0)
    await said(caplog, "failed in our own code")
    monkeypatch.setattr(live, "look", look)
    authority.sign("new.example", file=tmp_path / "site.pem")

    await names_become(certificates, "new.example")


async def test_a_file_that_keeps_changing_waits(certificates, authority, tmp_path, monkeypatch):
    """Only two equal looks count."""
    looks = []

    def restless(names):
        looks.append(names)
        if len(looks) < 6:
            authority.sign(f"n{len(looks)}.example", file=tmp_path / "site.pem")
        return look(names)

    monkeypatch.setattr(live, "look", restless)

    await names_become(certificates, "n5.example")
