"""What a process does before it serves."""

import gc
import os
import socket
import sys
from pathlib import Path

import pytest

from storehop.addresses import Address
from storehop.host import runner
from storehop.listening.sockets import bind
from storehop.options import RunOptions
from storehop.serving import CannotServeError, _admin, collect_garbage, listen, open_listeners, own_command
from storehop.settings import Delivery
from storehop.workers.start import supervise

FREE = Address("127.0.0.1", 0)


def options(**changes):
    return RunOptions(upstream="http://legacy:80", rules=Path("rules"), **{"listen": FREE, "admin": None, **changes})


@pytest.fixture
def taken():
    """An address that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address(*server.getsockname())


@pytest.mark.parametrize("name", ["listen", "admin", "web"])
def test_an_address_that_is_taken_is_named(taken, name):
    """Before anything is started, with the option that names it."""
    with pytest.raises(CannotServeError, match=rf"^cannot listen on {taken} \(--{name}\): Address already in use$"):
        open_listeners(options(**{name: taken}))


def test_a_host_that_is_not_there_is_named():
    """The message has the words of whoever looked it up."""
    with pytest.raises(CannotServeError, match=r"^cannot listen on none\.invalid:1 \(--listen\): "):
        open_listeners(options(listen=Address("none.invalid", 1)))


def test_an_address_that_somebody_takes_meanwhile_is_named():
    """Two may bind it, one can listen on it."""
    opened = open_listeners(options())
    address = Address(*opened.listeners.clients[0].getsockname())
    (other,) = bind(address)
    with other:
        other.listen()
        with pytest.raises(CannotServeError, match=r"--listen.*in use"):
            listen(options(listen=address), opened)
    opened.listeners.close()


def test_a_worker_inherits_its_sockets():
    """It asks for no address: its supervisor has it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        opened = open_listeners(options(worker_fds=f"{os.dup(held.fileno())}"))
        (got,) = opened.listeners.clients
        with got:
            assert held.getsockname() == got.getsockname()


def test_a_process_like_this_one_has_the_same_words():
    """A worker knows what its supervisor knows, how many they are as well."""
    words = ["run", "--upstream", "http://legacy", "--workers", "3"]
    command = own_command(words)

    assert (sys.executable, ["storehop", *words]) == (command[0], command[-len(words) - 1 :])


def test_a_dry_run_takes_no_socket_that_is_passed(monkeypatch):
    """The service manager's may be public."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    opened = open_listeners(options(), is_alone=True)
    (own,) = opened.listeners.clients
    with own:
        assert "127.0.0.1" == own.getsockname()[0]


@pytest.mark.parametrize(("host", "is_kept"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_an_admin_address_that_is_another_is_bound(host, is_kept):
    """An upgrade may change it."""
    (before,) = bind(FREE)
    admin = Address(host, before.getsockname()[1])
    (after,) = _admin(admin, [before])
    with after:
        assert (is_kept, admin) == (after is before, after.getsockname())


@pytest.fixture
def without_collections():
    """As the process is while it starts."""
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("without_collections")
def test_garbage_is_collected_from_the_serving_on():
    """What the start has made is not looked through."""
    collect_garbage()

    assert (True, True) == (gc.isenabled(), gc.get_freeze_count() > 0)


def test_who_has_never_put_garbage_off_keeps_nothing():
    """A process of somebody else's goes on as it was."""
    collect_garbage()

    assert (True, 0) == (gc.isenabled(), gc.get_freeze_count())


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("serve", [runner.serve, lambda asked: supervise(asked, Delivery())], ids=["alone", "workers"])
def test_whoever_serves_collects_garbage(serve, taken, tmp_path):
    """Before anything else, and so even where it then can't listen."""
    with pytest.raises(CannotServeError):
        serve(options(listen=taken, state=tmp_path, outbox=str(tmp_path / "outbox.db")))

    assert gc.isenabled()
