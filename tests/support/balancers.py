"""Real load balancers in front of storehop: nginx and HAProxy, with the manual's own configuration."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.needs import missing, need
from tests.support.processes import ROOT, Process, listening

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
HAPROXY = """
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 5s
    default-server inter 300ms
"""
NGINX_HTTP = """
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
"""
NGINX_STREAM = """
    set_real_ip_from 127.0.0.1;
"""


def recipe(language: str, word: str) -> str:
    """The block of this language in the manual that has this word in it."""
    page = (ROOT / "rules" / "README.md").read_text()
    (found,) = (block for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if word in block)
    return found


def haproxy_recipe(word: str, port: int, server: int, changes: dict[str, str]) -> str:
    """Listens on `port` with names of its own; its clients say by a PROXY header who they are, as tests need it."""
    text = recipe("haproxy", word)
    text = re.sub(r"bind :\d+", f"bind 127.0.0.1:{port} accept-proxy", text)
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{server}")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return re.sub(r"(frontend|backend) (\w+)$", rf"\1 \2_{port}", text, flags=re.MULTILINE)


def nginx_recipe(word: str, port: int, server: int) -> str:
    text = recipe("nginx", word)
    text = re.sub(r"listen \d+;", f"listen 127.0.0.1:{port} proxy_protocol;", text)
    return text.replace("127.0.0.1:8080", f"127.0.0.1:{server}")


async def start_haproxy(folder: Path, text: str) -> Process:
    """HAProxy, listening; it says everything on stderr."""
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY + text)
    process = await Process.start(need("haproxy"), "-db", "-f", file)
    await _listening(process, text)
    return process


async def start_nginx(folder: Path, server: str, stream: str) -> Process:
    """nginx, listening, in one process."""
    if not MODULE.exists():  # noqa: ASYNC240  a moment
        missing(f"needs {MODULE}")
    (folder / "tmp").mkdir()
    stream = stream.replace("stream {", "stream {" + NGINX_STREAM)
    text = (
        f"load_module {MODULE};\ndaemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{{NGINX_HTTP}{server}}}\n{stream}"
    )
    file = folder / "nginx.conf"
    file.write_text(text)
    process = await Process.start(need("nginx"), "-p", folder, "-c", file, "-e", "stderr")
    await _listening(process, text)
    return process


async def _listening(process: Process, text: str) -> None:
    for port in re.findall(r"(?:bind|listen) 127\.0\.0\.1:(\d+)", text):
        await listening(int(port), process)
