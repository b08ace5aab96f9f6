"""A live fleet tells every metric that the mixin names, and a real Prometheus evaluates its rules over it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rerank_worker.metrics import JOBS_AGAIN, JOBS_DROPPED
from support.mixin.live import LiveFleet, ask, work
from support.mixin.prometheus import Prometheus
from support.mixin.queries import RULES, all_queries, board_queries, selectors
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("mixin")]

#: Told once it has happened, by a worker or a client.
RARE = {f"{metric.name}_total" for metric in (JOBS_AGAIN, JOBS_DROPPED)} | {"rerank_jobs_sent_again_total"}
#: Prometheus's own, and the labels that it gives.
ITS_OWN = {"up"}
TARGETS = {"namespace", "job", "instance"}
#: Suffixes of the samples that a family of some type has.
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}


def told(text: str) -> set[str]:
    """Return the names of samples that a scrape has, or would have once there is something to count."""
    families = text_string_to_metric_families(text)
    return {family.name + suffix for family in families for suffix in SAMPLES.get(family.type, ("",))}


def test_every_metric_of_the_mixin_is_told_by_a_live_fleet(live: LiveFleet) -> None:
    names = {selector.name or "" for query in all_queries() for selector in selectors(query)}
    metrics = {name for name in names if ":" not in name} - ITS_OWN
    known = set().union(*map(told, live.scrapes))
    assert metrics - known - RARE == set()


def test_every_label_of_the_mixin_is_one_of_its_metric(live: LiveFleet) -> None:
    """A misspelt label of a query is no error: it groups by nothing."""
    labels: dict[str, set[str]] = {}
    for family in (found for text in live.scrapes for found in text_string_to_metric_families(text)):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for query in board_queries():
        chosen = selectors(query)
        known = set().union(*(labels.get(each.name or "", set()) for each in chosen)) | TARGETS
        by = {name.strip() for words in re.findall(r"by \(([^)]*)\)", query) for name in words.split(",")}
        asked = {matcher.name for each in chosen for matcher in each.matchers.matchers}
        if not RARE & {each.name for each in chosen}:
            assert (by | asked) <= known, query


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
@pytest.mark.parametrize("target", [0, 1], ids=["gateway", "supervisor"])
def test_a_live_scrape_is_as_prometheus_wants_it(live: LiveFleet, target: int) -> None:
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=live.scrapes[target], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.fixture
def prometheus(live: LiveFleet, tmp_path: Path) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    running = Prometheus(tmp_path, live.targets)
    yield running
    running.close()


@pytest.mark.timeout(300)
def test_a_real_prometheus_records_the_fleet_and_fires_when_its_workers_are_gone(
    live: LiveFleet, prometheus: Prometheus
) -> None:
    # Of both targets: a counter that a first scrape finds already counted has no rate.
    for name in ("rerank_requests_total", "rerank_stage_seconds_count"):
        wait_until(partial(prometheus.numbers, name), "a first scrape")
    work(live.gateway)
    for name in sorted({rule["record"] for rule in RULES}):
        wait_until(partial(prometheus.numbers, name), name, bound_s=90)
    assert prometheus.numbers("fleet:rerank_workers:max") == [1.0]
    assert prometheus.problems() == {}
    assert not prometheus.series('ALERTS{alertname="RerankNoWorker"}')

    live.fleet.supervisor.drain()
    wait_until(lambda: prometheus.numbers("fleet:rerank_workers:max") == [0.0], "the workers are gone")
    assert not prometheus.series('ALERTS{alertname="RerankNoWorker"}'), "nothing waits"
    sent = ask(live.gateway, "/v1/jobs", query="of nobody", documents=["one that nobody has scored"])
    assert sent.status_code == 202, sent.text
    fired = 'ALERTS{alertname="RerankNoWorker", alertstate="firing", severity="critical"}'
    wait_until(lambda: prometheus.series(fired), "the alert")
    assert prometheus.problems() == {}
