"""The report of a choice, of plain data in the shape that `choose --json` prints."""

from __future__ import annotations

from typing import Any

from rerank_ops.report.blocks import Changes, Chart, Table
from rerank_ops.report.choice_page import choice_page
from rerank_ops.report.render import page_html
from support.reports import MADE


def plain(**changed: Any) -> dict[str, Any]:
    def configuration(k: int, value: float, p95_ms: float) -> dict[str, Any]:
        return {
            "name": f"m, k {k}", "means": {"nDCG@10": value}, "p50_ms": p95_ms / 2, "p95_ms": p95_ms,
            "p99_ms": p95_ms, "latency_is": "planned", "per_query": {"q1": value, "q2": 0.1},
        }  # fmt: skip

    gain = {"mean": 0.1, "low": 0.05, "high": 0.15}
    return {
        "verdict": ["Use m, k 20.", "It <b>costs</b> 20 ms."],
        "asked": {"data": "tiny", "queries": 2, "stage": "bm25", "p95_ms": 50.0, "measure": "nDCG@10",
                  "measures": ["nDCG@10"], "seed": 0},
        "models": [{"name": "m", "source": "hf:m", "digest": "ab" * 32, "precision": "int8", "lengths": [128, 512],
                    "pairs_scored": 40, "pairs_cached": 0,
                    "timed": {"requests": 4, "host": "a host", "processes": 2}}],
        "first_stage": {"name": "bm25", "means": {"nDCG@10": 0.3}, "per_query": {"q1": 0.2, "q2": 0.4}},
        "configurations": [configuration(10, 0.4, 10), configuration(20, 0.5, 20), configuration(30, 0.45, 30)],
        "picked": {"name": "m, k 20"},
        "confirmed": {"queries": 1, "figure": {"mean": 0.5}, "over_stage": {"gain": gain, "p": 0.01}},
        "shown": "m, k 20",
        "recall_curve": {"points": [{"at": 10, "mean": 0.4, "recall": 0.5}, {"at": 20, "mean": 0.5, "recall": 0.6}],
                         "enough": 20},
        "queries": [
            {"id": "q1", "text": "potato", "grades": {"d1": 1, "d9": 1}, "was": ["d2", "d1"], "now": ["d1", "d3"]},
            {"id": "q2", "text": "soup", "grades": {"d2": 1}, "was": ["d2"], "now": ["d3"]},
        ],
        "oddities": [{"what": "documents without text", "count": 1, "examples": ["d7"]}],
        "notes": ["Times are noisy."],
        **changed,
    }  # fmt: skip


def blocks(found: dict[str, Any], kind: type) -> list[Any]:
    page = choice_page(found, {"d1": "potato soup"}, MADE)
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def test_the_front_and_what_was_picked_are_shown() -> None:
    (table,) = blocks(plain(), Table)
    assert [row[0].text for row in table.rows] == ["1. m, k 10", "2. m, k 20 (picked)"]
    (front, _) = blocks(plain(), Chart)
    assert (len(front.plot.dots), len(front.plot.others)) == (2, 1)


def test_queries_of_which_the_top_is_known_say_so() -> None:
    best, worst = blocks(plain(), Changes)
    assert [change.name for change in best.items] == ["q1"]
    assert [change.name for change in worst.items] == ["q2"]
    html = page_html(choice_page(plain(), {"d1": "potato soup"}, MADE))
    assert "1 in the first 2" in html
    assert "not found" not in html
    assert "It &lt;b&gt;costs&lt;/b&gt; 20 ms." in html
    for text in ("documents without text: 1 (d7)", "Times are noisy.", "potato soup", "ab" * 32):
        assert text in html


def test_the_tone_follows_what_was_confirmed() -> None:
    assert choice_page(plain(), {}, MADE).verdict.tone == "better"
    assert choice_page(plain(confirmed=None), {}, MADE).verdict.tone == "open"
    chance = {"queries": 1, "figure": {"mean": 0.5}, "over_stage": {"gain": {"mean": 0, "low": -1, "high": 1}, "p": 1}}
    assert choice_page(plain(confirmed=chance), {}, MADE).verdict.tone == "open"


def test_what_was_not_measured_is_missing_without_harm() -> None:
    untimed = [{**each, "p50_ms": None, "p95_ms": None, "p99_ms": None} for each in plain()["configurations"]]
    html = page_html(choice_page(plain(configurations=untimed, recall_curve=None, queries=[], picked=None), {}, MADE))
    assert "nothing was timed" in html
    assert "One k was measured" in html
