"""The Helm chart: it lints, and what it renders is valid, hardened, and set up as the fleet's processes need it."""

from __future__ import annotations

import json

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from starlette.datastructures import Headers

from rerank_producer.gateway.http.origins import OriginPolicy
from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.settings import load_settings
from support.chart import (
    CHART,
    NAME,
    NAMESPACE,
    ROOT,
    VALUES,
    Object,
    deployments,
    environ_of,
    pod_of,
    render,
    the,
    values_of,
)

FILES = sorted(path.stem for path in VALUES.glob("*.yaml"))
CRDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "tests/deploy/crds").glob("*.json")}
RULE = "PrometheusRule"
#: The oldest version of Kubernetes that the chart allows, and the newest whose schemas are there.
KUBERNETES = ("1.27", kubernetes_validate.latest_version())


@pytest.fixture(params=FILES)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(values_of(request.param))


def parts(objects: list[Object]) -> list[tuple[Object, Object]]:
    """Return the pod and the container of each part of the fleet."""
    return [(pod, pod["containers"][0]) for pod in map(pod_of, deployments(objects))]


@pytest.mark.parametrize("name", FILES)
def test_it_lints(name: str) -> None:
    report = helm_python.lint(CHART, values_of(name), strict=True)
    assert not report["errors"]
    # An icon is recommended, and says nothing to those who install from a checkout.
    assert [each["error"] for each in report["messages"] if "icon is recommended" not in each["error"]] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_each_object_is_valid_to_the_last_field(objects: list[Object], version: str) -> None:
    for each in objects:
        if each["kind"] in CRDS:
            jsonschema.Draft202012Validator(CRDS[each["kind"]]).validate(each)
        else:
            kubernetes_validate.validate(each, version, strict=True)


def test_it_takes_the_rules_and_alerts_of_the_mixin() -> None:
    texts = {name: (ROOT / f"ops/mixin/{name}.yaml").read_text(encoding="utf-8") for name in ("rules", "alerts")}
    rule = the(render(values_of("minimal", monitoring={"prometheusRule": True, "ruleFiles": texts})), RULE, NAME)
    jsonschema.Draft202012Validator(CRDS[RULE]).validate(rule)
    groups = [group for name in sorted(texts) for group in yaml.safe_load(texts[name])["groups"]]
    assert rule["spec"]["groups"] == groups


def test_every_kind_is_rendered_by_some_file() -> None:
    kinds = {each["kind"] for name in FILES for each in render(values_of(name))}
    assert kinds == CRDS.keys() | {
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Secret",
        "Service",
        "ServiceAccount",
    }


def test_a_field_that_kubernetes_does_not_know_would_be_seen() -> None:
    gateway = the(render(values_of("minimal")), "Deployment", f"{NAME}-gateway")
    gateway["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(gateway, KUBERNETES[0], strict=True)


def test_pods_are_hardened(objects: list[Object]) -> None:
    for pod in (pod_of(each) for each in objects if each["kind"] == "Deployment"):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_each_part_starts_with_its_variables(objects: list[Object], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown one would be an error at the start, and so would be a whole number that was written as 7.2e+06."""
    for _, container in parts(objects):
        with monkeypatch.context() as patch:
            for name, value in environ_of(container).items():
                patch.setenv(name, value)
            load_settings()
            load_gateway_settings()


def test_no_service_puts_a_variable_into_a_pod(objects: list[Object]) -> None:
    """By default one called rerank-… would: RERANK_…_SERVICE_HOST, which the fleet refuses as unknown."""
    for pod, _ in parts(objects):
        assert pod["enableServiceLinks"] is False


def test_the_platform_waits_longer_than_a_part_needs_to_stop(
    objects: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pod, container in parts(objects):
        with monkeypatch.context() as patch:
            for name, value in environ_of(container).items():
                patch.setenv(name, value)
            gateway = load_gateway_settings()
            needs = gateway.drain_s + gateway.grace_s if container["name"] == "gateway" else load_settings().grace_s
        assert pod["terminationGracePeriodSeconds"] > needs


def test_probes_ask_what_is_served(objects: list[Object]) -> None:
    for _, container in parts(objects):
        ports = {port["name"] for port in container["ports"]}
        asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {each["port"] for each in asked.values()} <= ports
        # Readiness may need Redis; life never does.
        assert asked["livenessProbe"]["path"] == asked["startupProbe"]["path"] == "/healthz"


def test_a_worker_is_ready_when_its_processes_are_warm() -> None:
    worker = the(render(values_of("minimal")), "Deployment", f"{NAME}-worker-default")
    assert pod_of(worker)["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_processes_of_pods_that_share_a_node_are_not_pinned_to_the_same_cores(objects: list[Object]) -> None:
    """Without a CPU limit each pod sees all cores of its node, and would take the first few."""
    for _, container in parts(objects):
        if container["name"] == "worker":
            assert environ_of(container)["RERANK_PIN"] == "false"
            assert container["resources"]["requests"]["cpu"] == environ_of(container)["RERANK_PROCESSES"]


def test_selectors_select_the_pods_of_their_own_part(objects: list[Object]) -> None:
    pods = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in deployments(objects)}
    for each in objects:
        if each["kind"] in ("Deployment", "PodDisruptionBudget", "Service") and each["metadata"]["name"] in pods:
            selector = each["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            matching = [name for name, labels in pods.items() if wanted.items() <= labels.items()]
            assert matching == [each["metadata"]["name"]]


@pytest.mark.parametrize("domain", ["cluster.local", "k8s.example"])
def test_the_gateway_knows_itself_by_the_names_of_its_service(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses a Host that it does not know, also when KEDA asks."""
    gateway = the(render(values_of("minimal", clusterDomain=domain)), "Deployment", f"{NAME}-gateway")
    for name, value in environ_of(pod_of(gateway)["containers"][0]).items():
        monkeypatch.setenv(name, value)
    policy = OriginPolicy.of(load_gateway_settings())
    for end in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc", f".{NAMESPACE}.svc.{domain}"):
        policy.check(Headers({"host": f"{NAME}-gateway{end}:8080"}))
