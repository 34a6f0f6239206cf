"""`storehop healthcheck` against a socket that answers as a sidecar does, or does not."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from storehop.cli.app import app


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


def healthcheck(*arguments, **environment):
    result = CliRunner(env=environment).invoke(app, ["healthcheck", *arguments])
    return result.exit_code, result.output


def test_ready(admin):
    """Exit 0."""
    assert (0, "ok\n") == healthcheck("--admin", admin)


@pytest.mark.parametrize("admin", [(503, b"draining\n")], indirect=True)
def test_not_ready(admin):
    """Exit 1, and why."""
    assert (1, "storehop: not ready: draining\n") == healthcheck("--admin", admin)


def test_the_environment_names_the_address(admin):
    """The variable that a container's sidecar has counts for its health check."""
    assert (0, "ok\n") == healthcheck(STOREHOP_ADMIN=admin)


def test_nobody_answers():
    """Exit 1 and the address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    code, words = healthcheck("--admin", address)

    assert (1, True) == (code, words.startswith(f"storehop: nobody answers at {address}: "))


@pytest.mark.parametrize("address", ["9321", "off", "a:b"])
def test_what_is_no_address(address):
    """Exit 2 and what was expected."""
    code, words = healthcheck("--admin", address)

    assert (2, True) == (code, words.startswith(f"storehop: --admin {address!r}: expected HOST:PORT"))
