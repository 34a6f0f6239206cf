"""What `--tls-cert` names: PEM files, pairs CHAIN:KEY and folders, and what lies there at this moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from storehop.host.tls.certificate import Certificate, CertificateError, Place, read
from storehop.rulefile import files

SUFFIX = ".pem"


@dataclass(frozen=True, slots=True)
class Look:
    """A certificate's bytes as they were at one time; two looks are equal if nothing changed."""

    place: Place
    chain: bytes = b""
    key: bytes = b""
    fault: str = ""


class CertificatesError(ValueError):
    """Every certificate that can't be served, a line each."""


def look(names: Sequence[str]) -> tuple[Look, ...]:
    """Reads all that `--tls-cert` names, in its order. Never raises, and never waits for a pipe or a device."""
    return tuple(one for name in names for one in _look_at(name))


def _look_at(name: str) -> Iterator[Look]:
    path = Path(name).expanduser()
    entry = files.read(path)
    chain, colon, key = name.partition(":")
    if entry.names is not None:
        yield from _look_into(path)
    elif colon and not entry.look.status:  # nothing has this name
        yield _read(Place(Path(chain).expanduser(), Path(key).expanduser()))
    else:
        yield _read(Place(path, path))


def _look_into(folder: Path) -> Iterator[Look]:
    try:
        found = sorted(one for one in folder.iterdir() if one.suffix == SUFFIX and not one.name.startswith("."))
    except OSError as error:
        yield Look(Place(folder, folder), fault=f"cannot be read: {error.strerror}")
        return
    if not found:
        yield Look(Place(folder, folder), fault=f"there is no *{SUFFIX} in this folder")
    for one in found:
        yield _read(Place(one, one))


def _read(place: Place) -> Look:
    chain = files.read(place.chain)
    key = chain if place.key == place.chain else files.read(place.key)
    return Look(place, chain.content, key.content, _fault_of(chain) or _fault_of(key))


def _fault_of(entry: files.Entry) -> str:
    if entry.names is not None:
        return files.NO_FILE
    return entry.fault


def certificates_of(looks: Sequence[Look]) -> list[Certificate]:
    """What can be served, if all of it can. Raises CertificatesError."""
    read_ones, faults = [], []
    for one in looks:
        try:
            read_ones.append(_certificate_of(one))
        except CertificateError as error:
            faults.append(str(error))
    if faults:
        raise CertificatesError("\n".join(faults))
    return read_ones


def _certificate_of(one: Look) -> Certificate:
    if one.fault:
        raise CertificateError(one.place, f"expected PEM with certificate chain and key: {one.fault}")
    return read(one.place, one.chain, one.key)
