"""The Helm chart, rendered as `helm template` does it, without a cluster."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "ops" / "deploy" / "helm" / "rerank-fleet"
VALUES = ROOT / "tests" / "deploy" / "values"
#: The release and its namespace in tests.
RELEASE, NAMESPACE = "rf", "search"
NAME = f"{RELEASE}-rerank-fleet"

Object = dict[str, Any]


def values_of(name: str, **changes: Any) -> dict[str, Any]:
    """Return a file of `tests/deploy/values`, with whole top-level values replaced."""
    values: dict[str, Any] = yaml.safe_load((VALUES / f"{name}.yaml").read_text(encoding="utf-8"))
    return values | changes


def scaled(processes: int = 2, **autoscaling: Any) -> dict[str, Any]:
    """Return minimal values with one group that KEDA scales."""
    group = {"name": "default", "processes": processes, "autoscaling": {"type": "keda", **autoscaling}}
    return values_of("minimal", workers=[group])


def render(values: dict[str, Any]) -> list[Object]:
    """Return all objects of the chart under these values. Raises helm_python's errors for values that are refused."""
    chart = _chart()
    values = copy.deepcopy(values)
    chart.validate_schema(values)
    return list(_objects(chart.render(values, name=RELEASE, namespace=NAMESPACE)))


def the(objects: list[Object], kind: str, name: str) -> Object:
    """Return the one object of this kind and name."""
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def deployments(objects: list[Object]) -> list[Object]:
    """Return the Deployments of the fleet's own parts."""
    return [
        each for each in objects if each["kind"] == "Deployment" and not each["metadata"]["name"].endswith("valkey")
    ]


def pod_of(deployment: Object) -> Object:
    """Return the specification of its pods."""
    return dict(deployment["spec"]["template"]["spec"])


def environ_of(container: Object) -> dict[str, str]:
    """Return the variables of a container; the Redis URL, which a Secret holds, is an example."""
    return {each["name"]: each.get("value", "redis://redis:6379/0") for each in container["env"]}


def _objects(manifests: dict[str, str]) -> Iterator[Object]:
    for path, text in sorted(manifests.items()):
        if not path.endswith("NOTES.txt"):
            yield from (each for each in yaml.safe_load_all(text) if each is not None)


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)
