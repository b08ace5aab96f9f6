"""Values that make no sense are refused before anything is installed, with the name of the field."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest

from support.chart import render, scaled, values_of

#: Values, and what the message must say.
SCHEMA: dict[str, tuple[dict[str, Any], str]] = {
    "a field that is not there": (values_of("minimal", gatway={}), "gatway"),
    "a field of a group": (values_of("minimal", workers=[{"name": "a", "proceses": 2}]), "proceses"),
    "no group": (values_of("minimal", workers=[]), "workers"),
    "a group without a name": (values_of("minimal", workers=[{"processes": 2}]), "name"),
    "a name that no pod can have": (values_of("minimal", workers=[{"name": "My_GPU"}]), "name"),
    "no processes": (values_of("minimal", workers=[{"name": "a", "processes": 0}]), "processes"),
    "memory in words": (values_of("minimal", gateway={"resources": {"limits": {"memory": "1 GB"}}}), "memory"),
    "a variable of another program": (values_of("minimal", settings={"REDIS_URL": "redis://"}), "REDIS_URL"),
    "a variable that a value sets": (values_of("minimal", settings={"RERANK_GRACE_S": 60}), "RERANK_GRACE_S"),
    "a list as a setting": (values_of("minimal", settings={"RERANK_CACHE": [True]}), "RERANK_CACHE"),
    "one idle pod": (scaled(minReplicas=2, idleReplicas=1), "idleReplicas"),
    "a fallback to zero": (scaled(fallbackReplicas=0), "fallbackReplicas"),
}
TEMPLATES: dict[str, tuple[dict[str, Any], str]] = {
    "no Redis": ({}, "redis.existingSecret: name a Secret"),
    "two groups of one name": (
        values_of("minimal", workers=[{"name": "a"}, {"name": "a"}]),
        "two groups are called a",
    ),
    "more pods at least than at most": (scaled(minReplicas=5, maxReplicas=4), "minReplicas is 5, above maxReplicas 4"),
    "scaling of a model that the signal is not of": (
        values_of("minimal", workers=[{"name": "a", "model": "other", "autoscaling": {"type": "keda"}}]),
        "the signal is of the gateway's model",
    ),
    "two groups behind one signal": (
        values_of("minimal", workers=[{"name": "a", "autoscaling": {"type": "keda"}}, {"name": "b"}]),
        "make them one group",
    ),
    "a fleet at zero behind gateways that wait for it": (
        scaled(minReplicas=0) | {"gateway": {"readiness": "fleet"}},
        "set gateway.readiness process",
    ),
    "an autoscaler at zero": (scaled(type="hpa", minReplicas=0), "minReplicas is 0, which only KEDA can"),
    "idle at a minimum of zero": (scaled(minReplicas=0, idleReplicas=0), "leave idleReplicas out"),
    "a trigger without its server": (scaled(trigger="prometheus"), "prometheusServer"),
    "KEDA without a key": (
        scaled() | {"gateway": {"keysSecret": "keys", "publicMetrics": False}},
        "KEDA has no key",
    ),
    "alerts without rules": (values_of("minimal", monitoring={"prometheusRule": True}), "--set-file"),
    "a file of rules that has none": (
        values_of("minimal", monitoring={"prometheusRule": True, "ruleFiles": {"alerts": "rules: []"}}),
        "monitoring.ruleFiles.alerts has no groups",
    ),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_the_schema_names_the_field(case: str) -> None:
    values, said = SCHEMA[case]
    with pytest.raises(helm_python.HelmValuesError, match=said):
        render(values)


@pytest.mark.parametrize("case", TEMPLATES)
def test_what_a_schema_cannot_say_is_said_by_the_templates(case: str) -> None:
    values, said = TEMPLATES[case]
    with pytest.raises(helm_python.HelmRenderError, match=said):
        render(values)
