"""What Prometheus reads from a supervisor: counters of all processes added up, and the fleet's own gauges."""

from __future__ import annotations

import os
import signal
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rerank_dev.ports import free_port
from rerank_ops.local.fleet import local_fleet
from rerank_producer import RerankClient
from rerank_shared.collectors.backlog_and_workers import FleetCollector
from rerank_shared.settings import Settings
from support.jobs import celery_of, make_job, passages, send
from support.waiting import wait_until

pytestmark = pytest.mark.integration
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_a_scrape_tells_the_work_done_and_the_work_waiting(settings: Settings) -> None:
    port = free_port()
    settings = settings.model_copy(update={"metrics_port": port})
    with local_fleet(settings, processes=2), RerankClient(settings) as client, celery_of(settings) as app:
        # By plain Celery, which sends a job once: a client may send a late one again, or one request as several.
        for _ in range(4):
            assert send(app, settings, make_job(settings, "which rooms?", passages(12))).get(timeout=60)["complete"]
        samples = scrape(port)
        assert value(samples, "rerank_redis_up") == 1
        assert value(samples, "rerank_workers") == 2
        assert value(samples, "rerank_jobs_total", outcome="complete", **{"class": "interactive"}) == 4
        assert value(samples, "rerank_pairs_run_total") == 48
        assert value(samples, "rerank_batch_pairs_sum") == 48
        assert value(samples, "rerank_stage_seconds_count", stage="run", **{"class": "interactive"}) == 4
        assert value(samples, "rerank_fleet_tokens_per_second") > 0
        assert value(samples, "rerank_predicted_drain_seconds") == 0
        handles = [client.submit("which rooms?", passages(150), deadline_ms=600_000) for _ in range(10)]
        samples = scrape(port)
        queued = value(samples, "rerank_queue_jobs", state="queued", **{"class": "interactive"})
        held = value(samples, "rerank_queue_jobs", state="held", **{"class": "interactive"})
        assert queued + held > 0
        assert held > 0 or queued == len(handles)
        assert value(samples, "rerank_queue_tokens", **{"class": "interactive"}) > 1_000
        assert value(samples, "rerank_predicted_drain_seconds") > 0


def test_work_counts_while_no_worker_lives_and_a_lost_server_shows(settings: Settings) -> None:
    def gauges() -> dict[str, float]:
        families = FleetCollector(settings).collect()
        return {sample.name: sample.value for family in families for sample in family.samples}

    with RerankClient(settings) as client:
        client.submit("which rooms?", passages(150), deadline_ms=600_000)
    assert gauges()["rerank_workers"] == 0
    # Nobody has ever measured a rate in this namespace, so nobody can say how long it takes.
    assert gauges()["rerank_predicted_drain_seconds"] == float("inf")
    lost = FleetCollector(settings.model_copy(update={"redis_url": type(settings.redis_url)("unix:///nowhere/r.sock")}))
    assert [(sample.name, sample.value) for family in lost.collect() for sample in family.samples] == [
        ("rerank_redis_up", 0.0)
    ]


def test_a_job_that_comes_again_is_counted_as_run_or_as_answered_before(settings: Settings) -> None:
    port = free_port()
    settings = settings.model_copy(update={"metrics_port": port})

    def again(result: str) -> float:
        labels = tuple(sorted({"class": "interactive", "result": result}.items()))
        return scrape(port).get(("rerank_jobs_delivered_again_total", labels), 0.0)

    with local_fleet(settings, processes=1), celery_of(settings) as app:
        first = make_job(settings, "which rooms?", passages(2))
        assert send(app, settings, first).get(timeout=60)["complete"]
        assert (again("run"), again("answered_before")) == (0, 0)
        send(app, settings, replace(first, attempt=2))
        wait_until(lambda: again("answered_before") == 1, "it was answered before")
        # The first one of this job was lost on its way.
        lost = make_job(settings, "which rooms?", passages(3), attempt=2)
        assert send(app, settings, lost).get(timeout=60)["complete"]
        assert (again("run"), again("answered_before")) == (1, 1)


def test_counters_do_not_fall_when_a_process_is_replaced(settings: Settings) -> None:
    port = free_port()
    settings = settings.model_copy(update={"metrics_port": port})
    with local_fleet(settings, processes=1) as fleet, celery_of(settings) as app:
        assert send(app, settings, make_job(settings, "which rooms?", passages(5))).get(timeout=60)["complete"]
        before = value(scrape(port), "rerank_pairs_run_total")
        (pid,) = fleet.supervisor.pids()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: fleet.supervisor.pids() not in ([pid], []), "the process is replaced")
        assert send(app, settings, make_job(settings, "which rooms?", passages(5))).get(timeout=60)["complete"]
        assert value(scrape(port), "rerank_pairs_run_total") == before + 5
