"""Embedded server: a Redis-compatible server as a child of this process, for a laptop, the demo and the tests.

It never outlives this process, even if SIGKILL ends that, and never takes over the socket of another server.
`redis_server.py` decides whether one is started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rerank_ops.local.redis_binary import ServerBinary, find_server
from rerank_shared.errors import ServerUnavailable

START_S = 10.0
STOP_S = 5.0
#: Limit on the length of a socket's path; the kernel's is 104 bytes on macOS and 108 on Linux, with the closing zero.
SOCKET_PATH_BYTES = 100
_POLL_S = 0.01
_LOG_LINES = 15

# The guard waits on a pipe that only this process holds open. When this process ends in any way, the read returns and
# the guard kills the server. PR_SET_PDEATHSIG needs preexec_fn (unsafe beside threads), is Linux only, and fires when
# the *thread* that started the server ends. SIGKILL, because a paused server would keep a SIGTERM pending; data
# confirmed for an append-only file is with the kernel by then.
_GUARD = 'read -r _; kill -KILL "$1" 2>/dev/null; if [ -n "$2" ]; then rm -rf -- "$2"; fi'


class EmbeddedServer:
    """A server that runs as a child of this process, on a unix socket unless a port is given.

    Create it by `start()`. It is a context manager that stops the server. Its methods are not safe in several threads.
    """

    def __init__(self, binary: ServerBinary, directory: Path, *, port: int, persistent: bool, temporary: bool) -> None:
        self.binary = binary
        self.directory = directory
        self.socket_path = directory / "redis.sock"
        self.port = port
        self._persistent = persistent
        self._temporary = temporary
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        directory: Path | None = None,
        *,
        port: int = 0,
        persistent: bool = False,
        binary: ServerBinary | None = None,
    ) -> Self:
        """Start a server and return once it answers.

        Without `directory` it uses a temporary one that `stop()` removes. `port` (on 127.0.0.1) replaces the socket.
        `persistent` keeps an append-only file, so that `kill()` and `restart()` lose nothing.
        Raises ServerUnavailable where no server binary is found, or the server does not start; the message has the end
        of its log.
        """
        binary = binary or find_server()
        home = _short_temporary() if directory is None else directory.absolute()
        server = cls(binary, home, port=port, persistent=persistent, temporary=directory is None)
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            server._claim()
            server._launch()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """The value for RERANK_REDIS_URL; `restart()` keeps it."""
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{quote(str(self.socket_path))}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server; None while it does not run."""
        if self._process is not None and self._process.poll() is not None:
            self._forget()
        return None if self._process is None else self._process.pid

    @property
    def log_path(self) -> Path:
        """The file that the server logs to."""
        return self.directory / "server.log"

    def restart(self) -> None:
        """Stop the server if it runs and start it under the same URL. Without `persistent` it is then empty."""
        self._end(signal.SIGTERM)
        try:
            self._launch()
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def kill(self) -> None:
        """Kill the server by SIGKILL, as a crash would; `restart()` may follow."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server by SIGTERM and remove its temporary directory; does nothing on a stopped one."""
        self._end(signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _claim(self) -> None:
        """Raise ServerUnavailable for a socket that can't be bound, or that a new server would take from another."""
        if self.port:
            return
        length = len(os.fsencode(self.socket_path))
        if length >= SOCKET_PATH_BYTES:
            raise ServerUnavailable(
                f"The path of the server's socket has {length} bytes and the system allows fewer than "
                f"{SOCKET_PATH_BYTES}: {self.socket_path}. Choose a shorter directory (or TMPDIR), or a port."
            )
        if self.socket_path.exists() and self._answering_pid() is not None:
            raise ServerUnavailable(
                f"A server is already running on {self.socket_path}. Use it with RERANK_REDIS_URL={self.url}, "
                "stop it, or choose another directory."
            )

    def _launch(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid), str(self.directory) if self._temporary else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        give_up = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < give_up:
            # The pid tells our server from another server on the same port, which would answer too.
            if self._answering_pid() == self._process.pid:
                return
            time.sleep(_POLL_S)
        code = self._process.poll()
        what = f"did not answer within {START_S:g} s" if code is None else f"ended with exit code {code}"
        raise ServerUnavailable(f"{self.binary.path} {what}. The end of its log: {self._log_tail()}")

    def _command(self) -> list[str]:
        where = (
            ["--port", str(self.port), "--bind", "127.0.0.1"]
            if self.port
            else ["--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700"]
        )
        append = "yes" if self._persistent else "no"
        return [str(self.binary.path), *where, "--save", "", "--appendonly", append, "--dir", str(self.directory)]

    def _answering_pid(self) -> int | None:
        """Return the process id of the server that answers at this address; None if none answers."""
        client = redis.Redis.from_url(self.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
        try:
            client.ping()
            return int(client.info("server")["process_id"])
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            return None
        finally:
            client.close()

    def _end(self, signum: signal.Signals) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signum)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._forget()

    def _forget(self) -> None:
        """End the guard of a server that has ended, before another process gets that process id."""
        self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-_LOG_LINES:] if line.strip()) or "(empty)"


def _short_temporary() -> Path:
    """Create and return a directory of mode 700; in /tmp where TMPDIR would make the socket's path too long."""
    usual = tempfile.gettempdir()
    room = SOCKET_PATH_BYTES - len("/rerank-xxxxxxxx/redis.sock")
    return Path(tempfile.mkdtemp(prefix="rerank-", dir=usual if len(os.fsencode(usual)) < room else "/tmp"))
