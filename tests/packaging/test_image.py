"""rules/packaging/Dockerfile, without a Docker engine: linted, read, and its steps taken where that is cheap."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from storehop.addresses import parse_address
from storehop.options import RunOptions, rows
from tests.support.image import DOCKERFILE, PACKAGING, environment, stages
from tests.support.needs import missing
from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILD, FINAL = stages()
COPIED = [source for name, words in BUILD if name == "COPY" for source in words.split()[:-1]]


def said(stage, name):
    """The arguments of the one instruction of this name."""
    (arguments,) = (arguments for one, arguments in stage if one == name)
    return arguments


def run_step(stage, word):
    """The one command, of all RUN steps, that has this word in it."""
    steps = (step for name, steps in stage if name == "RUN" for step in steps.split("&&"))
    (command,) = (shlex.split(step) for step in steps if word in step)
    return command


@pytest.mark.process
def test_hadolint_has_nothing_to_say():
    """Docker's grammar and the usual mistakes."""
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        missing("needs hadolint, which not every machine's kind has")
    ran = subprocess.run([program, "--no-color", PACKAGING / "Dockerfile"], capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stdout)


def test_the_user_is_a_number():
    """Kubernetes' runAsNonRoot knows no names. The state folder is this user's."""
    assert "10001:10001" == said(FINAL, "USER")
    assert ["install", "-d", "-o", "10001"] == run_step(FINAL, "install")[:4]
    assert environment()["STOREHOP_STATE"] == said(FINAL, "VOLUME") == run_step(FINAL, "install")[-1]


def test_variables_are_options():
    """Each is one of `storehop run`, with a value that it takes."""
    known = {row.variable: row for row in rows(RunOptions)}
    ours = {name: value for name, value in environment().items() if name.startswith("STOREHOP_")}

    assert set() == set(ours) - set(known)
    assert all(known[name].option.read(value) for name, value in ours.items() if known[name].option.read)


def test_clients_and_probes_reach_it():
    """Both ports are open to other machines, and are those that the image exposes."""
    listen, admin = (parse_address(environment()[f"STOREHOP_{name}"]) for name in ("LISTEN", "ADMIN"))

    assert ("0.0.0.0", "0.0.0.0") == (listen.host, admin.host)
    assert f"{listen.port} {admin.port}" == said(FINAL, "EXPOSE")


def test_a_container_is_the_sidecar():
    """It runs without a word, ends by SIGTERM, and asks itself whether it is ready."""
    assert ('["storehop"]', '["run"]', "SIGTERM") == tuple(
        said(FINAL, key) for key in ("ENTRYPOINT", "CMD", "STOPSIGNAL")
    )
    assert said(FINAL, "HEALTHCHECK").endswith('CMD ["storehop", "healthcheck"]')


def test_labels_say_the_version():
    """As pyproject.toml has it."""
    labels = dict(word.split("=", 1) for word in shlex.split(said(FINAL, "LABEL")))

    assert PROJECT["version"] == labels["org.opencontainers.image.version"]
    assert PROJECT["license"] == labels["org.opencontainers.image.licenses"]


def test_python_is_pinned_to_a_minor_version():
    """One that storehop supports, the same in both stages and where its modules are compiled."""
    (python,) = re.findall(r"^ARG PYTHON=(3\.\d+)-slim-\w+$", DOCKERFILE, re.MULTILINE)

    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert ["python:${PYTHON} AS build", "python:${PYTHON}"] == [said(BUILD, "FROM"), said(FINAL, "FROM")]
    assert f"/usr/local/lib/python{python}" in run_step(FINAL, "compileall")


def test_pip_takes_the_versions_that_were_tested():
    """By the constraints that lie beside the Dockerfile."""
    command = run_step(BUILD, "pip install")
    constraints = command[command.index("--constraint") + 1]

    assert PACKAGING / "constraints.txt" == ROOT / Path(constraints).relative_to("/source")


def test_the_image_can_share_an_outbox():
    """It has what an outbox for many hosts needs, which is an extra elsewhere."""
    assert "/source[redis]" == run_step(BUILD, "pip install")[-1]


def test_the_context_holds_what_is_copied():
    """The ignore file leaves everything out but what the Dockerfile copies."""
    lines = (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines()

    assert sorted(COPIED) == sorted(line[1:] for line in lines if line.startswith("!"))
    assert "*" in lines


@pytest.mark.process
def test_what_is_copied_makes_a_package(tmp_path):
    """Nothing that the build needs is missing in the image."""
    for source in COPIED:
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / source)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == ran.returncode, ran.stderr
    assert 1 == len(list(tmp_path.glob("dist/storehop-*.whl")))


@pytest.mark.process
@pytest.mark.parametrize("stage", [BUILD, FINAL], ids=["ours", "of Python"])
def test_bytecode_is_there_for_both_ways_to_run(stage, tmp_path):
    """`storehop run` is `python -O`; the health check is not. The step, taken on one module, compiles it for both."""
    module = tmp_path / "module.py"
    module.touch()
    step = run_step(stage, "compileall")
    options = [word for word in step[1:] if not word.startswith("/")]
    subprocess.run([sys.executable, *options, tmp_path], check=True)

    assert Path(cache_from_source(str(module), optimization="")).exists()
    assert Path(cache_from_source(str(module), optimization=1)).exists()
