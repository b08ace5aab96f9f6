"""`rerank-fleet choose` against a running fleet: measured once, read again, gone on with, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rerank_ops.cli.app import app
from rerank_shared.settings import load_settings, profile_of
from support.commands import CommandLine
from support.model.collections import write_collection

pytestmark = pytest.mark.xdist_group("cli")
MODEL = "ms-marco-MiniLM-L-12-v2"
NOWHERE = ("--redis-url", "unix:///nowhere/redis.sock")
QUERIES = {f"q{number:02}": text for number, text in enumerate([
    "how many people live in Berlin", "the capital of Germany", "people of Berlin", "which capital has four million",
    "is Berlin a capital", "million people", "Germany", "four million people in a capital", "Berlin", "Berlin Germany",
    "boil a potato in water", "is a potato a vegetable", "how to boil", "potato", "a vegetable", "water for a potato",
    "to boil potatoes", "potato vegetable", "what is a potato", "how to boil a potato", "vegetable in water",
])}  # fmt: skip
QRELS = {
    name: {"d1": 1} if place < 10 else {"d3": 2, "d2": 1} if place % 2 else {"d2": 1}
    for place, name in enumerate(QUERIES)
}
GRID = ("--max-length", "16", "--max-length", "512", "--k", "3", "--k-grid", "2", "--timed", "2")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_collection(tmp_path / "tiny", QUERIES, QRELS)


def read(directory: Path, saved: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Return what `choose` prints as JSON with no fleet to ask."""
    how = ("--p95-ms", "60000", *GRID, "--save-runs", str(saved), "--reuse", "--json", *NOWHERE, *arguments)
    run = CliRunner().invoke(app, ["choose", str(directory), *how])
    assert run.exit_code == status, run.output
    return dict(json.loads(run.stdout))


@pytest.mark.integration
def test_a_collection_is_measured_once_and_chosen_from_again(
    directory: Path, fleet: CommandLine, tmp_path: Path
) -> None:
    saved, profile, chart = tmp_path / "saved", tmp_path / "profile.toml", tmp_path / "front.svg"
    report = tmp_path / "report.html"
    outputs = ("--write-profile", str(profile), "--chart", str(chart), "--report", str(report))
    how = (*GRID, "--save-runs", str(saved), *outputs, "--json")
    run = fleet.run("choose", str(directory), "--p95-ms", "60000", *how)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    (model,) = found["models"]
    assert model["lengths"] == [16, 512]
    # What fits into 16 tokens is asked for once.
    assert 0 < model["truncated_share"]["16"] < 1
    assert model["truncated_share"]["512"] == 0
    assert model["pairs"] == 2 * round(model["pairs_scored"] / (1 + model["truncated_share"]["16"]))
    # Each length was timed on whole requests: their logits are those that were put together.
    assert model["timed"]["largest_difference_of_logits"] == 0.0
    assert [(each["max_length"], each["k"]) for each in model["timed"]["cells"]] == [
        (16, 2),
        (16, 3),
        (512, 2),
        (512, 3),
    ]
    assert model["timed"]["requests"] == 8
    assert len(found["configurations"]) == 2 * 2 * 4
    assert {each["latency_is"] for each in found["configurations"]} == {"measured"}
    assert found["picked"]["queries"] + found["confirmed"]["queries"] == len(QUERIES)
    assert "note: 21 queries tell little" not in run.stdout
    assert any("21 queries tell little" in each for each in found["notes"])
    assert chart.read_text().startswith("<svg")
    assert found["verdict"][0].split("'")[0] in report.read_text(encoding="utf-8")
    written = load_settings(profile=profile)
    picked = found["picked"]["configuration"]
    assert written.model == f"cross-encoder/{MODEL}"
    assert (written.max_length, written.fusion) == (picked["max_length"], "weighted" if picked["weight"] else "none")
    told = profile_of(written)
    assert told is not None
    assert (told.made_by, told.made_for["k"]) == ("rerank-fleet choose", picked["k"])

    # Another target costs nothing: no fleet is asked.
    assert read(directory, saved)["configurations"] == found["configurations"]
    wide = read(directory, saved, "--processes", "64")
    assert {each["latency_is"] for each in wide["configurations"]} == {"planned"}
    nothing = read(directory, saved, "--processes", "1", "--rate", "1e4", status=3)
    assert nothing["picked"] is None
    assert "Nothing keeps p95 within 60,000 ms" in nothing["verdict"][0]

    # As after a kill: the scores of one length were saved, the rest is asked for, from the cache where it is there.
    (saved / f"{MODEL}.times.json").unlink()
    (saved / f"{MODEL}-512-tokens.scores.json").unlink()
    run = fleet.run(
        "choose", str(directory), "--p95-ms", "60000", *GRID, "--save-runs", str(saved), "--reuse", "--json"
    )
    assert run.returncode == 0, run.stderr
    (again,) = json.loads(run.stdout)["models"]
    assert (again["pairs_scored"], again["pairs_cached"]) == (
        model["pairs_scored"],
        model["pairs_scored"] - model["pairs"] // 2,
    )
    # Other times than those of the grid are no times of it.
    other = CliRunner().invoke(
        app,
        ["choose", str(directory), "--p95-ms", "1", *GRID[:-1], "1", "--save-runs", str(saved), "--reuse", *NOWHERE],
    )
    assert "made with other values of: --timed" in str(other.exception)


@pytest.mark.integration
def test_a_model_that_does_not_start_ends_it_before_any_is_scored(
    directory: Path, fleet: CommandLine, tmp_path: Path
) -> None:
    broken, saved = tmp_path / "broken", tmp_path / "saved"
    broken.mkdir()
    models = ("--model", f"cross-encoder/{MODEL}", "--model", str(broken))
    run = fleet.run("choose", str(directory), "--p95-ms", "300", *models, *GRID, "--save-runs", str(saved))
    assert (run.returncode, run.stdout) == (1, "")
    assert "broken does not answer, so that no model was scored" in run.stderr
    assert not saved.exists()


def test_too_few_queries_are_refused_before_a_model_is_asked(directory: Path) -> None:
    run = CliRunner().invoke(app, ["choose", str(directory), "--p95-ms", "300", "--limit", "19", *NOWHERE])
    assert "19 judged queries are too few to pick on one half and confirm on the other" in str(run.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["."],
        [".", "--p95-ms", "0"],
        [".", "--p95-ms", "300", "--reuse"],
        [".", "--p95-ms", "300", "--k", "10", "--k-grid", "20"],
        [".", "--p95-ms", "300", "--fusion-weight", "inf"],
        [".", "--p95-ms", "300", "--max-length", "4"],
        [".", "--p95-ms", "300", "--margin", "2"],
    ],
)
def test_wrong_usage_is_refused_before_anything_is_read(arguments: list[str]) -> None:
    run = CliRunner().invoke(app, ["choose", *arguments, *NOWHERE])
    assert (run.exit_code, run.stdout) == (2, "")
