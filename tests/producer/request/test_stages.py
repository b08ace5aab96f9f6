"""Stages as values: which documents go on, how two orders become one, how many fit into the time."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer._request.stages import Capacity, StageAnswer, above, joined, kept, part_of, placed
from rerank_producer.fusion import fuse
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result, Timings, Usage, parse_request
from rerank_shared.routing.route import Stage
from rerank_shared.scheduling.cost import CostParameters

KEEP: st.SearchStrategy[int | Literal["auto"] | None] = st.none() | st.integers(1, 12) | st.just("auto")


def result(index: int, scored: bool = True, **fields: Any) -> Result:
    return Result(index=index, scored=scored, **fields)


def response(results: list[Result], model: str = "small", **fields: Any) -> RerankResponse:
    about = {"timings": Timings(total_ms=3, run_ms=2), "usage": Usage(tokens=10, pairs_run=2, pairs_cached=1)}
    given_ = {"id": model, "results": results, "complete": True, "model": ModelInfo(name=model), **about, **fields}
    return RerankResponse.model_validate(given_)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Result], Stage, list[Result]]:
    """The order of a first stage, a later stage, and what that gave, of which some has no score."""
    count = draw(st.integers(0, 10))
    lower = [result(index) for index in draw(st.permutations(range(count)))]
    stage = Stage("big", draw(KEEP))
    asked = kept(lower, stage)
    own = draw(st.permutations(range(len(asked))))
    reached = draw(st.integers(0, len(asked)))
    given_ = [result(index, place < reached) for place, index in enumerate(own)]
    return lower, stage, list(placed(given_, asked, stage.model))


@given(orders())
def test_two_orders_become_one_of_all_documents(drawn: tuple[list[Result], Stage, list[Result]]) -> None:
    lower, stage, upper = drawn
    order = above(upper, lower)
    assert sorted(each.index for each in order) == list(range(len(lower)))
    scored = [each for each in upper if each.scored]
    # The top is what the later stage scored, in its order, and nothing else.
    assert order[: len(scored)] == scored
    assert [each.scored_by for each in order] == [stage.model] * len(scored) + [None] * (len(order) - len(scored))
    raised = {each.index for each in scored}
    assert raised <= {each.index for each in kept(lower, stage)}
    assert [each.index for each in order[len(scored) :]] == [each.index for each in lower if each.index not in raised]


@given(orders(), st.none() | st.integers(1, 12))
def test_an_answer_is_cut_at_the_end_and_tells_of_each_stage(
    drawn: tuple[list[Result], Stage, list[Result]], top_n: int | None
) -> None:
    lower, stage, upper = drawn
    first = response(lower)
    parts = [
        StageAnswer(Stage("small"), len(lower), tuple(lower), first),
        StageAnswer(stage, len(upper), tuple(upper), response(upper, "big"), "deadline_exceeded"),
    ]
    answer = joined(first, parts, top_n)
    assert answer.results == above(upper, lower)[:top_n]
    assert (answer.id, answer.complete) == ("small", False)
    assert answer.model.name == ("big" if any(each.scored for each in upper) else "small")
    assert (answer.usage, answer.timings.run_ms) == (Usage(tokens=20, pairs_run=4, pairs_cached=2), 4)
    assert answer.stages is not None
    assert [each.usage.tokens for each in answer.stages] == [10, 10]
    assert [(each.model, each.documents, each.reason) for each in answer.stages] == [
        ("small", len(lower), None),
        ("big", len(upper), "deadline_exceeded"),
    ]


def test_a_stage_without_an_answer_leaves_the_one_before() -> None:
    first = response([result(1), result(0)])
    parts = [
        StageAnswer(Stage("small"), 2, tuple(first.results), first),
        StageAnswer(Stage("big", 1), 1, reason="overloaded"),
    ]
    answer = joined(first, parts, None)
    assert (answer.results, answer.model, answer.usage) == (first.results, first.model, first.usage)
    assert answer.stages is not None
    assert (answer.complete, answer.stages[1].complete, answer.stages[1].scored) == (False, False, 0)


@given(
    lengths=st.lists(st.none() | st.integers(8, 512), max_size=30),
    processes=st.integers(0, 4),
    wait_s=st.floats(0, 2),
    left_s=st.floats(-1, 3),
)
def test_what_fits_is_the_longest_head_that_the_time_allows(
    lengths: list[int | None], processes: int, wait_s: float, left_s: float
) -> None:
    cost = CostParameters(run_s=0.01, token_s=0.001, token_longest_s=0.0)

    def spent_s(count: int) -> float:
        return sum(0.01 + 0.001 * length for length in lengths[:count] if length is not None)

    count = Capacity(cost, processes, wait_s, left_s).fitting(lengths)
    spare_s = max(0.0, left_s - wait_s) * max(1, processes)
    assert spent_s(count) <= spare_s + 1e-9
    if count < len(lengths):
        assert spent_s(count + 1) > spare_s - 1e-9


def test_cached_documents_fit_into_no_time() -> None:
    capacity = Capacity(CostParameters(1.0, 0.0, 0.0), 1, 5.0, 0.0)
    assert (capacity.fitting([None, None, 8, None]), capacity.fitting([])) == (2, 0)


DOCUMENTS = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("options", "scores", "fusion"),
    [
        ({}, None, None),
        ({"scores": [1, 2, 3, 4]}, [4, 1], None),
        ({"scores": [None, 2, 3, None], "fusion": "zscore"}, None, "none"),
        ({"scores": [None, 2, 3, 4], "fusion": "zscore"}, [4, None], "zscore"),
        ({"fusion": "rrf"}, [-3, 0], "rrf"),
        ({"fusion": "rrf", "first_stage_order": "ascending"}, [3, 0], "rrf"),
    ],
)
def test_a_part_of_a_request_has_its_first_stage_scores(options: Any, scores: Any, fusion: Any) -> None:
    part = part_of(parse_request("q", DOCUMENTS, top_n=1, **options), [3, 0])
    assert (part.documents, part.top_n, part.stages) == (["d", "a"], 2, None)
    assert (part.scores, part.fusion) == (scores, fusion)


def test_documents_keep_their_own_scores_and_candidates_their_ranks() -> None:
    own = [{"text": "a", "score": 1}, {"text": "b", "score": 2}]
    assert part_of(parse_request("q", own), [1]).first_stage_scores() == [2]
    fused = fuse([["a", "b"], ["b", "c"]])
    assert part_of(parse_request("q", fused, fusion="rrf"), [2, 0]).scores is None
