"""Commands that run a fleet: they start, serve, stop when asked, and leave nothing behind."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_dev.ports import free_port
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient, RerankHandle
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from support.commands import CommandLine, Spawn, assert_gone
from support.model.artefacts import FAILED, write_artefact
from support.pools import IDENTITY, announce
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("cli")]

PROCFILE = Path(__file__).parents[3] / "Procfile"


def test_up_serves_other_processes_and_leaves_nothing_behind(spawn: Spawn, command_line: CommandLine) -> None:
    port = free_port()
    running = spawn("rerank-fleet", "up", "--processes", "2", RERANK_METRICS_PORT=str(port))
    output = running.wait_for("worker ready", 2)
    assert output.startswith("settings redis_url=unix:///")
    url = output.partition("export RERANK_REDIS_URL=")[2].split()[0]
    run = command_line.run("rerank", "--json", "query", "one", "two", RERANK_REDIS_URL=url)
    assert json.loads(run.stdout)["complete"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        assert "rerank_workers 2.0" in page.read().decode()
    family = running.family()
    # The command, its server, the server's guard and two workers.
    assert len(family) >= 5
    assert running.end(signal.SIGTERM) == 0
    assert_gone(family)
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_procfile_runner_starts_server_and_workers_at_once(
    spawn: Spawn, command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "Procfile").write_text(PROCFILE.read_text())
    url = f"redis://127.0.0.1:{free_port()}/0"
    own = {"RERANK_REDIS_URL": url, "RERANK_PROCESSES": "1", "RERANK_GATEWAY_PORT": "0"}
    running = spawn("honcho", "start", cwd=tmp_path, **own)
    running.wait_for("worker ready")
    running.wait_for("gateway listening")
    run = command_line.run("rerank", "--json", "query", "one", "two", "--redis-url", url)
    assert json.loads(run.stdout)["complete"]
    family = running.family()
    running.end(signal.SIGTERM)
    assert_gone(family)
    # The server stays until its workers have gone, though both were told to stop at once.
    assert "worker not deregistered" not in running.log.read_text()


@pytest.mark.parametrize("command", ["worker", "up"])
def test_a_model_that_did_not_pass_its_gate_needs_unsafe(
    command: str, command_line: CommandLine, spawn: Spawn, server: EmbeddedServer, tmp_path: Path
) -> None:
    write_artefact(tmp_path / "exported", FAILED)
    model = f"file:{tmp_path / 'exported'}"
    run = command_line.run(command, "--processes", "1", RERANK_MODEL=model, RERANK_REDIS_URL=server.url)
    assert run.returncode == 78
    assert "0.9871, below 0.995" in run.stderr
    assert "--unsafe (RERANK_UNSAFE=true)" in run.stderr
    running = spawn("rerank-fleet", command, "--unsafe", "-p", "1", RERANK_MODEL=model, RERANK_REDIS_URL=server.url)
    assert "UNSAFE model served" in running.wait_for("worker ready")
    assert running.end(signal.SIGTERM) == 0


def test_a_worker_that_cannot_start_ends_with_its_reason(command_line: CommandLine) -> None:
    run = command_line.run("worker", "--processes", "1", RERANK_MODEL="package:no_such_package/model")
    assert run.returncode == 78
    assert "pip install no_such_package" in run.stderr
    assert "Traceback" not in run.stderr


def test_one_call_can_bring_its_own_fleet(command_line: CommandLine) -> None:
    run = command_line.run("rerank", "--up", "--json", "query", "one", "two")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["usage"]["pairs_run"] == 2


def test_ctrl_c_ends_a_call_and_its_private_fleet_without_a_trace(spawn: Spawn, tmp_path: Path) -> None:
    requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    long = ["many words " * 300] * 50
    requests.write_text("".join(json.dumps({"query": f"q {i}", "documents": long}) + "\n" for i in range(200)))
    running = spawn("rerank-fleet", "bulk", "--up", str(requests), str(answers), RERANK_CACHE="false")
    wait_until(Path(f"{answers}.journal").exists, "the first requests under way", bound_s=40)
    family = running.family()
    assert running.end(signal.SIGINT) == 130
    assert "Traceback" not in running.log.read_text()
    assert_gone(family)


@pytest.mark.parametrize("command", ["worker", "up"])
@pytest.mark.parametrize("url", ["redis://h/abc", "redis://h?nothing=1", "sentinel://h:26379/x"])
def test_a_url_that_can_not_be_used_ends_with_its_own_status(command_line: CommandLine, command: str, url: str) -> None:
    run = command_line.run(command, "--redis-url", url)
    assert run.returncode == 78
    assert "error: RERANK_REDIS_URL: " in run.stderr
    assert "Traceback" not in run.stderr


def test_up_with_a_server_that_refuses_the_password_ends_so_too(command_line: CommandLine) -> None:
    with EmbeddedServer.start() as own:
        with connect(load_settings(redis_url=own.url)) as admin:
            admin.config_set("requirepass", "right")
        run = command_line.run("up", "--redis-url", f"{own.url}?password=wrong")
    assert run.returncode == 78
    assert "refuses the user name or password" in run.stderr


def test_up_grows_with_the_backlog_and_shrinks_after_the_cool_down(spawn: Spawn, command_line: CommandLine) -> None:
    running = spawn("rerank-fleet", "up", "--min", "1", "--max", "2", RERANK_COOLDOWN_S="10", RERANK_CACHE="false")
    url = running.wait_for("worker ready").partition("export RERANK_REDIS_URL=")[2].split()[0]
    fleet = load_settings(redis_url=url, namespace=command_line.environ["RERANK_NAMESPACE"])

    def asked() -> dict[str, int]:
        run = command_line.run("autoscale", "--json", RERANK_REDIS_URL=url, RERANK_MAX_PROCESSES="2")
        processes: dict[str, int] = json.loads(run.stdout)["processes"]
        return processes

    assert asked()["ready"] == 1
    documents = ["many words about one thing and another " * 20] * 30
    handles: list[RerankHandle] = []
    with RerankClient(fleet) as client, connect(fleet) as redis:

        def grown() -> bool:
            # However fast the machine is, some jobs wait.
            if read_state(redis, Keys(fleet.namespace), fleet.model).backlog["interactive"].queued_jobs < 10:
                handles.append(client.submit(f"query {len(handles)}", documents, deadline_ms=600_000))
            return running.log.read_text().count("worker ready") == 2

        wait_until(grown, "a second process")
        wait_until(lambda: [asked()[name] for name in ("ready", "wanted")] == [2, 2], "two are ready and wanted")
        for handle in handles:
            assert client.collect(handle).complete
    running.wait_for("autoscaling processes=1 from=2", bound_s=90)
    wait_until(lambda: asked()["ready"] == 1, "one process is left", bound_s=60)
    assert running.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("wrong", [("--min", "2"), ("--max", "2", "--processes", "2"), ("--min", "3", "--max", "2")])
def test_up_refuses_bounds_that_make_no_sense(command_line: CommandLine, wrong: tuple[str, ...]) -> None:
    run = command_line.run("up", *wrong)
    assert run.returncode in (2, 78)
    assert "--min" in run.stderr or "RERANK_MIN_PROCESSES" in run.stderr or "min_processes" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_signal_is_told_to_people_and_programs(fleet: CommandLine) -> None:
    told = fleet.run("autoscale")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("1 process wanted: RERANK_MIN_PROCESSES")
    away = fleet.run("autoscale", "--json", "--redis-url", "unix:///nowhere/redis.sock")
    assert (away.returncode, away.stdout) == (1, "")
    assert "Traceback" not in away.stderr


def test_the_signal_is_told_by_pool(fleet: CommandLine) -> None:
    environ = {"RERANK_REDIS_URL": fleet.environ["RERANK_REDIS_URL"], "RERANK_NAMESPACE": "by-pool"}
    soon = time.time() + 60
    with connect(load_settings(redis_url=environ["RERANK_REDIS_URL"])) as redis:
        for model in ("org/big", "org/small"):
            announce(redis, Keys("by-pool"), replace(IDENTITY, model=model, model_digest=model), model, now=soon)
    told = fleet.run("autoscale", "--json", **environ)
    assert [(pool["model"], pool["processes"]) for pool in json.loads(told.stdout)["pools"]] == [
        ("org/big", 1),
        ("org/small", 1),
    ]
    rows = fleet.run("autoscale", **environ).stdout.splitlines()
    assert [row.split()[0] for row in rows[-3:]] == ["model", "org/big", "org/small"]
