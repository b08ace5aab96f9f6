"""`rerank-fleet models` beside a running fleet, and without one."""

from __future__ import annotations

import json

import pytest

from support.commands import CommandLine
from support.model.exports import write_export

pytestmark = pytest.mark.integration
DEFAULT = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file:{write_export(tmp_path_factory.mktemp('exports') / 'small', layouts=('unpadded',))}"


def test_a_model_is_loaded_listed_asked_for_and_unloaded(fleet: CommandLine, small: str) -> None:
    loaded = fleet.run("models", "load", small)
    assert loaded.returncode == 0, loaded.stderr
    assert ": loaded: tests/random-0, 4 MB, in " in loaded.stderr
    assert "a process that starts serves its settings: add the model to RERANK_MODELS or fleet.toml" in loaded.stderr
    listed = fleet.run("models", COLUMNS="250")
    assert listed.returncode == 0
    assert f"tests/random-0, {small}" in listed.stdout
    (process,) = json.loads(fleet.run("models", "list", "--json").stdout)
    assert [model["names"][0] for model in process["told"]["models"]] == [DEFAULT, "tests/random-0"]
    asked = fleet.run("rerank", "a query", "a document", RERANK_MODEL=small)
    assert "by tests/random-0" in asked.stdout + asked.stderr
    there = ("--on", process["host"])
    assert fleet.run("models", "unload", "tests/random-0", *there).stderr.startswith(
        f"{process['process']}: unloaded: "
    )
    again = fleet.run("models", "unload", "tests/random-0", "--on", process["process"])
    assert (again.returncode, f"not served: it serves {DEFAULT}" in again.stderr) == (1, True)


def test_what_fails_has_an_exit_status_and_a_reason(fleet: CommandLine) -> None:
    failed = fleet.run("models", "load", "file:/nowhere")
    assert (failed.returncode, "failed: model directory /nowhere does not exist" in failed.stderr) == (1, True)
    assert "starts serves" not in failed.stderr
    last = fleet.run("models", "unload", DEFAULT)
    assert (last.returncode, "it is the only model of this process" in last.stderr) == (1, True)
    elsewhere = fleet.run("models", "load", "file:/nowhere", "--on", "no-such-host")
    assert (elsewhere.returncode, "has the name or the host 'no-such-host'" in elsewhere.stderr) == (1, True)


def test_without_workers_it_says_so(fleet: CommandLine) -> None:
    alone = fleet.run("models", RERANK_NAMESPACE="nobody")
    assert alone.returncode == 1
    assert "error: no worker process is alive in namespace 'nobody'" in alone.stderr


def test_without_a_server_it_says_so(command_line: CommandLine) -> None:
    away = command_line.run("models", "load", "m", "--redis-url", "redis://127.0.0.1:1/0")
    assert (away.returncode, "can't be reached" in away.stderr) == (1, True)
