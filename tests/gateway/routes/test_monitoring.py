"""/autoscale and /metrics over a real fleet, and what they say while there is none."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import StartFleet, StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_producer.gateway.auth.keyfile import new_key
from rerank_shared.collectors import all_collectors
from rerank_shared.contract.messages import name_of
from rerank_shared.keys import ACTIVITY_SLOT_S, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings, load_settings
from support.http.gateway import FrontedFleet
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
QUERY, DOCUMENTS = "How many people live in Berlin?", ["Berlin has 3,520,031 inhabitants.", "Bread goes stale."]


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(client: httpx.Client, name: str, **labels: str) -> float | None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return samples(answer.text).get((name, frozenset(labels.items())))


def test_the_signal_of_a_fleet(fronted: FrontedFleet) -> None:
    told = fronted.http.get("/autoscale").json()
    assert told["processes"] == {
        "ready": 1, "busy": pytest.approx(told["processes"]["busy"]), "wanted": 1, "min": 1, "max": None
    }  # fmt: skip
    assert set(told["queues"]) == {"interactive", "bulk"}
    assert told["queues"]["bulk"] == {
        "drain_s": 0.0, "tokens": 0, "queued_jobs": 0, "held_jobs": 0, "oldest_age_s": None
    }  # fmt: skip
    served = fronted.client.model_info()
    assert told["model"] == served.name
    (pool,) = told["pools"]
    assert (pool["model"], pool["precision"], pool["processes"]) == (served.name, served.precision, 1)
    assert pool["queues"]["bulk"] == {"queued_jobs": 0, "held_jobs": 0, "tokens": 0}
    assert pool["drain_s"] == 0.0
    wait_until(lambda: fronted.http.get("/autoscale").json()["processes"]["busy"] < 1, "it is not busy")


def test_its_metrics_have_the_fleet_and_its_own_requests(fronted: FrontedFleet) -> None:
    labels = {"class": "interactive", "outcome": "complete"}
    before = scraped(fronted.http, "rerank_requests_total", **labels) or 0.0
    fronted.http.post("/v2/rerank", json={"query": QUERY, "documents": DOCUMENTS})
    assert scraped(fronted.http, "rerank_requests_total", **labels) == before + 1
    assert scraped(fronted.http, "rerank_workers") == 1
    assert scraped(fronted.http, "rerank_redis_up") == 1
    assert scraped(fronted.http, "rerank_processes_wanted") == 1
    assert scraped(fronted.http, "rerank_queue_jobs", state="held", **{"class": "bulk"}) == 0


def test_work_that_waits_for_no_worker_asks_for_one(settings: Settings, start_gateway: StartGateway) -> None:
    fleet = load_settings(**(settings.model_dump(exclude_none=True) | {"min_processes": 0}))
    gateway = start_gateway(fleet)
    with RerankClient(fleet) as client, gateway.client() as http:
        assert http.get("/autoscale").json()["processes"]["wanted"] == 0
        client.submit(QUERY, DOCUMENTS, deadline_ms=600_000)
        wait_until(lambda: http.get("/autoscale").json()["processes"]["wanted"] == 1, "one is wanted")
        told = http.get("/autoscale").json()
        # Nobody has measured what work costs, so nobody can say how long it takes.
        assert (told["drain_s"], told["queues"]["interactive"]["drain_s"]) == (None, None)
        assert told["queues"]["interactive"]["queued_jobs"] == 1
        assert told["queues"]["interactive"]["oldest_age_s"] > 0
        assert told["processes"]["ready"] == 0


def test_a_server_that_hangs_is_told_to_every_scrape(start_gateway: StartGateway) -> None:
    """Prometheus waits ten seconds by default, and then would know nothing but that the gateway does not answer."""
    with EmbeddedServer.start() as own:
        gateway = start_gateway(load_settings(redis_url=own.url))
        with gateway.client() as http, ThreadPoolExecutor(10) as scrapers:
            assert scraped(http, "rerank_redis_up") == 1
            assert own.pid is not None
            os.kill(own.pid, signal.SIGSTOP)
            try:
                wait_until(lambda: scraped(http, "rerank_redis_up") == 0, "the news")
                told = list(scrapers.map(lambda _: scraped(http, "rerank_redis_up"), range(10)))
            finally:
                os.kill(own.pid, signal.SIGCONT)
            assert told == [0.0] * 10
            wait_until(lambda: scraped(http, "rerank_redis_up") == 1, "it is back")


def test_all_collectors_together_wait_for_less_than_prometheus() -> None:
    settings = load_settings(redis_url="unix:///nowhere/redis.sock")
    collectors: list[Any] = list(all_collectors(settings))
    bounds = [each._client.connection_pool.connection_kwargs["socket_timeout"] for each in collectors]
    assert sum(bounds) < 10


def test_what_cannot_be_read_hides_nothing_else(settings: Settings, start_gateway: StartGateway) -> None:
    """One record of another release, or of a stranger, took the whole signal and all metrics away."""
    keys, model = Keys(settings.namespace), name_of(settings.model)
    with connect(settings) as redis, start_gateway().client() as http:
        now = server_epoch(redis)
        redis.hset(keys.cost(model), "int8|host", "rubbish")
        redis.zadd(keys.workers, {"a": now + 600})
        redis.set(keys.worker("a"), "rubbish")
        redis.zadd(keys.backlog("bulk"), {"x|y|z|rubbish|": now + 600, "a|nan|1|1|9": now + 600})
        for slot in range(3):
            redis.hset(keys.activity(int(now // ACTIVITY_SLOT_S) + slot), mapping={"alive": "rubbish", "bulk": "nan"})
        answer = http.get("/autoscale")
        assert answer.status_code == 200
        assert answer.json()["queues"]["bulk"]["held_jobs"] == 2
        assert scraped(http, "rerank_redis_up") == 1
        assert scraped(http, "rerank_workers") == 0
        assert scraped(http, "rerank_processes_busy") == 0


def test_redis_away_is_no_figure_and_never_0(start_gateway: StartGateway) -> None:
    with EmbeddedServer.start() as own:
        gateway = start_gateway(load_settings(redis_url=own.url))
        with gateway.client() as http:
            assert http.get("/autoscale").status_code == 200
            own.kill()
            wait_until(lambda: http.get("/autoscale").status_code == 503, "it says so")
            answer = http.get("/autoscale")
            assert answer.json()["error"]["code"] == "queue_unavailable"
            assert "processes" not in answer.json()
            assert scraped(http, "rerank_redis_up") == 0
            text = http.get("/metrics").text
            assert "rerank_workers" not in text
            assert "rerank_processes_wanted" not in text
            assert "rerank_requests_total" in text


@pytest.mark.parametrize("path", ["/autoscale", "/metrics"])
def test_both_take_a_key_where_there_are_keys_unless_they_are_public(
    settings: Settings, start_gateway: StartGateway, tmp_path: Path, path: str
) -> None:
    file = tmp_path / "keys.toml"
    key, text = new_key("", "prometheus", {}, date(2026, 1, 1))
    file.write_text(text)
    closed, public = start_gateway(keys=str(file)), start_gateway(keys=str(file), public_metrics=True)
    with closed.client() as http:
        assert http.get(path).status_code == 401
        assert http.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 200
    with public.client() as http:
        assert http.get(path, headers={"host": "gateway.shop.svc:8080"}).status_code == 200
        assert http.get("/v1/fleet/state").status_code == 401


def test_several_processes_count_together(start_fleet: StartFleet, start_gateway: StartGateway) -> None:
    start_fleet()
    gateway = start_gateway(processes=2).wait_ready()
    asked = 24
    for number in range(asked):
        # A connection of its own each: the kernel gives it to either process.
        with gateway.client() as http:
            assert http.post("/v2/rerank", json={"query": f"{QUERY} {number}", "documents": DOCUMENTS}).is_success
    counted = set()
    for _ in range(12):
        with gateway.client() as http:
            counted.add(scraped(http, "rerank_requests_total", **{"class": "interactive", "outcome": "complete"}))
    assert counted == {asked}
