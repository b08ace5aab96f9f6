"""The page orders a fused answer for another weight by itself: by the same formulas as the server's."""

from __future__ import annotations

import random
from typing import Any

import pytest

from page.board import Board
from page.conftest import OpenPage
from rerank_producer.fusion.methods import fused_order
from rerank_shared.contract.messages import Fusion
from rerank_shared.deviations import TRUSTED_REQUESTS
from rerank_shared.keys import FIRST_STAGE_ORDERS, FUSION_METHODS
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]
CASES = 400
WEIGHTS = (0.0, 0.05, 0.35, 1.0, 2.5, 4.0, float("inf"))
_ALL = """async (cases) => {
  const { fusedOrder } = await import("/static/fusion.js");
  return cases.map(({ logits, ...fusion }) => fusedOrder(logits, fusion));
}"""


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    return open_page(shown.url)


def random_case(rng: random.Random) -> tuple[list[float | None], Fusion]:
    """Return logits and a fusion: some have ties, some lack logits or scores, some are of odd sizes."""
    count = rng.randint(1, 14)
    # Whole numbers are often equal, in both at once too.
    tied = rng.random() < 0.5
    size = rng.choice((1e-120, 1e-3, 1.0, 20.0, 1e120))
    logits: list[float | None] = [float(rng.randint(-3, 3)) if tied else rng.gauss(0, 4) for _ in range(count)]
    scores: list[float | None] = [rng.randint(0, 4) * size if tied else rng.gauss(1, 2) * size for _ in range(count)]
    if rng.random() < 0.4:
        scores = [None if rng.random() < 0.4 else score for score in scores]
    if rng.random() < 0.3:
        logits = [None if rng.random() < 0.4 else logit for logit in logits]
    method = rng.choice(FUSION_METHODS[1:])
    given = () if method == "rrf" and rng.random() < 0.3 else tuple(scores)
    if given and all(score is None for score in given):
        given = (1.0,) * count
    ratio = rng.choice((0.25, 3.0)) if method == "weighted" and rng.random() < 0.8 else None
    order = rng.choice(FIRST_STAGE_ORDERS)
    return logits, Fusion(method=method, weight=rng.choice(WEIGHTS), scores=given, order=order, ratio=ratio)


@pytest.mark.parametrize("seed", range(3))
def test_the_page_s_order_is_the_server_s(board: Board, seed: int) -> None:
    rng = random.Random(seed)
    cases = [random_case(rng) for _ in range(CASES)]
    expected = [fused_order(logits, fusion) for logits, fusion in cases]
    asked: list[dict[str, Any]] = [
        {
            "logits": logits,
            "applied": found.applied,
            "ratio": found.ratio,
            "weight": fusion.weight,
            "scores": list(fusion.scores),
            "ascending": fusion.order == "ascending",
        }
        for (logits, fusion), found in zip(cases, expected, strict=True)
    ]
    answers = board.page.evaluate(_ALL, asked)
    for (logits, fusion), found, answer in zip(cases, expected, answers, strict=True):
        assert answer["order"] == found.order, (logits, fusion)
        for mine, theirs in zip(answer["scores"], found.scores, strict=True):
            assert mine == (theirs if theirs is None else pytest.approx(theirs, rel=1e-9, abs=1e-12)), (logits, fusion)


def test_the_method_and_its_ratio_are_told(board: Board) -> None:
    def told(**changes: Any) -> str:
        info = {"method": "weighted", "applied": "weighted", "weight": 1.0, "ratio": 0.8123456, "first_stage": ""}
        text: str = board.call("mixer.js", "methodText", info | changes)
        return text

    assert "as asked" in told(learned_requests=None)
    assert "Ratio 0.8123, learned from 1,234 requests of “bm25”" in told(learned_requests=1234, first_stage="bm25")
    stand_in = told(applied="zscore", learned_requests=7)
    assert f"z-scores stand in until {TRUSTED_REQUESTS} requests" in stand_in
    assert "7 have so far" in stand_in
    assert "Ratio 0.8123, of this request alone" in stand_in
    assert "zscore" in told(method="zscore", applied="zscore", learned_requests=None)
    assert "no ratio" in told(method="rrf", applied="rrf", ratio=None)
    assert "first-stage scores decide ties" in told(method="zscore", applied="zscore", ratio=0.0)
