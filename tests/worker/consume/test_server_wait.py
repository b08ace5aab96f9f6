"""What a worker makes of its server before it is connected: which failures it waits for, and which end it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.errors import ConfigurationError
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from rerank_worker.consume.server_wait import ServerWait

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """One of its own: users are added to it."""
    with EmbeddedServer.start() as running:
        yield running


@contextmanager
def listening(treat: Callable[[socket.socket], object]) -> Iterator[int]:
    """Accept all who connect, treat each and close; yields the port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    treat(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def look(url: str) -> None:
    ServerWait(load_settings(redis_url=url)).refuse()


@pytest.mark.parametrize(
    "treat", [lambda connection: connection.recv(65_536), lambda _: None], ids=["reads-first", "at-once"]
)
def test_a_connection_that_ends_in_the_handshake_is_waited_for(
    treat: Callable[[socket.socket], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A server with maxclients in use ends it so, and a proxy whose server is down: nobody has to change a setting."""
    with listening(treat) as port:
        look(f"rediss://127.0.0.1:{port}/0")
    assert "reason=unreachable" in caplog.text
    assert "does not speak TLS, RERANK_REDIS_URL starts with redis://" in caplog.text


def test_a_server_that_answers_in_plain_text_is_refused() -> None:
    plain = listening(lambda connection: connection.sendall(b"-ERR unknown command\r\n"))
    with plain as port, pytest.raises(ConfigurationError, match="does not speak TLS on this port"):
        look(f"rediss://127.0.0.1:{port}/0")


def test_a_server_that_lacks_the_database_is_refused(server: EmbeddedServer) -> None:
    with pytest.raises(ConfigurationError, match="has no such database"):
        look(f"{server.url}?db=99")


@pytest.mark.parametrize(
    ("forbidden", "option", "says"),
    [("-select", "db=1", "to run SELECT"), ("-client|setname", "client_name=app", "to run CLIENT")],
)
def test_a_user_who_may_not_connect_is_refused(server: EmbeddedServer, forbidden: str, option: str, says: str) -> None:
    with connect(load_settings(redis_url=server.url)) as admin:
        admin.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all", forbidden)
    with pytest.raises(ConfigurationError, match=f"does not permit this user {says}"):
        look(f"{server.url}?username=few&password=pw&{option}")


def test_what_is_no_redis_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with listening(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        look(f"redis://127.0.0.1:{port}/0")
    assert "answers in a way that Redis does not" in caplog.text
    assert "Set RERANK_REDIS_URL to a Redis server" in caplog.text
