"""The three pods of `sentinel.yaml`, emulated: its scripts run as processes in namespaces of their own.

Each pod has an address on loopback, and a name that only these namespaces know.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.image import PACKAGING
from tests.support.needs import need, need_namespace
from tests.support.processes import Process
from tests.support.redis_servers import need_redis

NAMES = tuple(f"storehop-redis-{number}" for number in range(3))
SERVICE = "storehop-redis"
DOMAIN = f"{SERVICE}.ads.svc"
PASSWORD = "letters0and1digits"
_WORLD = """
set -e
mount --make-rprivate /
mount --bind "$HOSTS" /etc/hosts
ip link set lo up
echo ready
exec sleep infinity
"""


def _manifests() -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(PACKAGING / "kubernetes" / "sentinel.yaml"))


@dataclass(slots=True)
class Pods:
    """Pods by their names; each has a volume that stays, and an address that may change."""

    folder: Path
    world: Process | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    running: dict[tuple[str, str], Process] = field(default_factory=dict)
    """By pod and container."""
    _addresses_given: int = 0

    async def enter(self) -> None:
        """Makes the namespaces. Skips the test where that is not allowed."""
        need_namespace()
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "redis-server").symlink_to(need_redis("8.2"))
        (self.folder / "bin" / "redis-cli").symlink_to(need("redis-cli"))
        (scripts,) = (one["data"] for one in _manifests() if one["kind"] == "ConfigMap")
        for name, text in scripts.items():
            (self.folder / name).write_text(text)
        (self.folder / "hosts").touch()
        command = [need("unshare"), "--net", "--mount", "sh", "-c", _WORLD]
        self.world = await Process.start("env", f"HOSTS={self.folder / 'hosts'}", *command)
        await self.world.output.saw("ready")

    async def start(self, *names: str) -> None:
        """Starts both containers of these pods, or of all of them, each pod with a new address."""
        for name in names or NAMES:
            self._addresses_given += 1
            self.addresses[name] = f"127.0.0.{10 + self._addresses_given}"
        self._tell_names()
        for name in names or NAMES:
            for container in ("sentinel", "redis"):
                self.running[name, container] = await self._run(name, container, f"{container}.sh")

    async def end(self, *names: str) -> None:
        """As a pod ends that Kubernetes takes away: preStop, then SIGTERM for both containers."""
        for name in names or NAMES:
            leaving = await self._run(name, "redis", "leave.sh")
            await self.running.pop((name, "sentinel")).stop()
            assert 0 == await leaving.ended(), leaving.output.text
            await self.running.pop((name, "redis")).stop()
            self._forget(name)

    async def kill(self, *names: str) -> None:
        """As a node dies, and its pods are taken from it."""
        for name in names or NAMES:
            for container in ("redis", "sentinel"):
                process = self.running.pop((name, container))
                process.process.kill()
                await process.ended()
            self._forget(name)

    async def leave(self) -> None:
        """Ends all of it."""
        for process in self.running.values():
            process.process.kill()
            await process.ended()
        if self.world:
            await self.world.stop()

    def lose_volume(self, name: str) -> None:
        """The pod starts with an empty one."""
        shutil.rmtree(self.folder / name)

    async def say(self, name: str, *words: str, port: int = 6379, password: str = PASSWORD) -> str:
        """What a server (or Sentinel) answers to a command."""
        place = ("-h", f"{name}.{DOMAIN}", "-p", str(port))
        login = () if password else ("env", "-u", "REDISCLI_AUTH")
        cli = await self._start(name, self.folder, *login, "redis-cli", *place, *words)
        await cli.ended()
        return cli.output.text.strip()

    def _forget(self, name: str) -> None:
        del self.addresses[name]
        self._tell_names()

    def _tell_names(self) -> None:
        lines = (f"{at} {name}.{DOMAIN} {name}.{SERVICE}\n" for name, at in self.addresses.items())
        (self.folder / "hosts").write_text("".join(lines))

    def probes(self) -> list[tuple[str, str]]:
        """Container and probe, of those that run a command."""
        return [
            (container["name"], kind)
            for container in self._containers()
            for kind in ("livenessProbe", "readinessProbe")
            if kind in container
        ]

    async def probe(self, name: str, container: str, kind: str) -> int:
        """The exit code of a probe's command in a pod."""
        (asked,) = (one[kind]["exec"]["command"] for one in self._containers() if one["name"] == container)
        return await (await self._start(name, self.folder / name / container, *asked)).ended()

    def _containers(self) -> list[dict[str, Any]]:
        (workload,) = (one for one in _manifests() if one["kind"] == "StatefulSet")
        return list(workload["spec"]["template"]["spec"]["containers"])

    def logs(self) -> str:
        """The last words of every process, for a test that fails."""
        return "\n".join(f"{name}:\n{process.output.text[-2000:]}" for name, process in self.running.items())

    async def beside(self, folder: Path, *command: str | Path) -> Process:
        """A process that reaches the pods by their names."""
        assert self.world
        place = ["--target", str(self.world.process.pid), "--net", "--mount", f"--wd={folder}"]
        return await Process.start(need("nsenter"), *place, *command)

    async def _run(self, name: str, container: str, script: str) -> Process:
        folder = self.folder / name / container
        folder.mkdir(parents=True, exist_ok=True)
        return await self._start(name, folder, "sh", str(self.folder / script))

    async def _start(self, name: str, folder: Path, *command: str) -> Process:
        variables = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "POD": name,
            "POD_IP": self.addresses[name],
            "NAMESPACE": "ads",
            "REDISCLI_AUTH": PASSWORD,
        }
        inside = ["env", "-i", *(f"{key}={value}" for key, value in variables.items()), *command]
        return await self.beside(folder, *inside)


@asynccontextmanager
async def pods(folder: Path) -> AsyncIterator[Pods]:
    """Namespaces without a pod in them yet."""
    scene = Pods(folder)
    try:
        await scene.enter()
        yield scene
    finally:
        await scene.leave()
