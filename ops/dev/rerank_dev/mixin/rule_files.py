"""Prometheus's files as text: recording rules, alerts, and promtool's tests of the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from rerank_dev.mixin.cases import CASES, Case
from rerank_ops.mixin.alert import Alert
from rerank_ops.mixin.alerts import ALERTS, alert
from rerank_ops.mixin.rules import Rule, recording_groups

RULES, ALERTS_FILE, TESTS = "rules.yaml", "alerts.yaml", "tests.yaml"
HEAD = "# Written by `make mixin` from ops/rerank_ops/mixin: change it there.\n"


def rule_files(runbook: str, *, hold: bool = True) -> dict[str, str]:
    """Return the files by name. `runbook`: address of the runbook; without `hold` alerts fire at once."""
    recorded = [{"name": name, "rules": list(map(_recorded, rules))} for name, rules in recording_groups().items()]
    alerts = [_fired(each, runbook, hold=hold) for each in ALERTS]
    return {
        RULES: _text({"groups": recorded}),
        ALERTS_FILE: _text({"groups": [{"name": "rerank-alerts", "rules": alerts}]}),
        TESTS: _text({"rule_files": [RULES, ALERTS_FILE], "evaluation_interval": "1m", "tests": _tests(runbook)}),
    }


def _recorded(rule: Rule) -> dict[str, Any]:
    return {"record": rule.record, "expr": rule.expr} | ({"labels": dict(rule.labels)} if rule.labels else {})


def _fired(each: Alert, runbook: str, *, hold: bool) -> dict[str, Any]:
    lasting = {"for": f"{each.for_minutes}m"} if hold and each.for_minutes else {}
    texts = {"summary": each.summary, "description": each.description, "runbook_url": f"{runbook}#{each.anchor}"}
    found = {"alert": each.name, "expr": each.query, **lasting}
    return found | {"labels": {"severity": each.severity}, "annotations": texts}


def _tests(runbook: str) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{each.name} {'fires' if fires else 'is silent'}",
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {"eval_time": case.at, "alertname": each.name, "exp_alerts": _expected(case, runbook) if fires else []}
            ],
        }
        for case in CASES
        for each in [alert(case.alert)]
        for fires, series in ((True, case.fires), (False, case.silent))
    ]


def _expected(case: Case, runbook: str) -> Sequence[Mapping[str, Any]]:
    each = alert(case.alert)
    texts = {
        "summary": _filled(each.summary, case),
        "description": _filled(each.description, case),
        "runbook_url": f"{runbook}#{each.anchor}",
    }
    return [{"exp_labels": {"severity": each.severity} | dict(case.labels), "exp_annotations": texts}]


def _filled(template: str, case: Case) -> str:
    """Return a template as Prometheus fills it: each label, and the value as the case says that it reads."""
    words = []
    for part in template.split("{{ "):
        name, end, rest = part.partition(" }}")
        label = name.removeprefix("$labels.")
        words.append((case.value if name.startswith("$value") else case.labels[label]) + rest if end else part)
    return "".join(words)


def _text(content: Any) -> str:
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=116, allow_unicode=True)
