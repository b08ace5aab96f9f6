"""ranx reads the order of a run as it stands in the file, whichever way ids sort."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rerank_producer.bulk.formats.runs.trec_scores import spelled

ranx: Any = pytest.importorskip("ranx", reason="not installed here: `make test-engines`")

pytestmark = [
    pytest.mark.engines,
    # ranx compiles its measures when they are first used.
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.*unsafe cast from uint64 to int64"),
]

_DOCUMENTS = 40


def written(folder: Path, scores: list[float], *, rising: bool, keep_ties: bool = False) -> tuple[Path, list[str]]:
    """Write a run with these scores, best first, and return it with its documents in their order."""
    names = [f"d{100 + place if rising else 200 - place}" for place in range(len(scores))]
    texts = spelled(scores, keep_ties=keep_ties)
    lines = (f"q Q0 {name} {rank} {text} x\n" for rank, (name, text) in enumerate(zip(names, texts, strict=True), 1))
    path = folder / "run.trec"
    path.write_text("".join(lines))
    return path, names


def order(path: Path, names: list[str]) -> list[int]:
    """Return the place of each document by ranx: the reciprocal rank where it alone is judged."""
    run = ranx.Run.from_file(str(path), kind="trec")
    return [round(1 / ranx.evaluate(ranx.Qrels({"q": {name: 1}}), run, "mrr")) for name in names]


@pytest.mark.parametrize("rising", [True, False])
def test_a_run_full_of_ties(tmp_path: Path, rising: bool) -> None:
    draw = random.Random(7)
    scores = sorted((draw.choice([4.0, 2.5, 1.0, 1.0 + 1e-9, -3.0]) for _ in range(_DOCUMENTS)), reverse=True)
    path, names = written(tmp_path, scores, rising=rising)
    assert order(path, names) == list(range(1, _DOCUMENTS + 1))


def test_ties_that_are_kept_are_read_in_another_order(tmp_path: Path) -> None:
    """So the test above can fail."""
    orders = []
    for rising in (True, False):
        path, names = written(tmp_path, [1.0] * _DOCUMENTS, rising=rising, keep_ties=True)
        orders.append(order(path, names))
    assert any(each != list(range(1, _DOCUMENTS + 1)) for each in orders)
