"""A whole distillation on the command line: a toy teacher on a real fleet, kills on the way, and what is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerank_ops.export.pipeline import Wanted, export
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.manifest import read_manifest
from rerank_shared.settings import bare_environ
from support.commands import BIN, Running, Spawn, assert_gone
from support.distil import write_corpus
from support.model.toy_models import write_toy
from support.waiting import wait_until

pytestmark = [pytest.mark.export, pytest.mark.integration, pytest.mark.timeout(900)]
BOUND_S = 300.0


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    environ = bare_environ() | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "160"}
    (tmp_path / "logs").mkdir()
    spawner = Spawn(environ, tmp_path / "logs", [])
    yield spawner
    for running in spawner.started:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)


def ended(running: Running) -> str:
    """Return the output of a command that succeeded."""
    wait_until(lambda: running.process.poll() is not None, "the end of the command", bound_s=BOUND_S)
    output = running.log.read_text()
    assert running.process.returncode == 0, output
    return output


def killed(running: Running, work: Path, pattern: str) -> None:
    """Kill a command as soon as it has left a file."""
    wait_until(lambda: list(work.glob(pattern)) or running.process.poll() is not None, pattern, bound_s=BOUND_S)
    assert running.process.poll() is None, running.log.read_text()
    family = running.family()
    running.end(signal.SIGKILL)
    assert_gone(family)


def test_a_student_is_made_whatever_is_killed_on_the_way(tmp_path: Path, spawn: Spawn) -> None:
    weights = write_toy("bert", tmp_path / "weights", num_hidden_layers=3)
    export(str(weights), tmp_path / "teacher", Wanted("fp32", layouts=("unpadded",)))
    corpus, out, work = write_corpus(tmp_path / "corpus.jsonl", 600), tmp_path / "mine", tmp_path / "mine.distil"
    command = (
        "rerank-fleet", "distil", str(tmp_path / "teacher"), str(out), "--student", str(weights), "--corpus",
        str(corpus), "--layers", "2", "--lists", "400", "--held-out", "10", "--precision", "fp32", "--max-length", "64",
        "--timed", "2", "--threads", "1", "--up",
    )  # fmt: skip
    unnamed = spawn(*[each for each in command if each not in ("--student", str(weights))])
    wait_until(lambda: unnamed.process.poll() is not None, "the end of the command", bound_s=BOUND_S)
    assert unnamed.process.returncode == 2
    assert f"made from {weights}" in unnamed.log.read_text().replace("│", "").replace("\n", "").replace("  ", " ")
    told = ended(spawn(*command, "--dry-run"))
    assert "to learn from" in told
    assert not out.exists()
    assert not work.exists()

    killed(spawn(*command), work, "labels-*/00000.json")
    labels = next(work.glob("labels-*"))
    before = {path.name: path.stat().st_mtime_ns for path in labels.glob("0*.json")}
    killed(spawn(*command), work, "training-*.pt")
    assert {name: (labels / name).stat().st_mtime_ns for name in before} == before
    told = ended(spawn(*command))
    assert "going on in" in told
    assert "0 without labels" in told
    assert "# mine" in told

    manifest = read_manifest(out)
    assert manifest.model == "mine"
    assert manifest.distilled is not None
    assert manifest.distilled.counts["lists"] > 300
    assert manifest.distilled.recipe["layers"] == 2
    (quality,) = manifest.distilled.quality
    assert (quality.judged_by, quality.queries) == ("sources", 10)
    assert [each.system for each in quality.systems][-1] == "student + bm25"
    assert load_files(f"file:{out}").name == "mine"
    assert "| corpus |" in (out / "README.md").read_text()
    assert json.loads((out / "config.json").read_text())["num_hidden_layers"] == 2
    # All steps are kept, so that another artefact of the same student needs no fleet.
    again = ended(spawn(*command, "--force", RERANK_REDIS_URL="unix:///nowhere/redis.sock"))
    assert "# mine" in again


def test_a_fleet_that_is_away_is_told(tmp_path: Path, spawn: Spawn) -> None:
    weights = write_toy("bert", tmp_path / "weights", num_hidden_layers=3)
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    running = spawn(
        "rerank-fleet", "distil", "file:/a/teacher", str(tmp_path / "mine"), "--student", str(weights), "--corpus",
        str(corpus), "--layers", "1", "--redis-url", "unix:///nowhere/redis.sock",
    )  # fmt: skip
    wait_until(lambda: running.process.poll() is not None, "the end of the command", bound_s=BOUND_S)
    output = running.log.read_text().strip().splitlines()
    assert running.process.returncode == 1
    assert output[-1].startswith("error: ")
    assert not (tmp_path / "mine").exists()
