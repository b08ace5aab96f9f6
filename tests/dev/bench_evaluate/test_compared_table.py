"""The table of several collections and models, and the command that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rerank_dev.bench.evaluate.__main__ import shown_command
from rerank_dev.bench.evaluate.render import compared_part
from support.model.collections import write_collection

ROOT = Path(__file__).parents[3]
MEANS = {"RR@10": 0.5, "nDCG@5": 0.4, "nDCG@10": 0.45}


def system(name: str, kind: str, low: float, p: float, **changed: Any) -> dict[str, Any]:
    found = {"gain": {"mean": 0.1, "low": low, "high": 0.2}, "corrected": {"t": p, "randomisation": 0.01}}
    speed = {"p95_ms": 1234.5, "computed": False}
    return {"name": name, "kind": kind, "speed": speed, "means": MEANS, "comparisons": {"nDCG@10": found}, **changed}


def test_each_system_has_a_line_with_its_difference_and_time() -> None:
    systems = [
        system("bm25", "first stage", 0, 1, speed=None, comparisons={}),
        system("m", "model", 0.05, 0.02),
        system("m + bm25", "fused", 0.05, 0.2),
        system("l > m@5", "cascade", 0.05, 0.02, speed={"p95_ms": 345.0, "computed": True}),
        system("m, again", "again", 0.05, 0.02),
    ]
    found = {
        "asked": {"data": "tiny", "queries": 1200, "k": 50},
        "systems": systems,
        "models": [],
    }
    lines = compared_part({"machine": "A machine", "collections": [found]}).splitlines()
    assert lines[0] == "A machine. Times are those of one query with the best 50 candidates on an idle fleet."
    assert lines[4:] == [
        "| tiny, 1,200 | bm25 | 0.500 | 0.400 | 0.450 |  |  |",
        "|  | m | 0.500 | 0.400 | 0.450 | 1,234 | **+0.100** (+0.050 to +0.200) |",
        "|  | m + bm25 | 0.500 | 0.400 | 0.450 | 1,234 | +0.100 (+0.050 to +0.200) |",
        "|  | l > m@5 | 0.500 | 0.400 | 0.450 | ~345 | **+0.100** (+0.050 to +0.200) |",
    ]


def test_the_command_is_shown_without_places(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    words = shown_command(Path("/data/tiny"), [str(tmp_path / "small"), "a/model"], ["--limit", "3"])
    assert words == "rerank-fleet evaluate tiny --up --model small --model a/model --limit 3"


def test_several_collections_are_evaluated_and_rendered_by_one_command(tmp_path: Path) -> None:
    """First stages alone, so that no fleet is started."""
    data = [str(write_collection(tmp_path / name)) for name in ("one", "two")]
    output, page = tmp_path / "bench" / "evaluate.json", tmp_path / "page.md"
    page.write_text("<!-- evaluate -->\n<!-- /evaluate -->\n<!-- compared -->\n<!-- /compared -->\n", encoding="utf-8")
    environ = {"PYTHONPATH": str(ROOT / "ops" / "dev"), "PATH": "/usr/bin:/bin"}
    run = [sys.executable, "-m", "rerank_dev.bench.evaluate", *data, "--output", str(output), "--", "--no-model"]
    subprocess.run(run, check=True, env=environ, capture_output=True, timeout=100)
    render = [sys.executable, "-m", "rerank_dev.bench.evaluate.render", str(page), "--result", str(output)]
    subprocess.run(render, check=True, env=environ, capture_output=True, timeout=100)
    text = page.read_text(encoding="utf-8")
    assert "$ rerank-fleet evaluate one --up --no-model\n" in text
    assert "| one, 2 | bm25 |" in text
    assert "| two, 2 | bm25 |" in text
    assert len(json.loads(output.read_text())["collections"]) == 2
    assert (tmp_path / "bench" / "evaluate" / "two.html").is_file()
