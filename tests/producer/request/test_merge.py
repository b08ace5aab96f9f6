"""How the outcomes of several jobs become one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from producer.request.test_response import IDENTITY
from rerank_producer._request.merge import agree, combine
from rerank_shared.contract.messages import Outcome, Score, Stages
from rerank_shared.errors import MalformedMessage


def score(logit: float) -> Score:
    return Score(logit, 7, False)


def outcome(*logits: float, worker: str = "w", stages: Stages | None = None) -> Outcome:
    return Outcome("job", tuple(map(score, logits)), IDENTITY, worker, stages or Stages(), (len(logits),))


def test_each_score_goes_where_its_document_is() -> None:
    first = outcome(1.0, 4.0, worker="a", stages=Stages(1, 2, 3, 40))
    second = outcome(2.0, 3.0, worker="b", stages=Stages(10, 2, 30, 4))
    scored = combine(4, [(0, 3), (1, 2)], [first, second])
    assert scored is not None
    assert scored.scores == tuple(map(score, [1.0, 2.0, 3.0, 4.0]))
    assert (scored.workers, scored.batch_pairs) == (("a", "b"), (2, 2))
    assert scored.stages == Stages(10, 2, 30, 40)


def test_a_part_that_did_not_come_has_no_score() -> None:
    scored = combine(3, [(0, 2), (1,)], [outcome(5.0, 6.0), None])
    assert scored is not None
    assert scored.scores == (score(5.0), None, score(6.0))
    assert combine(3, [(0, 2), (1,)], [None, None]) is None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_scores_is_refused(count: int) -> None:
    with pytest.raises(MalformedMessage, match=f"answered {count} scores for the 2 documents"):
        combine(2, [(0, 1)], [outcome(*[1.0] * count)])


def test_parts_of_different_weights_do_not_agree() -> None:
    other = replace(outcome(1.0), identity=replace(IDENTITY, model_digest="f" * 64))
    assert agree([outcome(1.0), None, outcome(2.0)], IDENTITY)
    assert agree([None], IDENTITY)
    assert not agree([outcome(1.0), other], None)
    assert not agree([other], IDENTITY)
