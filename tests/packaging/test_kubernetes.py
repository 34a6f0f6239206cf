"""rules/packaging/kubernetes: manifests that a cluster takes, whose parts fit together."""

import re
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
OF_KUBERNETES = ["rules.yaml", "sidecar.yaml", "gateway.yaml", "fleet.yaml", "sentinel.yaml"]
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


ALL = pytest.mark.parametrize("name", ["sidecar.yaml", "gateway.yaml", "fleet.yaml"])
FILES = pytest.mark.parametrize("name", ["sidecar.yaml", "gateway.yaml"])
"""Those whose pods have an outbox of their own."""
GATEWAYS = pytest.mark.parametrize("name", ["gateway.yaml", "fleet.yaml"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_kubernetes_takes_it(name, version):
    """Its own schemas, strictly: an unknown key is refused."""
    for manifest in manifests(name):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_operator_takes_the_pod_monitor():
    """It names a port that all kinds of pods have, and finds them by a label that all bear."""
    (monitor,) = manifests("podmonitor.yaml")
    jsonschema.validate(monitor, POD_MONITOR)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]

    for name in ("sidecar.yaml", "gateway.yaml", "fleet.yaml"):
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


@ALL
def test_rules_and_state_lie_where_the_image_looks(name):
    """Each path of the image's variables is a mount; the root itself is read-only."""
    mounts = {mount["mountPath"]: mount for mount in storehop(name)["volumeMounts"]}
    claims = of_kind(name, "StatefulSet")[0]["spec"]["volumeClaimTemplates"] if name == "gateway.yaml" else []
    volumes = {one["name"]: one for one in pod(name)["spec"]["volumes"]} | {
        one["metadata"]["name"]: one for one in claims
    }

    looks_at = {environment()["STOREHOP_STATE"], environment()["STOREHOP_RULES"], "/tmp"}
    assert looks_at == set(mounts) - {"/redis"}
    assert set() == {mount["name"] for mount in mounts.values()} - set(volumes)
    (config,) = manifests("rules.yaml")
    assert config["metadata"]["name"] == volumes[mounts["/rules"]["name"]]["configMap"]["name"]


@ALL
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


@ALL
def test_probes_ask_the_admin_endpoints(name):
    """Alive is not ready: a pod that drains is not killed, and one that starts waits for nothing outside."""
    paths = {kind: storehop(name)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    ports = {one["name"]: one["containerPort"] for one in storehop(name)["ports"]}

    assert {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"} == paths
    assert [f"0.0.0.0:{ports['storehop']}", f"0.0.0.0:{ports['admin']}"] == [
        environment()["STOREHOP_LISTEN"],
        environment()["STOREHOP_ADMIN"],
    ]


@ALL
def test_a_service_leads_to_storehop(name):
    """To its port by name, in these pods."""
    service = of_kind(name, "Service")[0]["spec"]

    assert "storehop" == service["ports"][0]["targetPort"]
    assert service["selector"].items() <= pod(name)["metadata"]["labels"].items()


@FILES
def test_a_user_stays_with_a_pod(name):
    """Whose outbox nobody else has."""
    assert "ClientIP" == of_kind(name, "Service")[0]["spec"]["sessionAffinity"]


@GATEWAYS
def test_a_gateway_has_the_time_to_drain(name):
    """It lets clients in until its endpoint is removed everywhere, and is not killed before the rest is done."""
    drain = float(variables(name)["STOREHOP_DRAIN"])

    assert drain > ENDPOINTS_S
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] >= drain + AFTER_DRAINING_S


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


def servers():
    """The pod template of the servers that a fleet shares, and its containers by their names."""
    template = pod("sentinel.yaml")
    return template, {one["name"]: one for one in template["spec"]["containers"]}


def test_a_fleet_finds_its_servers():
    """It asks every Sentinel by the name of its pod, for the primary that they watch, with the password of all."""
    (workload,) = of_kind("sentinel.yaml", "StatefulSet")
    name, domain = workload["metadata"]["name"], workload["spec"]["serviceName"]
    hosts = ",".join(f"{name}-{number}.{domain}" for number in range(workload["spec"]["replicas"]))
    given = variables("fleet.yaml")
    (mount,) = (one for one in storehop("fleet.yaml")["volumeMounts"] if one["mountPath"] == "/redis")
    (volume,) = (one for one in pod("fleet.yaml")["spec"]["volumes"] if one["name"] == mount["name"])
    _, containers = servers()
    (secret,) = (
        one["valueFrom"]["secretKeyRef"] for one in containers["redis"]["env"] if one["name"] == "REDISCLI_AUTH"
    )
    files = {given["STOREHOP_OUTBOX_PASSWORD_FILE"], given["STOREHOP_OUTBOX_SENTINEL_PASSWORD_FILE"]}

    assert f"redis+sentinel://{hosts}/storehop" == given["STOREHOP_OUTBOX"]
    assert {f"/redis/{secret['key']}"} == files
    assert secret["name"] == volume["secret"]["secretName"]


def test_servers_have_what_their_scripts_need():
    """Variables, the volume each to itself, the time to hand a role on; and nothing more than that."""
    template, containers = servers()
    (scripts,) = of_kind("sentinel.yaml", "ConfigMap")
    text = "".join(scripts["data"].values())

    for name, container in containers.items():
        given = {one["name"] for one in container["env"]}
        mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
        assert set(re.findall(r"\$([A-Z][A-Z_]+)", text)) == given
        assert {"/data": name, "/scripts": None} == {place: one.get("subPath") for place, one in mounts.items()}
        assert ("/data", ["sh", f"/scripts/{name}.sh"]) == (container["workingDir"], container["command"])
        assert container["securityContext"]["readOnlyRootFilesystem"]
    assert containers["redis"]["lifecycle"]["preStop"]["exec"]["command"] == ["sh", "/scripts/leave.sh"]
    assert template["spec"]["terminationGracePeriodSeconds"] >= AFTER_DRAINING_S
    assert template["spec"]["securityContext"]["runAsNonRoot"]


def test_two_servers_never_fail_together():
    """Three nodes, one pod at a time is taken away, and nobody but storehop's pods comes in."""
    template, _ = servers()
    labels = template["metadata"]["labels"]
    (apart,) = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (budget,) = of_kind("sentinel.yaml", "PodDisruptionBudget")
    (policy,) = of_kind("sentinel.yaml", "NetworkPolicy")
    selectors = [one["podSelector"] for one in policy["spec"]["ingress"][0]["from"]]
    (expression,) = selectors[1]["matchExpressions"]

    assert ("kubernetes.io/hostname", labels) == (apart["topologyKey"], apart["labelSelector"]["matchLabels"])
    assert (1, labels) == (budget["spec"]["maxUnavailable"], budget["spec"]["selector"]["matchLabels"])
    assert [labels, labels] == [selectors[0]["matchLabels"], policy["spec"]["podSelector"]["matchLabels"]]
    assert all(
        pod(name)["metadata"]["labels"][expression["key"]] in expression["values"]
        for name in ("sidecar.yaml", "fleet.yaml")
    )


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
