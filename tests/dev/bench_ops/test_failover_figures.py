"""The figures of a fail-over: where the time without answers lies, and which part of a page they are written to."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from rerank_dev.bench import render
from rerank_dev.bench.ops.failover import NAME, gap_around
from rerank_dev.bench.record import Figure


@pytest.mark.parametrize(
    ("ends_s", "gap"),
    [
        ([9.0, 9.9, 13.0, 13.1], (9.9, 13.0)),
        # One answer was on its way, and a pause before the kill is not the fail-over's.
        ([1.0, 8.0, 9.9, 10.2, 13.0], (10.2, 13.0)),
        # In the order in which they were sent, not that in which they were answered.
        ([13.0, 9.0, 9.9], (9.9, 13.0)),
    ],
)
def test_the_gap_is_the_longest_time_without_an_answer_after_the_kill(
    ends_s: list[float], gap: tuple[float, float]
) -> None:
    assert gap_around(10.0, ends_s) == gap


def test_without_an_answer_after_the_kill_there_is_no_gap() -> None:
    with pytest.raises(ValueError, match="empty"):
        gap_around(10.0, [1.0, 2.0])


def test_pages_take_their_own_figures_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, page = tmp_path / "ops.json", tmp_path / "page.md"
    made = [Figure.of(f"{NAME}: requests that failed", [0], "requests"), Figure.of("drain_s", [1.0], "ratio")]
    figures.write_text(json.dumps([asdict(figure) for figure in made]))
    page.write_text("<!-- bench -->\n<!-- /bench -->\n<!-- failover -->\n<!-- /failover -->\n")

    def write(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["render", str(page), "--figures", str(figures), *options])
        render.main()
        return page.read_text()

    write("--without", NAME)
    text = write("--only", NAME, "--part", "failover")
    bench, _, failover = text.partition("<!-- failover -->")
    assert ("| drain_s |" in bench, NAME in bench) == (True, False)
    assert ("| drain_s |" in failover, NAME in failover) == (False, True)
    assert write("--only", "never measured") == text
