"""`rerank-fleet fusion tune` against a running fleet, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rerank_ops.cli import extras
from rerank_ops.cli.app import app
from support.commands import CommandLine
from support.model.collections import write_collection

pytestmark = pytest.mark.xdist_group("cli")
QUERIES = {
    "q0": "how many people live in Berlin",
    "q1": "boil a potato in water",
    "q2": "the capital of Germany",
    "q3": "is a potato a vegetable",
    "q4": "no such word",
    "left out": "water",
}
QRELS = {"q0": {"d1": 1}, "q1": {"d3": 2, "d2": 1}, "q2": {"d1": 1}, "q3": {"d2": 1}, "q4": {"d4": 1}}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_collection(tmp_path / "tiny", QUERIES, QRELS)


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [[], ["--limit", "4"]])
def test_a_collection_is_scored_and_judged(arguments: list[str], directory: Path, fleet: CommandLine) -> None:
    run = fleet.run("fusion", "tune", str(directory), "--folds", "2", "--json", *arguments)
    assert (run.returncode, run.stderr) == (0, "note: 1 queries without a relevant document are left out\n")
    found = json.loads(run.stdout)
    assert found["queries"] == (4 if arguments else 5)
    # The one candidate of most queries is its answer, so that nothing is left to be gained.
    assert found["model_alone"]["ndcg_at_10"] >= 0.75 * (1 if arguments else 0.8)
    assert found["overall"]["ndcg_at_10"] <= 1
    assert found["fusion_ratio"] > 0


@pytest.mark.integration
def test_own_candidates_are_judged_by_their_scores(fleet: CommandLine, tmp_path: Path) -> None:
    """A first stage that is always wrong: the model alone is best, and descending distances would be right."""
    requests, qrels = tmp_path / "requests.jsonl", tmp_path / "qrels.trec"
    texts = {
        "bread": "Bread is baked from flour and water.",
        "wall": "The Berlin Wall fell in 1989.",
        "spree": "The Spree flows through Berlin.",
    }
    asked = {"bread": "how is bread baked?", "wall": "when did the Berlin Wall fall?", "spree": "the river of Berlin"}
    lines = [
        {
            "id": name,
            "query": query,
            "documents": [{"id": each, "text": text, "score": float(each != name)} for each, text in texts.items()],
        }
        for name, query in asked.items()
    ]
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines))
    qrels.write_text("".join(f"{name} 0 {name} 1\n" for name in asked))
    source = ("--input", str(requests), "--qrels", str(qrels), "--folds", "3")
    run = fleet.run("fusion", "tune", *source, "--json")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["verdict"] == "model alone"
    assert found["settings"] == {"RERANK_FUSION": "none"}
    assert found["model_alone"]["ndcg_at_10"] == 1.0
    assert found["first_stage_alone"]["mrr_at_10"] == pytest.approx(1 / 3)
    run = fleet.run("fusion", "tune", *source, "--first-stage-order", "ascending")
    assert run.returncode == 0
    assert "first stage   1.0000" in run.stdout
    assert "Fusion does not help here" in run.stdout
    assert "export RERANK_FUSION=none" in run.stdout


@pytest.mark.integration
def test_the_ratio_that_it_prints_is_the_one_in_force(directory: Path, fleet: CommandLine, tmp_path: Path) -> None:
    found = json.loads(fleet.run("fusion", "tune", str(directory), "--folds", "2", "--json").stdout)
    ratio = str(found["fusion_ratio"])
    candidates = tmp_path / "candidates.jsonl"
    candidates.write_text('{"text": "A potato.", "score": 3.5}\n{"text": "Berlin.", "score": 0.5}\n')
    run = fleet.run(
        "rerank", "potato", "-d", str(candidates), "--json", "--fusion", "weighted", "--fusion-ratio", ratio
    )
    answer = json.loads(run.stdout)
    assert answer["fusion"]["ratio"] == found["fusion_ratio"]
    for result in answer["results"]:
        expected = result["logit"] + found["fusion_ratio"] * (result["first_stage_score"] - 2.0)
        assert result["fused_score"] == pytest.approx(expected)


@pytest.mark.integration
def test_a_fleet_that_is_away_is_told_and_nothing_printed(directory: Path, command_line: CommandLine) -> None:
    run = command_line.run("fusion", "tune", str(directory), "--redis-url", "unix:///nowhere/redis.sock", "--json")
    assert (run.returncode, run.stdout) == (1, "")
    assert "error: " in run.stderr


@pytest.mark.integration
def test_a_deadline_that_passes_is_told_with_its_remedy(directory: Path, fleet: CommandLine) -> None:
    run = fleet.run("fusion", "tune", str(directory), "--max-length", "9", RERANK_BULK_DEADLINE_MS="1")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines()[-1].startswith("error: query q")
    assert "RERANK_BULK_DEADLINE_MS" in run.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no/such/directory"],
        [".", "--input", __file__, "--qrels", __file__],
        ["--input", __file__],
        [".", "--qrels", __file__],
        [".", "--first-stage-order", "ascending"],
        ["--input", __file__, "--qrels", __file__, "--k", "5"],
        [".", "--folds", "1"],
    ],
)
def test_wrong_usage_is_refused_before_anything_is_read(arguments: list[str]) -> None:
    run = CliRunner().invoke(app, ["fusion", "tune", *arguments, "--redis-url", "redis://127.0.0.1:1/0"])
    assert (run.exit_code, run.stdout) == (2, "")


def test_a_missing_package_is_told_with_its_extra(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "BM25", ("bm25s_that_is_not_there",))
    run = CliRunner().invoke(app, ["fusion", "tune", str(directory)])
    assert "pip install 'rerank-fleet[demo]'" in str(run.exception)


@pytest.mark.integration
def test_a_wrong_judgement_is_told_with_its_line(directory: Path, command_line: CommandLine) -> None:
    (directory / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td1\tmany\n")
    run = command_line.run("fusion", "tune", str(directory))
    assert (run.returncode, run.stdout) == (1, "")
    assert "test.tsv, line 2: query-id, corpus-id and score expected" in run.stderr
