"""Tables are made of the JSON alone: fastest first, what did not run with its reason, and nothing typed by hand."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rerank_dev.bench.engine.lineup.contenders import BY_KERNEL as HEADLINE
from rerank_dev.bench.engine.report import render, tables
from rerank_dev.bench.engine.report.chart import bars
from rerank_dev.bench.record import Figure

ROOT = Path(__file__).parents[3]


def outcome(name: str, seconds: list[float], **changes: Any) -> dict[str, Any]:
    found = {
        "contender": name, "label": name.title(), "precision": "int8", "ours": False, "k": 50, "batch_size": None,
        "failure": None, "seconds": seconds, "cpu_share": 1.0, "ahead": [s / 0.4 for s in seconds],
        "max_difference": 0.0123, "spearman": 0.99876,
    }  # fmt: skip
    return found | changes


GONE = {"failure": "No module | named x", "max_difference": None, "spearman": None, "cpu_share": None}
LENGTHS = {"pairs": 100, "mean": 96.4, "sd": 42.5, "p10": 51, "median": 89, "p90": 149, "longest": 255}
RACE: dict[str, Any] = {
    "model": "minilm-l6", "label": "MiniLM-L6", "kernel": "int8-row-avx512-1",
    "headline": HEADLINE, "rounds": 3, "machine": "a machine", "text": "some text", "drawn": True,
    "lengths": {"50": LENGTHS},
    "outcomes": [
        outcome("gone", [], **GONE),
        outcome("slow", [1.6, 2.0, 2.4], batch_size=4),
        outcome(HEADLINE, [0.4, 0.4, 0.4], ours=True, precision="int8-row"),
    ],
    "floors": [
        {
            "k": 50, "precision": "int8-row", "products": "int8", "rates": {"384x384": 400.4}, "seconds": [0.2, 0.3],
            "share": [0.5, 0.6],
        },
    ],
    "versions": {"torch (peers)": "2.13.0", "onnxruntime (ours)": "1.31.1"},
    "figures": [asdict(Figure.of("ahead", [5.0], "x", "at least", 6))],
}  # fmt: skip
SHARES = [
    {"name": "MatMul", "share": 0.9, "calls": 2, "mean_us": 4.0},
    {"name": "Gather", "share": 0.001, "calls": 1, "mean_us": 1.0},
]
DATA: dict[str, Any] = {
    "race": {"minilm-l6": RACE},
    "profile": {"minilm-l6": {"profiles": [{"files": "ours-int8", "kernel": "avx512", "shares": SHARES}]}},
}


def test_fastest_first_and_the_missing_last_with_its_reason() -> None:
    rows = tables.race_table(RACE).splitlines()
    assert rows[2].startswith(
        f"| **{HEADLINE.title()}** | int8-row |  | 400 (400 to 400) | 1 | 0.012 | 0.9988 | 1.00 |"
    )
    assert "| Slow | int8 | 4 | 2000 (1600 to 2400) | 5.00 (4.00 to 6.00) |" in rows[3]
    assert "| Gone | int8 |  | not run: No module / named x |  |" in rows[4]


def test_the_head_names_who_is_ahead_even_where_it_did_not_run() -> None:
    assert "| int8-row unpadded is ahead, k=50 |" in tables.race_table(RACE)
    assert f"| {HEADLINE} is ahead, k=50 |" in tables.race_table(RACE | {"outcomes": RACE["outcomes"][:2]})


def test_without_a_reference_the_share_of_the_core_is_still_told() -> None:
    alone = RACE | {"outcomes": [outcome(HEADLINE, [0.4], max_difference=None, spearman=None)]}
    assert tables.race_table(alone).splitlines()[2].endswith("| 1 |  |  | 1.00 |")


def test_all_rows_have_as_many_cells_as_the_head() -> None:
    two = RACE | {"outcomes": [found | {"k": k} for k in (50, 100) for found in RACE["outcomes"]]}
    for table in (tables.race_table(RACE), tables.race_table(two), tables.floors(DATA), tables.profiles(DATA)):
        assert len({row.count("|") for row in table.splitlines()}) == 1


def test_heading_tells_machine_text_and_lengths() -> None:
    heading = tables.race_heading(RACE)
    assert "a machine" in heading
    assert "3 rounds" in heading
    assert "some text, lengths drawn" in heading
    assert "Our int8 by kernel int8-row-avx512-1." in heading
    assert "no kernel ran" in tables.race_heading(RACE | {"kernel": None})
    assert "100 pairs of 96.4 tokens on average (sd 42.5, p10 51, median 89, p90 149, longest 255)" in heading


def test_floors_show_share_with_its_spread() -> None:
    assert "| minilm-l6 | int8-row | int8 | 50 | 384x384 400 | 250 | 55% (50% to 60%) |" in tables.floors(DATA)


def test_small_operators_are_summed_up() -> None:
    assert tables.profiles(DATA).splitlines()[-2:] == ["| MatMul | 90.0% |", "| all others | 0.1% |"]


def test_a_missed_target_is_shown_as_missed() -> None:
    assert "| at least 6 | **no** |" in tables.targets(DATA)


def test_nothing_measured_is_nothing_written() -> None:
    assert tables.summary({}) == ""


def test_bars_are_of_those_that_ran() -> None:
    assert bars(RACE, 50) == [("Slow (int8)", 25.0, False), (f"{HEADLINE.title()} (int8-row)", 125.0, True)]


def test_the_document_takes_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document, figures = tmp_path / "engine.md", tmp_path / "engine.json"
    document.write_text((ROOT / "docs" / "engine.md").read_text(encoding="utf-8"), encoding="utf-8")
    figures.write_text(json.dumps(DATA))
    monkeypatch.setattr(sys, "argv", ["render", str(document), "--figures", str(figures)])
    render.main()
    text = document.read_text(encoding="utf-8")
    assert tables.race_table(RACE) in text
    assert "onnxruntime (ours) 1.31.1, torch (peers) 2.13.0" in text
