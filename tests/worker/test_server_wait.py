"""What a worker makes of its server before it is connected: which failures it waits for, and which end it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import load_settings
from rerank_worker.server_wait import ServerWait


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
