"""The gauges of kept feedback, on a real server: used beside the bounds, and absent where nobody can tell."""

from __future__ import annotations

import redis

from rerank_producer import RerankClient
from rerank_shared.collectors.feedback import FeedbackCollector
from rerank_shared.settings import Settings, load_settings


def gauges(settings: Settings) -> dict[str, float]:
    samples = [sample for family in FeedbackCollector(settings).collect() for sample in family.samples]
    return {each.name.removeprefix("rerank_feedback_"): each.value for each in samples}


def test_what_is_kept_stands_beside_its_bounds(settings: Settings) -> None:
    changed = load_settings(
        **(settings.model_dump(exclude_none=True) | {"feedback_max_records": 50, "feedback_max_mib": 2.0})
    )
    bounds = {"limit_records": 50.0, "limit_bytes": 2.0 * 1024 * 1024}
    assert gauges(changed) == bounds | {"used_records": 0.0, "used_bytes": 0.0}
    with RerankClient(changed) as client:
        for number in range(3):
            assert client.feedback(f"r{number}", shown=["a", "b"], clicked=["b"])
    found = gauges(changed)
    assert found["used_records"] == 3
    assert 100 < found["used_bytes"] < 10_000


def test_a_server_that_is_not_asked_of_its_memory_tells_the_number(settings: Settings, client: redis.Redis) -> None:
    name = f"no-memory-{settings.namespace}"
    client.execute_command("ACL", "SETUSER", name, "on", ">secret", "~*", "+@all", "-memory")
    try:
        url = settings.redis_url.get_secret_value()
        asked = load_settings(redis_url=f"{url}?username={name}&password=secret", namespace=settings.namespace)
        with RerankClient(settings) as told:
            assert told.feedback("r", shown=["a"], clicked=[])
        assert gauges(asked) == {"used_records": 1.0, "limit_records": 100_000.0}
    finally:
        client.execute_command("ACL", "DELUSER", name)


def test_a_server_that_is_away_tells_nothing() -> None:
    assert gauges(load_settings(redis_url="redis://127.0.0.1:1/0")) == {}
