"""The broker's URL: which transport kombu takes for it, and that TLS is checked."""

from __future__ import annotations

import ssl

import pytest
from kombu import Connection

from rerank_shared.settings import load_settings
from rerank_shared.transport import fleet_broker_url
from rerank_shared.transport.channel import FleetTransport


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://u:p@h:6380/2", "rerank://u:p@h:6380/2"),
        ("rediss://h/1", "reranks://h/1?ssl_cert_reqs=required"),
        ("rediss://h/1?ssl_ca_certs=/ca.pem", "reranks://h/1?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required"),
        ("rediss://h/1?ssl_cert_reqs=none", "reranks://h/1?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=1", "rerank+socket:///run/redis.sock?db=1"),
        ("redis+socket:///run/redis.sock", "rerank+socket:///run/redis.sock"),
    ],
)
def test_each_kind_of_url_finds_the_transport(url: str, expected: str) -> None:
    found = fleet_broker_url(load_settings(redis_url=url))
    assert found == expected
    assert Connection(found).get_transport_cls() is FleetTransport


def test_tls_checks_the_server_unless_the_url_says_otherwise() -> None:
    def required(url: str) -> object:
        return Connection(fleet_broker_url(load_settings(redis_url=url))).ssl["ssl_cert_reqs"]

    assert required("rediss://h/1") == ssl.CERT_REQUIRED
    assert required("rediss://h/1?ssl_cert_reqs=none") == ssl.CERT_NONE
