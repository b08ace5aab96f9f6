"""A worker process before it consumes: what it refuses to start with, and the core it binds itself to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.collectors.backlog_and_workers import FleetCollector
from rerank_shared.contract import wire
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable
from rerank_shared.fleet import cost_field, read_costs, share_cost
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import COST_FRESH_S, COST_KEPT_S, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.cost import CostParameters, SharedCost, Work
from rerank_shared.settings import Settings, load_settings
from rerank_worker import process
from rerank_worker.process import EX_CONFIG
from support.waiting import wait_until


class TestBuilding:
    def test_a_pair_of_full_length_must_fit_in_a_batch(self) -> None:
        with pytest.raises(ConfigurationError, match=r"RERANK_BUDGET_TOKENS \(256\) is below the 512 tokens"):
            process.build(load_settings(budget_tokens=256), "worker", None)

    def test_another_model_than_expected_is_refused(self) -> None:
        with pytest.raises(ModelDamaged, match="0" * 64):
            process.build(load_settings(model_digest="0" * 64), "worker", None)

    def test_a_missing_model_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match="nowhere"):
            process.build(load_settings(model=f"file:{tmp_path}/nowhere"), "worker", None)

    @pytest.mark.parametrize(("max_length", "limit"), [(128, 128), (None, 512)])
    def test_it_announces_what_pairs_are_cut_to(self, max_length: int | None, limit: int) -> None:
        """No server is needed until it consumes; the address is one where nobody listens."""
        settings = load_settings(max_length=max_length, budget_tokens=512, redis_url="redis://127.0.0.1:1/0")
        _, heartbeats = process.build(settings, "worker", 3)
        assert heartbeats.models[0].identity.max_length == limit
        assert (heartbeats.heartbeat.worker_id, heartbeats.heartbeat.core) == ("worker", 3)
        assert heartbeats.heartbeat.tokens_per_s > 0
        assert heartbeats.heartbeat.pid == os.getpid()
        assert heartbeats.models[0].run_cost.cost.parameters is not None

    def test_its_channels_know_whose_they_are(self) -> None:
        app, _ = process.build(load_settings(budget_tokens=512, redis_url="redis://127.0.0.1:1/0"), "worker", None)
        assert app.conf.broker_transport_options["owner"] == "worker"
        assert callable(app.conf.worker_consumer.on_dead_letter)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds threads to cores")
class TestPinning:
    @staticmethod
    def pin_in_a_thread(**settings: object) -> tuple[int | None, set[int]]:
        """Affinity is a thread's own on Linux, so a thread of its own leaves the tests' alone."""
        found: list[tuple[int | None, set[int]]] = []
        thread = threading.Thread(
            target=lambda: found.append((process._pin(load_settings(**settings)), os.sched_getaffinity(0)))
        )
        thread.start()
        thread.join()
        return found[0]

    def test_to_the_core_that_the_supervisor_gave(self, monkeypatch: pytest.MonkeyPatch) -> None:
        core = max(os.sched_getaffinity(0))
        monkeypatch.setenv("FLEET_WORKER_CORE", str(core))
        assert self.pin_in_a_thread() == (core, {core})

    def test_not_when_it_is_switched_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLEET_WORKER_CORE", str(max(os.sched_getaffinity(0))))
        assert self.pin_in_a_thread(pin=False) == (None, os.sched_getaffinity(0))

    @pytest.mark.parametrize("core", ["", None])
    def test_not_without_a_core(self, core: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FLEET_WORKER_CORE", raising=False)
        if core is not None:
            monkeypatch.setenv("FLEET_WORKER_CORE", core)
        assert self.pin_in_a_thread() == (None, os.sched_getaffinity(0))

    def test_not_where_the_system_can_t(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLEET_WORKER_CORE", "0")
        monkeypatch.delattr(os, "sched_setaffinity")
        assert process._pin(load_settings()) is None


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("RERANK_LOG_LEVEL", "debug", "RERANK_LOG_LEVEL: Input should be 'DEBUG'"),
        ("RERANK_CONCURENCY", "4", "did you mean RERANK_CONCURRENCY?"),
        ("RERANK_REDIS_URL", "http://example.com", "RERANK_REDIS_URL: "),
    ],
)
def test_wrong_settings_end_the_process_for_good(variable: str, value: str, told: str) -> None:
    """One line and the status that says: starting again can't help."""
    command = [sys.executable, "-m", "rerank_worker.process"]
    run = subprocess.run(command, env=os.environ | {variable: value}, capture_output=True, text=True, check=False)
    assert run.returncode == EX_CONFIG
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_a_full_server_does_not_end_a_worker_s_presence(caplog: pytest.LogCaptureFixture) -> None:
    """Heartbeats are written there too; else the worker would seem dead, and its jobs be run twice."""
    with EmbeddedServer.start() as server:
        settings = load_settings(redis_url=server.url, budget_tokens=512, redelivery_s=0.5)
        _, heartbeats = process.build(settings, "worker", None)
        client = connect(settings)
        client.config_set("maxmemory", 1)
        heartbeats.start()
        wait_until(lambda: client.exists(heartbeats.keys.worker("worker")), "a heartbeat")
        before = client.zscore(heartbeats.keys.workers, "worker")
        wait_until(lambda: client.zscore(heartbeats.keys.workers, "worker") != before, "the next one")
        assert "redis" not in caplog.text
        heartbeats.stop()
        assert not client.exists(heartbeats.keys.worker("worker"))
        client.close()
        heartbeats.client.close()


