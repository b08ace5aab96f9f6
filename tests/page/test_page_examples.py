"""The examples with first-stage scores: the scores are BM25's own, and fusion does what the names say."""

from __future__ import annotations

from typing import Any

import pytest

from page.board import Board
from page.conftest import OpenPage
from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]
HELPS, CHANGES_NOTHING = "BM25 scores: fusion helps", "BM25 scores: nothing changes"


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    return open_page(shown.url)


def orders(board: Board, name: str) -> tuple[list[str], list[str]]:
    """The texts of an example in the fused order, and in the model's."""
    board.page.select_option("#example", label=name)
    fused = [row.text for row in board.rerank()]
    board.page.locator("#weight").press("Home")
    return fused, [row.text for row in board.rows()]


def test_fusion_helps_where_an_example_says_so(board: Board) -> None:
    fused, model = orders(board, HELPS)
    assert fused[0].startswith("os.path.exists ")
    assert not model[0].startswith(("os.path.exists ", "pathlib.Path.exists "))


def test_fusion_changes_nothing_where_an_example_says_so(board: Board) -> None:
    fused, model = orders(board, CHANGES_NOTHING)
    assert fused == model
    assert fused[0].startswith("sqlite3.connect ")
    board.page.locator("#weight").press("End")
    assert [row.text for row in board.rows()] != model


def test_the_scores_are_those_of_bm25(board: Board) -> None:
    """Docstrings differ a little between versions of Python, and so do frequencies of words."""
    index = Bm25Index(stdlib_passages())
    examples: list[dict[str, Any]] = board.page.evaluate("async () => (await import('/static/examples.js')).EXAMPLES")
    for example in (each for each in examples if each["name"] in (HELPS, CHANGES_NOTHING)):
        documents = board.call("candidates.js", "readCandidates", example["candidates"])["documents"]
        scores = {document["text"]: document["score"] for document in documents}
        found = {" ".join(hit.text.split()): hit.bm25 for hit in index.top(example["query"], 40)}
        same = scores.keys() & found.keys()
        assert len(same) >= 4, example["name"]
        assert {text: scores[text] for text in same} == pytest.approx({text: found[text] for text in same}, rel=0.08)
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
