"""The chart under values that are allowed and odd: what it renders is still what Kubernetes takes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from support.chart import NAME, Object, pod_of, render, scaled, the, values_of

VERSION = kubernetes_validate.latest_version()
#: YAML reads each as something other than a text, unless it stands in quotes.
NUMBERS = ("123", "1e3", "0x1f", "true", "null", "no")
_UNITS = {"Mi": 2**20, "Gi": 2**30, "m": 1e-3}


def worker(**group: Any) -> Object:
    """Return the only container of a group's pods."""
    objects = render(values_of("minimal", workers=[{"name": "a", **group}]))
    container: Object = pod_of(the(objects, "Deployment", f"{NAME}-worker-a"))["containers"][0]
    return container


def size(quantity: str | int) -> float:
    text = str(quantity)
    return next((float(text.removesuffix(u)) * by for u, by in _UNITS.items() if text.endswith(u)), 0.0) or float(text)


@pytest.mark.parametrize("name", NUMBERS)
def test_names_that_look_like_numbers_stay_texts(name: str) -> None:
    values = values_of(
        "minimal",
        workers=[{"name": name}],
        redis={"existingSecret": name, "key": name},
        gateway={"keysSecret": name},
        networkPolicy={"kedaNamespace": name, "monitoringNamespace": name},
        model=name,
        settings={"RERANK_NAMESPACE": name, "OTEL_SERVICE_NAME": name},
    )
    for each in render(values):
        kubernetes_validate.validate(each, VERSION, strict=True)


@pytest.mark.parametrize(
    "resources",
    [
        {"limits": {"cpu": 1}},
        {"limits": {"cpu": "500m", "memory": "200Mi"}},
        {"limits": {"memory": "8Gi"}},
        {"requests": {"memory": "8Gi"}},
        {"requests": {"cpu": 8}},
        {"limits": {"nvidia.com/gpu": 1}},
    ],
)
def test_a_request_is_never_above_its_limit(resources: dict[str, Any]) -> None:
    found = worker(processes=2, resources=resources)["resources"]
    for name, limit in found["limits"].items():
        assert name not in found["requests"] or size(found["requests"][name]) <= size(limit), found
    for kind, given in resources.items():
        assert found[kind].items() >= given.items()


@pytest.mark.parametrize("component", ["gateway", "worker-a"])
def test_a_budget_has_one_field(component: str) -> None:
    """The default is there beside what is given, and Kubernetes refuses both."""
    budget = {"podDisruptionBudget": {"minAvailable": "50%"}}
    objects = render(values_of("minimal", gateway=budget, workers=[{"name": "a", **budget}]))
    spec = the(objects, "PodDisruptionBudget", f"{NAME}-{component}")["spec"]
    assert spec.keys() - {"selector"} == {"minAvailable"}
    spec = the(render(values_of("minimal")), "PodDisruptionBudget", f"{NAME}-gateway")["spec"]
    assert spec.keys() - {"selector"} == {"maxUnavailable"}


@pytest.mark.parametrize(("maxmemory", "limit"), [("256mb", "512Mi"), ("4gb", "8192Mi"), ("1024kb", "128Mi")])
def test_the_valkey_for_trials_has_room_for_what_it_may_hold(maxmemory: str, limit: str) -> None:
    objects = render(values_of("trial", valkey={"enabled": True, "maxmemory": maxmemory}))
    container = pod_of(the(objects, "Deployment", f"{NAME}-valkey"))["containers"][0]
    assert container["resources"]["limits"]["memory"] == limit


def test_pods_reach_sentinels_where_there_are_some() -> None:
    def ports(**redis: Any) -> list[int]:
        values = values_of("minimal", redis={"existingSecret": "s", **redis})
        policy = the(render(values), "NetworkPolicy", f"{NAME}-worker")
        return [each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]]

    assert ports(port=6380) == [53, 53, 6380]
    assert ports(port=6380, sentinelPort=26379) == [53, 53, 6380, 26379]


def test_the_longest_names_fit_into_a_label() -> None:
    """KEDA writes the name of what it scales into one, and that takes 63 characters."""
    values = scaled()
    values["workers"][0]["name"] = "g" * 16
    (scaler,) = (each for each in render(values) if each["kind"] == "ScaledObject")
    spared = len(NAME) - 38
    assert len(scaler["metadata"]["name"]) - spared <= 63


def test_what_could_not_be_rolled_or_written_is_refused() -> None:
    import helm_python

    for values, said in (
        (values_of("minimal", workers=[{"name": "a", "rollingUpdate": {"maxSurge": 0}}]), "no pod could be replaced"),
        (values_of("minimal", gateway={"settings": {"RERANK_GATEWAY_BATCH_DIR": "/cache"}}), "needs a volume"),
    ):
        with pytest.raises(helm_python.HelmRenderError, match=said):
            render(values)
