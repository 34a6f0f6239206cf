"""rules/packaging/kubernetes: manifests that a cluster takes, whose parts fit together."""

import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from storehop.cli.app import app
from storehop.options import RunOptions, row_of
from tests.support.image import PACKAGING, environment
from tests.support.needs import need
from tests.support.processes import ROOT
from tests.support.prometheus_operator import POD_MONITOR, PROMETHEUS_RULE

FOLDER = PACKAGING / "kubernetes"
OF_KUBERNETES = ["rules.yaml", "sidecar.yaml", "gateway.yaml"]
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
"""The oldest that the manifests are for, and the newest whose schemas there are."""
AFTER_DRAINING_S = 30
"""Answers, calls under way and a disk that hangs: ten seconds each."""
ENDPOINTS_S = 10
"""So long the removal of an endpoint may take until no node and no load balancer sends to it any more."""


def manifests(name):
    return list(YAML(typ="safe").load_all(FOLDER / name))


def of_kind(name, kind):
    return [manifest for manifest in manifests(name) if manifest["kind"] == kind]


def pod(name):
    """The pod template of the one workload in this file."""
    (workload,) = (manifest for manifest in manifests(name) if "template" in manifest.get("spec", {}))
    return workload["spec"]["template"]


def storehop(name):
    """The container of storehop."""
    spec = pod(name)["spec"]
    (one,) = (one for one in (*spec.get("initContainers", ()), *spec["containers"]) if one["name"] == "storehop")
    return one


def variables(name):
    return {one["name"]: one["value"] for one in storehop(name)["env"]}


BOTH = pytest.mark.parametrize("name", ["sidecar.yaml", "gateway.yaml"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_kubernetes_takes_it(name, version):
    """Its own schemas, strictly: an unknown key is refused."""
    for manifest in manifests(name):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_operator_takes_the_pod_monitor():
    """It names a port that both kinds of pods have, and finds them by a label that both bear."""
    (monitor,) = manifests("podmonitor.yaml")
    jsonschema.validate(monitor, POD_MONITOR)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]

    for name in ("sidecar.yaml", "gateway.yaml"):
        assert endpoint["port"] in {port["name"] for port in storehop(name)["ports"]}
        assert pod(name)["metadata"]["labels"][expression["key"]] in expression["values"]


def test_the_operator_takes_the_alert_rules():
    """Made as the head says: the rules themselves, indented, behind it."""
    alerts = (ROOT / "rules" / "monitoring" / "alerts.yaml").read_text()
    indented = "".join(f"  {line}" for line in alerts.splitlines(keepends=True))
    made = YAML(typ="safe").load((FOLDER / "prometheusrule.yaml").read_text() + indented)
    jsonschema.validate(made, PROMETHEUS_RULE)

    assert YAML(typ="safe").load(alerts) == made["spec"]


def test_its_rules_are_rules(tmp_path):
    """As the kubelet mounts a ConfigMap, behind a link that it swaps, storehop check finds no fault in them."""
    (config,) = manifests("rules.yaml")
    (tmp_path / "..2026_01_01").mkdir()
    (tmp_path / "..data").symlink_to("..2026_01_01")
    for file, text in config["data"].items():
        (tmp_path / "..2026_01_01" / file).write_text(text)
        (tmp_path / file).symlink_to(f"..data/{file}")
    ran = CliRunner().invoke(app, ["check", str(tmp_path)])

    assert (0, "") == (ran.exit_code, ran.stderr)
    assert ": 1 rule (1 observe), " in ran.stdout


@BOTH
def test_rules_and_state_lie_where_the_image_looks(name):
    """Each path of the image's variables is a mount; the root itself is read-only."""
    mounts = {mount["mountPath"]: mount for mount in storehop(name)["volumeMounts"]}
    claims = of_kind(name, "StatefulSet")[0]["spec"]["volumeClaimTemplates"] if name == "gateway.yaml" else []
    volumes = {one["name"]: one for one in pod(name)["spec"]["volumes"]} | {
        one["metadata"]["name"]: one for one in claims
    }

    assert {environment()["STOREHOP_STATE"], environment()["STOREHOP_RULES"], "/tmp"} == set(mounts)
    assert set() == {mount["name"] for mount in mounts.values()} - set(volumes)
    (config,) = manifests("rules.yaml")
    assert config["metadata"]["name"] == volumes[mounts["/rules"]["name"]]["configMap"]["name"]


@BOTH
def test_it_may_do_nothing_that_it_need_not(name):
    """What the restricted Pod Security Standard asks for, and a read-only root."""
    container = storehop(name)["securityContext"]
    context = pod(name)["spec"].get("securityContext", {}) | container
    expected = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }

    assert expected == {key: context.get(key) for key in expected}


