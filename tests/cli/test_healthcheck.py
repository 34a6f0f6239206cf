"""`storehop healthcheck` against a socket that answers as a sidecar does, or does not."""

import os
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from storehop.cli import healthcheck as quickly
from storehop.cli.app import app
from storehop.options import RunOptions, row_of
from tests.bench.machine import loop_milliseconds
from tests.support.processes import ADDON


class _Readyz(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.answer
        self.send_response(status if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture(params=[(200, b"ok\n")])
def admin(request):
    """An address whose /readyz answers with the test's parameter."""
    with HTTPServer(("127.0.0.1", 0), _Readyz) as server:
        server.answer = request.param
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["quick", "whole"])
def healthcheck(request, monkeypatch, capsys):
    """Runs the command both ways: as a container does, and by the command line as a whole."""

    def run(*arguments, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if request.param == "quick":
            code, told = quickly.quick(list(arguments)), capsys.readouterr()
            return code, told.out + told.err
        result = CliRunner().invoke(app, ["healthcheck", *arguments])
        return result.exit_code, result.output

    return run


def test_ready(admin, healthcheck):
    """Exit 0."""
    assert [(0, "ok\n")] * 2 == [healthcheck("--admin", admin), healthcheck(f"--admin={admin}")]


@pytest.mark.parametrize("admin", [(503, b"draining\n")], indirect=True)
def test_not_ready(admin, healthcheck):
    """Exit 1, and why."""
    assert (1, "storehop: not ready: draining\n") == healthcheck("--admin", admin)


def test_the_environment_names_the_address(admin, healthcheck):
    """The variable that a container's sidecar has counts for its health check."""
    assert (0, "ok\n") == healthcheck(STOREHOP_ADMIN=admin)


def test_nobody_answers(healthcheck):
    """Exit 1 and the address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    code, words = healthcheck("--admin", address)

    assert (1, True) == (code, words.startswith(f"storehop: nobody answers at {address}: "))


@pytest.mark.parametrize("said", [b"", b"+PONG\r\n", b"HTTP/2 200\r\n\r\n"])
def test_somebody_else_answers(said, healthcheck):
    """What is no HTTP/1 is no storehop: exit 1, and what came."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = Thread(target=_answer_one, args=[other, said])
        thread.start()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, words = healthcheck("--admin", address)
        thread.join()

    assert (1, f"storehop: nobody answers at {address}: this is no HTTP: {said!r}\n") == (code, words)


def _answer_one(server, said):
    connection, _ = server.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(said)


@pytest.mark.parametrize("address", ["9321", "off", "a:b"])
def test_what_is_no_address(address, healthcheck):
    """Exit 2 and what was expected."""
    code, words = healthcheck("--admin", address)

    assert (2, True) == (code, words.startswith(f"storehop: --admin {address!r}: expected HOST:PORT"))


def test_the_table_of_options_says_the_same():
    """The quick way has the flag, variable and default of `storehop run` in words of its own."""
    row = row_of(RunOptions, "admin")

    assert (quickly.FLAG, quickly.VARIABLE, quickly.DEFAULT) == (row.flag, row.variable, str(row.default))


@pytest.mark.parametrize("words", [["--help"], ["--nonsense"], ["a=b"], ["--admin"], ["--admin", "a:1", "more"]])
def test_other_words_are_the_whole_command_lines(words):
    """Help and mistakes are answered as for every other command."""
    assert quickly.quick(words) is None


@pytest.mark.process
def test_it_needs_the_standard_library_alone(admin):
    """A container asks every few seconds: the imports of the other commands would cost it ten times as much."""
    command = [sys.executable, "-S", "-m", "storehop", "healthcheck", "--admin", admin]
    environment = os.environ | {"PYTHONPATH": str(ADDON)}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert (0, "ok\n", "") == (ran.returncode, ran.stdout, ran.stderr)


NEEDLESS = ("http", "email", "ssl", "ipaddress", "dataclasses", "inspect", "logging", "typer", "storehop.options")
"""What costs a health check more than all that it needs."""
LEAST_S, REFERENCE_MS = 0.1, 2.0
"""A health check's processor time, at most, where 100,000 additions in Python take 2 ms."""


@pytest.mark.process
def test_it_imports_nothing_that_takes_long():
    """It asks by a socket: http.client would import a parser of e-mail."""
    imported = f"import storehop.cli.healthcheck, sys; print([name for name in {NEEDLESS} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ADDON)}
    done = subprocess.run([sys.executable, "-S", "-c", imported], capture_output=True, env=environment, check=True)

    assert b"[]\n" == done.stdout


@pytest.mark.process
def test_it_costs_next_to_nothing(admin):
    """Less than a tenth of a second of processor time: a container asks every few seconds. The best of five counts."""
    environment = os.environ | {"PYTHONPATH": str(ADDON)}

    def processor_s():
        process = subprocess.Popen([sys.executable, "-m", "storehop", "healthcheck", "--admin", admin], env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    assert min(processor_s() for _ in range(5)) < LEAST_S * max(1, loop_milliseconds() / REFERENCE_MS)
