"""Real web servers that redirect clicks and log them as the audit's own advice says."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from storehop.audit.readers.advice import APACHE, HAPROXY, NGINX
from tests.support.needs import missing, need
from tests.support.patience import START_S, wait_until
from tests.support.processes import free_port

MODULES = Path("/usr/lib/apache2/modules")


@contextmanager
def nginx(folder, location, more=""):
    """The port of an nginx that redirects to this, with the advised lines; `more` stands beside them.

    The log is `auditable.log` in the folder, once nginx has ended.
    """
    port = free_port()
    paths = "".join(f"{name}_temp_path tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    lines = NGINX.replace("/var/log/nginx/", f"{folder}/")
    (folder / "tmp").mkdir()
    (folder / "nginx.conf").write_text(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\n"
        f"http {{ {paths}\n{lines}\n{more}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 302 '{location}'; }}\n"
        "location /health { return 200 ok; } } }\n"
    )
    command = [need("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]
    with _running(command, port, folder / "nginx.out"):
        yield port


@contextmanager
def apache(folder, location, more=""):
    """As `nginx`, of an Apache."""
    program, port = need("apache2"), free_port()
    if not MODULES.is_dir():
        missing(f"needs {MODULES}")
    modules = "".join(
        f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in ("mpm_event", "authz_core", "alias")
    )
    lines = APACHE.replace("/var/log/apache2/", f"{folder}/")
    (folder / "apache.conf").write_text(
        f"{modules}ServerName go.example\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid\nErrorLog /dev/stderr\n"
        f"DefaultRuntimeDir {folder}\nDocumentRoot {folder}\n{more}\n{lines}\n"
        f"RedirectMatch 302 ^/r {location}\n"
    )
    with _running([program, "-f", folder / "apache.conf", "-DFOREGROUND"], port, folder / "apache.out"):
        yield port


@contextmanager
def haproxy(folder, server, lines=HAPROXY):
    """As `nginx`, of a HAProxy in front of this port; its log is what it writes to its standard output."""
    port = free_port()
    (folder / "haproxy.cfg").write_text(
        "defaults\n mode http\n option dontlognull\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
        f"frontend clicks\n bind 127.0.0.1:{port}\n{lines}\n default_backend stack\n"
        f"backend stack\n server stack 127.0.0.1:{server}\n"
    )
    with _running([need("haproxy"), "-db", "-f", folder / "haproxy.cfg"], port, folder / "auditable.log"):
        yield port


@contextmanager
def _running(command, port, output):
    """A process that listens, until it was asked to end; what it writes goes to a file."""
    with output.open("wb") as file, output.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(command, stdout=file, stderr=errors)
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), START_S, f"{command[0]} listens")
        assert process.poll() is None, output.with_suffix(".err").read_text()
        yield
    finally:
        process.terminate()
        process.wait(START_S)


def _answers(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def click(port, path, headers, method="GET"):
    """The Location that came back for a request with exactly these headers, and its status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response.getheader("Location"), response.status
    finally:
        connection.close()