@BOTH
def test_probes_ask_the_admin_endpoints(name):
    """Alive is not ready: a pod that drains is not killed, and one that starts waits for nothing outside."""
    paths = {kind: storehop(name)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    ports = {one["name"]: one["containerPort"] for one in storehop(name)["ports"]}

    assert {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"} == paths
    assert [f"0.0.0.0:{ports['storehop']}", f"0.0.0.0:{ports['admin']}"] == [
        environment()["STOREHOP_LISTEN"],
        environment()["STOREHOP_ADMIN"],
    ]


@BOTH
def test_a_service_leads_to_storehop(name):
    """To its port by name, in these pods, and one user's clicks to one pod: each has an outbox of its own."""
    service = of_kind(name, "Service")[0]["spec"]

    assert ("storehop", "ClientIP") == (service["ports"][0]["targetPort"], service["sessionAffinity"])
    assert service["selector"].items() <= pod(name)["metadata"]["labels"].items()


def test_a_gateway_has_the_time_to_drain():
    """It lets clients in until its endpoint is removed everywhere, and is not killed before the rest is done."""
    drain = float(variables("gateway.yaml")["STOREHOP_DRAIN"])

    assert drain > ENDPOINTS_S
    assert pod("gateway.yaml")["spec"]["terminationGracePeriodSeconds"] >= drain + AFTER_DRAINING_S


def test_a_sidecar_outlives_the_ad_stack():
    """It is a native one; the ad stack sleeps until the endpoint is removed, and the time is enough for both."""
    (ad_stack,) = pod("sidecar.yaml")["spec"]["containers"]
    sleep = ad_stack["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = row_of(RunOptions, "drain").default

    assert "Always" == storehop("sidecar.yaml")["restartPolicy"]
    assert sleep > ENDPOINTS_S
    assert pod("sidecar.yaml")["spec"]["terminationGracePeriodSeconds"] > sleep + drain + AFTER_DRAINING_S
    assert variables("sidecar.yaml")["STOREHOP_UPSTREAM"].endswith(f":{ad_stack['ports'][0]['containerPort']}")


def test_a_gateway_keeps_its_clicks():
    """Each pod has a volume of its own, which its user may write; one pod at a time is taken away."""
    (workload,) = of_kind("gateway.yaml", "StatefulSet")
    (budget,) = of_kind("gateway.yaml", "PodDisruptionBudget")

    assert workload["spec"]["serviceName"] in {one["metadata"]["name"] for one in of_kind("gateway.yaml", "Service")}
    assert 10001 == pod("gateway.yaml")["spec"]["securityContext"]["fsGroup"]
    assert 1 == budget["spec"]["maxUnavailable"]
    assert workload["spec"]["selector"] == budget["spec"]["selector"]


@pytest.mark.process
def test_kustomize_takes_the_folder():
    """It puts out the manifests of the files it names."""
    ran = subprocess.run([need("kubectl"), "kustomize", FOLDER], capture_output=True, text=True, check=False)
    expected = {
        (one["kind"], one["metadata"]["name"]) for name in ("rules.yaml", "gateway.yaml") for one in manifests(name)
    }

    assert 0 == ran.returncode, ran.stderr
    assert expected == {(one["kind"], one["metadata"]["name"]) for one in YAML(typ="safe").load_all(ran.stdout)}


def test_every_file_is_checked():
    """No manifest lies here that nothing above looks at."""
    others = {"podmonitor.yaml", "prometheusrule.yaml", "kustomization.yaml"}

    assert {*OF_KUBERNETES, *others} == {Path(file).name for file in FOLDER.iterdir()}
