"""`rerank-fleet evaluate --cascade` on a running fleet: the row's order is the one that the fleet answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from rerank_ops.cli.app import app
from rerank_producer import RerankClient
from rerank_producer.bulk.texts.records import joined
from rerank_shared.settings import load_settings
from support.commands import CommandLine, Spawn
from support.model.collections import DOCUMENTS, write_collection
from support.model.exports import write_export

pytestmark = pytest.mark.xdist_group("cli")
#: Words of every document, so that the first stage finds all four or three of them.
QUERIES = {
    "q0": "four million people of the capital, a potato, how to boil it in water",
    "q1": "the capital of Germany is a vegetable, or a potato in water",
    "q2": "is a potato a vegetable, as the capital has",
}
QRELS = {"q0": {"d1": 1}, "q1": {"d3": 2, "d2": 1}, "q2": {"d2": 1}}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data") / "tiny", QUERIES, QRELS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two small models by the names of their rows."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        name: f"file:{write_export(folder / name, layouts=('unpadded',), seed=seed)}"
        for seed, name in enumerate(("small", "big"))
    }


@pytest.fixture(scope="module")
def both(spawn: Spawn, environ: dict[str, str], models: dict[str, str]) -> CommandLine:
    """A fleet of one process that serves both."""
    up = spawn("rerank-fleet", "up", "--processes", "1", RERANK_MODELS=",".join(models.values()))
    output = up.wait_for("worker ready")
    return CommandLine(environ | {"RERANK_REDIS_URL": output.partition("export RERANK_REDIS_URL=")[2].split()[0]})


@pytest.mark.integration
def test_the_row_is_what_the_fleet_answers(
    directory: Path, both: CommandLine, models: dict[str, str], tmp_path: Path
) -> None:
    saved, report = tmp_path / "runs", tmp_path / "report.html"
    words = [word for model in models.values() for word in ("--model", model)]
    words += ["--cascade", "small>big@2", "--cascade", "big>small", "--fusion", "zscore", "--timed", "2"]
    words += ["--save-runs", str(saved)]
    run = both.run("evaluate", str(directory), *words, "--json", "--report", str(report))
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    systems = {each["name"]: each for each in found["systems"]}
    names = ["small > big@2", "small > big@2 + zscore bm25", "big > small", "big > small + zscore bm25"]
    assert [each["name"] for each in found["systems"] if each["kind"] == "cascade"] == names
    row = systems["small > big@2"]
    assert row["stages"] == [{"model": "small", "keep": None}, {"model": "big", "keep": 2}]
    assert row["speed"]["computed"]
    assert row["speed"]["p50_ms"] > systems["small"]["speed"]["p50_ms"]
    assert row["comparisons"]["nDCG@10"]["against"] == "bm25"
    html = report.read_text(encoding="utf-8")
    assert "small &gt; big@2 + zscore bm25" in html
    assert "Times of cascades are computed." in html
    # No pair is scored for a cascade: what both models were asked is all.
    assert [each["pairs"] for each in found["models"]] == [sum(len(each) for each in first_stage(saved).values())] * 2
    settings = load_settings(redis_url=both.environ["RERANK_REDIS_URL"], namespace=both.environ["RERANK_NAMESPACE"])
    cascade: list[dict[str, Any]] = [{"model": models["small"]}, {"model": models["big"], "keep": 2}]
    asked: list[tuple[str, list[dict[str, Any]], Literal["none", "zscore"]]] = [
        ("small-big-2", cascade, "none"),
        ("small-big-2+zscore-bm25", cascade, "zscore"),
        ("big-small", [{"model": models["big"]}, {"model": models["small"]}], "none"),
    ]
    with RerankClient(settings) as client:
        for name, stages, fusion in asked:
            for query, order in orders(saved / f"{name}.trec").items():
                candidates = first_stage(saved)[query]
                response = client.rerank(
                    QUERIES[query],
                    [{"id": each, "text": joined(*DOCUMENTS[each]), "score": score}
                     for each, score in candidates.items()],
                    stages=stages, fusion=fusion, partial=False, deadline_ms=60_000,
                )  # fmt: skip
                assert [each.id for each in response.results] == order
                assert response.usage.pairs_run == 0, "the texts are those that were evaluated"
    # Without a fleet: all that a cascade needs is saved.
    again = [*words, "--reuse", "--redis-url", "unix:///nowhere/redis.sock"]
    read = CliRunner().invoke(app, ["evaluate", str(directory), *again])
    assert read.exit_code == 0, read.output
    line = next(line for line in read.stdout.splitlines() if line.startswith("small > big@2 "))
    assert "~" in line
    assert "~: computed." in read.stdout


def first_stage(saved: Path) -> dict[str, dict[str, float]]:
    """Return the scores of the first stage's documents, best first, by query."""
    kept = json.loads((saved / "small.scores.json").read_text())
    return {each["id"]: dict(zip(each["documents"], each["scores"], strict=True)) for each in kept["queries"]}


def orders(path: Path) -> dict[str, list[str]]:
    """Return a TREC run as documents by query."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        query, _, document, *_ = line.split()
        found.setdefault(query, []).append(document)
    return found
