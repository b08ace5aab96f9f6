"""The whole command on a tiny real model: profile, picture, table and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rerank_ops.cli.app import app
from rerank_ops.tune.bars import bar
from rerank_ops.tune.sample import PAIRS, file_sample
from rerank_ops.tune.team import measure_teams
from rerank_shared.errors import ConfigurationError, InvalidRequest
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.cpu import cpu_name
from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from support.model.poison import write_poison_model

PAIR = EncodedPair(np.array([101, 102]), np.array([0, 0]), truncated=False)
PNG = b"\x89PNG\r\n\x1a\n"
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    # Every word has its row, so that any text can be scored.
    write_poison_model(directory, table_rows=30_522)
    return f"file:{directory}"


def requests_file(path: Path, requests: int = 8, documents: int = 10) -> Path:
    lines = [
        json.dumps({"query": f"question {number}", "documents": ["word " * (5 + i) for i in range(documents)]})
        for number in range(requests)
    ]
    path.write_text("\n\n".join(lines) + "\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["tune", *map(str, arguments)], catch_exceptions=False)


def test_it_writes_a_profile_that_the_fleet_reads_and_a_picture(model: str, tmp_path: Path) -> None:
    profile = tmp_path / "out" / "tuned.toml"
    text = requests_file(tmp_path / "own.jsonl")
    done = run("--model", model, "--text", text, "--seconds", 1, "--output", profile)
    assert done.exit_code == 0
    assert (tmp_path / "out" / "tuned.png").read_bytes().startswith(PNG)
    made_for = tomllib.loads(profile.read_text())["made_for"]
    assert made_for["model"] == model
    assert made_for["model_digest"] == load_files(model).model_digest
    assert made_for["cpu"] == cpu_name()
    assert made_for["text"] == str(text)
    settings = load_settings(profile=profile)
    assert {"layout", "run_pairs", "run_tokens", "budget_tokens", "max_wait_ms", "threads"} <= settings.model_fields_set
    assert settings.layout in ("unpadded", "padded")
    for part in ("pairs a run", "tokens a run", "unpadded", "padded", "◀", "█", f"export RERANK_PROFILE={profile}"):
        assert part in done.stdout


def test_json_holds_every_measurement(model: str, tmp_path: Path) -> None:
    done = run("--model", model, "--seconds", 1, "--no-chart", "--json", "-o", tmp_path / "p.toml")
    report: dict[str, Any] = json.loads(done.stdout)
    points = {(point["curve"], point["layout"]) for point in report["curves"]}
    assert points == {(curve, layout) for curve in ("pairs", "tokens") for layout in ("unpadded", "padded")}
    assert all(point["seconds"] and point["tokens"] > 0 for point in report["curves"])
    # A plain model runs its pairs one by one in layout unpadded, so one point stands for all.
    assert sum(point["layout"] == "unpadded" for point in report["curves"]) == 2
    assert report["profile"] == {
        k: v for k, v in tomllib.loads((tmp_path / "p.toml").read_text()).items() if k != "made_for"
    }
    assert report["written"] == [str(tmp_path / "p.toml")]
    assert not list(tmp_path.glob("*.png"))
    if len(available_cores()) > 1:
        assert {(team["processes"], team["threads"]) for team in report["teams"]} >= {(1, 1), (1, 2)}
        assert all(rate > 0 for team in report["teams"] for rate in team["tokens_per_s"])


def test_a_collection_gives_the_text(model: str, tmp_path: Path) -> None:
    directory = tmp_path / "toys"
    (directory / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{i}", "title": "", "text": f"animal number {i} eats grass"} for i in range(20)]
    (directory / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (directory / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "which animal eats grass"}))
    (directory / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td3\t1\n")
    done = run("--model", model, "--beir", directory, "--seconds", 0.2, "--no-chart", "-o", tmp_path / "p.toml")
    assert done.exit_code == 0
    assert tomllib.loads((tmp_path / "p.toml").read_text())["made_for"]["text"] == "toys, BM25 candidates"


def test_wrong_text_is_told_with_its_line(tmp_path: Path) -> None:
    tokenizer = PairTokenizer(load_files(Settings().model).tokenizer_path)
    path = tmp_path / "own.jsonl"
    path.write_text('{"query": "a", "documents": ["b"]}\n{"query": "a"}\n')
    with pytest.raises(ConfigurationError, match=r"own\.jsonl, line 2: documents: missing"):
        file_sample(path, tokenizer, 512)
    path.write_text("\n")
    with pytest.raises(ConfigurationError, match="has no pair"):
        file_sample(path, tokenizer, 512)
    with pytest.raises(InvalidRequest, match="give one"):
        run("--text", path, "--beir", tmp_path)


def test_a_long_file_is_sampled_evenly(tmp_path: Path) -> None:
    tokenizer = PairTokenizer(load_files(Settings().model).tokenizer_path)
    path = requests_file(tmp_path / "own.jsonl", requests=100, documents=20)
    sample, again = (file_sample(path, tokenizer, 512) for _ in range(2))
    assert [pair.ids.tolist() for pair in sample.pairs] == [pair.ids.tolist() for pair in again.pairs]
    assert len(sample.pairs) == PAIRS
    whole = [5 + i + 5 for i in range(20)]
    assert sample.mean_tokens == pytest.approx(sum(whole) / len(whole), rel=0.05)
    assert [pair.tokens for pair in file_sample(path, tokenizer, 12).pairs][-1] == 12


def test_without_matplotlib_it_says_so_before_it_measures(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from rerank_ops.cli import main\n"
        f"sys.argv[1:] = ['tune', '--output', {str(tmp_path / 'p.toml')!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: the chart needs matplotlib: pip install 'rerank-fleet[tune]', or leave it out with --no-chart\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_process_that_cannot_run_ends_the_measurement(capfd: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(model="file:/nowhere/at/all")
    with pytest.raises(ConfigurationError, match="ended early"):
        measure_teams(settings, [PAIR], 0.05, 1, lambda: None)
    assert "/nowhere/at/all does not exist" in capfd.readouterr().err


def test_bars_have_eighths_of_a_block() -> None:
    assert (bar(1.0), bar(0.5), bar(0.0)) == ("█" * 20, "█" * 10, "")
    assert bar(1 / 160) == "▏"
    assert bar(9 / 160) == "█▏"
