"""How the chart scales: /autoscale speaks of processes, a pod has several of them."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import StartGateway
from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.settings import Settings, load_settings
from support.chart import NAME, Object, environ_of, pod_of, render, scaled, the, values_of

WORKER = f"{NAME}-worker-default"


def scaled_object(values: dict[str, Any]) -> Object:
    return dict(the(render(values), "ScaledObject", WORKER)["spec"])


def pods(wanted: int, spec: Object) -> int:
    """The replicas of a ScaledObject, as KEDA and the autoscaler under it compute them from an average over pods."""
    (trigger,) = spec["triggers"]
    assert trigger["metricType"] == "AverageValue"
    metadata = trigger["metadata"]
    target = float(metadata.get("targetValue") or metadata["threshold"])
    activation = float(metadata.get("activationTargetValue") or metadata["activationThreshold"])
    if spec["minReplicaCount"] == 0 and wanted <= activation:
        return 0
    least, most = int(spec["minReplicaCount"]), int(spec["maxReplicaCount"])
    return min(max(math.ceil(wanted / target), least, 1), most)


@given(processes=st.integers(1, 16), wanted=st.integers(0, 400))
def test_there_are_as_many_pods_as_hold_the_processes_wanted(processes: int, wanted: int) -> None:
    count = pods(wanted, scaled_object(scaled(processes, minReplicas=0, maxReplicas=1000)))
    assert count * processes >= wanted
    assert (count - 1) * processes < wanted or count == 0


@pytest.mark.parametrize("trigger", ["metrics-api", "prometheus"])
def test_a_job_that_waits_wakes_a_fleet_at_zero(trigger: str) -> None:
    values = scaled(4, minReplicas=0, trigger=trigger, prometheusServer="http://prometheus:9090")
    spec = scaled_object(values)
    assert pods(0, spec) == 0
    assert pods(1, spec) == 1


def test_the_gateway_wants_as_many_processes_as_the_pods_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = the(render(scaled(4, minReplicas=2, maxReplicas=6)), "Deployment", f"{NAME}-gateway")
    for name, value in environ_of(pod_of(gateway)["containers"][0]).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.min_processes, settings.max_processes) == (8, 24)
    assert load_gateway_settings().keys is None


def test_the_place_that_keda_reads_is_in_the_answer(start_gateway: StartGateway, settings: Settings) -> None:
    metadata = scaled_object(scaled())["triggers"][0]["metadata"]
    with start_gateway().client() as client:
        value = client.get(urlsplit(metadata["url"]).path).json()
    for step in metadata["valueLocation"].split("."):
        value = value[step]
    assert value == settings.min_processes


def test_an_autoscaler_alone_decides_how_many_pods_there_are() -> None:
    """A number of replicas in the Deployment would be set again by each upgrade."""
    for values in (scaled(), values_of("hpa")):
        assert "replicas" not in the(render(values), "Deployment", WORKER)["spec"]
    assert the(render(values_of("minimal")), "Deployment", WORKER)["spec"]["replicas"] == 2


def test_without_the_signal_the_fleet_does_not_shrink() -> None:
    fallback = scaled_object(scaled(minReplicas=0, fallbackReplicas=3))["fallback"]
    assert fallback == {"failureThreshold": 3, "replicas": 3, "behavior": "currentReplicasIfHigher"}


def test_an_idle_fleet_may_go_while_a_busy_one_keeps_its_minimum() -> None:
    spec = scaled_object(scaled(minReplicas=2, idleReplicas=0))
    assert (spec["idleReplicaCount"], spec["minReplicaCount"]) == (0, 2)
    assert "idleReplicaCount" not in scaled_object(scaled(minReplicas=2))


def test_the_horizontal_autoscaler_follows_the_same_number() -> None:
    spec = the(render(values_of("hpa")), "HorizontalPodAutoscaler", WORKER)["spec"]
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {
                "metric": {"name": "rerank_processes_wanted"},
                "target": {"type": "AverageValue", "averageValue": "3"},
            },
        }
    ]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKER}


def test_the_metric_that_is_asked_for_is_one_that_the_gateway_has(start_gateway: StartGateway) -> None:
    with start_gateway().client() as client:
        metrics = client.get("/metrics").text
    query = scaled_object(values_of("keda-prometheus"))["triggers"][0]["metadata"]["query"]
    (name,) = re.findall(r"rerank_\w+", query)
    assert f"# TYPE {name} gauge" in metrics
