"""The broker's URL: which transport kombu takes for it, and that its options reach the connections."""

from __future__ import annotations

import pytest
import redis
from kombu import Connection

from rerank_shared.queue.celery_app import make_celery
from rerank_shared.queue.transport import fleet_broker_url
from rerank_shared.queue.transport.channel import FleetTransport
from rerank_shared.redis.connections import COMMAND_TIMEOUT_S
from rerank_shared.settings import load_settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://u:p@h:6380/2", "rerank://u:p@h:6380/2"),
        ("rediss://h/1", "reranks://h:6379/1"),
        ("rediss://h?db=1&ssl_cert_reqs=none", "reranks://h:6379/1"),
        ("unix:///run/redis.sock?db=1", "rerank+socket:///run/redis.sock?virtual_host=1"),
        ("redis+socket:///run/redis.sock", "rerank+socket:///run/redis.sock?virtual_host=0"),
    ],
)
def test_each_kind_of_url_finds_the_transport(url: str, expected: str) -> None:
    found = fleet_broker_url(load_settings(redis_url=url))
    assert found == expected
    assert Connection(found).get_transport_cls() is FleetTransport


@pytest.mark.parametrize(
    ("url", "required"), [("rediss://h/1", "required"), ("rediss://h/1?ssl_cert_reqs=none", "none")]
)
def test_broker_and_results_check_the_server_unless_the_url_says_otherwise(url: str, required: str) -> None:
    app = make_celery(load_settings(redis_url=url))
    assert app.connection_for_write().ssl == {"ssl_cert_reqs": required}
    backend = app.backend.client.connection_pool.make_connection()
    assert isinstance(backend, redis.SSLConnection)
    assert (backend.cert_reqs.name, backend.db) == (f"CERT_{required.upper()}", 1)


@pytest.mark.parametrize(("option", "seconds"), [("", COMMAND_TIMEOUT_S), ("?health_check_interval=30", 30)])
def test_a_consumer_gives_up_a_server_that_is_silent_as_soon_as_a_command_does(option: str, seconds: float) -> None:
    """A machine that is gone closes no connection; a blocking pop would wait on it for kombu's 51 seconds."""
    app = make_celery(load_settings(redis_url=f"redis://h/1{option}"))
    with app.connection_for_read() as connection:
        assert connection.transport_options["health_check_interval"] == seconds
