"""A TCP proxy before a server that counts its clients' round trips: how often one sent something and was answered.

What the server sends unasked, such as a message on a channel, is no trip; what connecting costs is.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rerank_ops.local.redis_server import EmbeddedServer

Connect = Callable[[], socket.socket]


class Trips:
    """The proxy's address and what it has counted: `connections`, and `count` round trips over all of them."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listening]
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        self.count = self.connections = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def during(self, act: Callable[[], object]) -> int:
        """Return the round trips of what `act` does."""
        before = self.count
        act()
        return self.count - before

    def close(self) -> None:
        """Close all connections, and end the threads."""
        with self._lock:
            opened, self._open = self._open, []
        for each in opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
                server, asked = self._connect(), threading.Event()
                with self._lock:
                    self.connections += 1
                    self._open += [client, server]
                for source, target, seen in (
                    (client, server, asked.set),
                    (server, client, lambda asked=asked: self._answered(asked)),
                ):
                    thread = threading.Thread(target=_pass_on, args=(source, target, seen), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _answered(self, asked: threading.Event) -> None:
        if asked.is_set():
            asked.clear()
            with self._lock:
                self.count += 1


def _pass_on(source: socket.socket, target: socket.socket, seen: Callable[[], object]) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 20):
            # Before it is passed on: what it makes the other side do must find it noted.
            seen()
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def counted(server: EmbeddedServer) -> Iterator[Trips]:
    """Put a proxy before a server that listens on a socket file."""

    def connect() -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        opened.connect(server.url.removeprefix("unix://").partition("?")[0])
        return opened

    trips = Trips(connect)
    try:
        yield trips
    finally:
        trips.close()
