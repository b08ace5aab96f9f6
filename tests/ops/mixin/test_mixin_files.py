"""The mixin's files are what its table says, and the table holds together."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rerank_dev.mixin.__main__ import RUNBOOK, main
from rerank_dev.mixin.cases import CASES
from rerank_ops.mixin import alerts as table
from rerank_ops.mixin.rules import CALLERS, P95_BUDGET_S, SHARES
from rerank_producer import metrics
from support.mixin.queries import ALERTS, FILES, RULES, all_queries, selectors

ROOT = Path(__file__).parents[3]
MIXIN = ROOT / "ops" / "mixin"
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")


def test_the_files_are_up_to_date() -> None:
    """If not: make mixin"""
    found = {str(path.relative_to(MIXIN)): path.read_text() for path in MIXIN.rglob("*") if path.is_file()}
    assert found.keys() == FILES.keys()
    assert {name for name, text in FILES.items() if found[name] != text} == set()


def test_another_runbook_can_be_named(tmp_path: Path) -> None:
    main([str(tmp_path), "--runbook", "https://wiki.example/rerank"])
    text = (tmp_path / "alerts.yaml").read_text()
    assert "runbook_url: https://wiki.example/rerank#reranknoworker" in text
    assert RUNBOOK not in text


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_every_alert_says_what_it_means_and_where_to_read_on(alert: dict[str, dict[str, str]]) -> None:
    texts = alert["annotations"]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert texts["summary"].endswith(".")
    assert texts["description"].endswith(".")
    page, _, anchor = texts["runbook_url"].partition("#")
    # As GitHub makes an anchor of a heading.
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_alert_has_a_reason_and_its_two_cases() -> None:
    assert [each.name for each in table.ALERTS if len(each.reason) < 20] == []
    assert {case.alert for case in CASES} == {each.name for each in table.ALERTS}


def test_every_limit_is_used() -> None:
    for each in table.ALERTS:
        assert {name for name in each.limits if f"${name}" not in each.expr} == set()


def test_every_recorded_figure_is_named_level_metric_operation_and_has_one_source() -> None:
    names = [(rule["record"], *rule.get("labels", {}).items()) for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert re.fullmatch(r"(fleet|[a-z_]+):rerank_[a-z_]+:[a-z0-9_]+", rule["record"])


def test_alerts_use_figures_that_are_recorded() -> None:
    recorded = {rule["record"] for rule in RULES}
    used = {selector.name or "" for query in all_queries() for selector in selectors(query)}
    assert {name for name in used if ":" in name} <= recorded


def test_gauges_of_the_whole_fleet_are_never_added_up() -> None:
    """Every gateway and every supervisor tells them: their sum would be the fleet times the number of targets."""
    gauges = re.compile(r"rerank_(workers|processes_\w+|queue_\w+|predicted_\w+|fleet_\w+|redis_\w+)")
    for query in all_queries():
        assert not re.search(r"\bsum [^(]*\([^)]*\) \(" + gauges.pattern, query), query
        assert not re.search(r"\bsum\s*\(" + gauges.pattern, query), query


def test_every_number_of_documents_has_a_budget() -> None:
    assert {metrics.k_bucket(k) for k in range(1, 1000)} == P95_BUDGET_S.keys()


def test_every_outcome_of_a_request_is_in_one_share_or_its_callers_doing() -> None:
    outcomes = {label for _, label in metrics._OUTCOMES} | {"partial", "cancelled", "failed"}
    told = [outcome for share in (*SHARES.values(), CALLERS) for outcome in share.split("|")]
    assert sorted(told) == sorted(outcomes)


@promtool
def test_prometheus_accepts_rules_and_alerts() -> None:
    run = subprocess.run(
        ["promtool", "check", "rules", "rules.yaml", "alerts.yaml"], cwd=MIXIN, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


@promtool
def test_every_alert_fires_and_is_silent_where_it_should() -> None:
    run = subprocess.run(["promtool", "test", "rules", "tests.yaml"], cwd=MIXIN, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