def test_a_draining_worker_is_deregistered_while_it_still_runs(settings: Settings) -> None:
    """It takes no more jobs, so it must not count: not as ready for autoscalers, nor as idle for clients."""
    _, heartbeats = process.build(
        load_settings(**(settings.model_dump(exclude_none=True) | {"budget_tokens": 512})), "w", None
    )
    keys, model = heartbeats.keys, heartbeats.models[0].identity.model
    with connect(settings) as client:
        heartbeats.beat()
        assert [worker.worker_id for worker in read_state(client, keys, model).workers] == ["w"]
        heartbeats.scoring.drain()
        # Twice: the second one must not bring it back.
        for _ in range(2):
            heartbeats.beat()
            assert read_state(client, keys, model).workers == ()
            assert client.zcard(keys.workers) == 0
            assert not client.exists(keys.worker("w"))
        # What it serves, and what that costs, stay known.
        assert client.exists(keys.identity(model), keys.cost(model)) == 2
    heartbeats.client.close()


class TestCosts:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return load_settings(**(settings.model_dump(exclude_none=True) | {"budget_tokens": 512}))

    def test_are_shared_by_model_precision_and_host(self, settings: Settings) -> None:
        _, heartbeats = process.build(settings, "worker", None)
        (model,) = heartbeats.models
        known = model.run_cost.cost.parameters
        heartbeats.beat()
        with connect(settings) as client:
            found = read_costs(client.hgetall(heartbeats.keys.cost(model.identity.model)))
            field = cost_field(model.identity.precision, heartbeats.heartbeat.host)
            assert {field: cost.parameters for field, cost in found.items()} == {field: known}
            client.delete(heartbeats.keys.cost(model.identity.model))
            heartbeats.beat()
            assert not client.exists(heartbeats.keys.cost(model.identity.model)), "written though nothing was learned"
            model.run_cost.observe([100], 1.0)
            heartbeats.beat()
            assert client.exists(heartbeats.keys.cost(model.identity.model))
        heartbeats.client.close()

    def test_are_shared_again_now_and_then_and_rid_of_hosts_that_are_gone(self, settings: Settings) -> None:
        _, heartbeats = process.build(settings, "worker", None)
        (model,) = heartbeats.models
        key, field = heartbeats.keys.cost(model.pool), model.cost_field.encode()
        gone = SharedCost(CostParameters(1.0, 1.0, 0.0), heartbeats.clock.epoch() - COST_KEPT_S - 60)
        with connect(settings) as client:
            client.hset(key, mapping={"int8|pod-1": wire.encode_cost(gone), "int8|pod-2": b"garbled"})
            heartbeats._ask_server()
            heartbeats.beat()
            assert client.hkeys(key) == [field]
            client.delete(key)
            model._shared_until = 0.0
            heartbeats.beat()
            (found,) = read_costs(client.hgetall(key)).values()
            assert abs(found.shared_at - heartbeats.clock.epoch()) < COST_FRESH_S
        heartbeats.client.close()

    def test_of_another_process_of_this_host_are_adopted(self, settings: Settings) -> None:
        _, heartbeats = process.build(settings, "worker", None)
        (model,) = heartbeats.models
        keys, field = heartbeats.keys, cost_field(model.identity.precision, heartbeats.heartbeat.host)
        before = model.run_cost.cost.predict_s(Work.pair(100))
        slow = CostParameters(1.0, 1.0, 0.0, observations=500)
        with connect(settings) as client:
            share_cost(client, keys, [model.pool], cost_field("fp64", "elsewhere"), SharedCost(slow))
            heartbeats._ask_server()
            assert model.run_cost.cost.predict_s(Work.pair(100)) == before
            share_cost(client, keys, [model.pool], field, SharedCost(slow))
            heartbeats._ask_server()
            assert model.run_cost.cost.predict_s(Work.pair(100)) != before
            client.hset(keys.cost(model.pool), field, b"garbled")
            heartbeats._ask_server()
        heartbeats.client.close()


def test_a_scrape_of_a_server_that_refuses_says_so() -> None:
    with EmbeddedServer.start() as server:
        settings = load_settings(redis_url=server.url)
        client = connect(settings)
        # What a replica, a full server and one that lost its disk have in common: they answer, with a refusal.
        client.set(Keys(settings.namespace).workers, "of another type")
        (gauge,) = FleetCollector(settings).collect()
        assert (gauge.name, gauge.samples[0].value) == ("rerank_redis_up", 0.0)
        client.close()
