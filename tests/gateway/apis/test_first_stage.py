"""First-stage scores in every API whose answer is a ranking: read alike, and never at odds with the order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.apis import (
    COHERE_OR_VOYAGE,
    COHERE_V1,
    COHERE_V2,
    DASHSCOPE,
    FLEET,
    JINA,
    NVIDIA,
    SCORE,
    SIMILARITY,
    TEI,
    VOYAGE,
    WEAVIATE,
    fleet,
)
from rerank_producer.apis.common.call import Api, AskedFusion, RerankCall
from rerank_shared.contract.activation import sigmoid
from rerank_shared.contract.messages import Fusion
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import FUSION_METHODS, FusionMethod
from support.http.answers import JSON, LOGITS, answer, fused, identity_scored, parse

OPTIONS: dict[str, Any] = {
    "fusion": "weighted",
    "fusion_weight": 0.5,
    "fusion_ratio": 2,
    "first_stage": "bm25",
    "first_stage_order": "ascending",
}


@dataclass(frozen=True)
class Shape:
    """Where an API has its documents and options, and where in an answer it has the score."""

    api: Api
    documents: str = "documents"
    results: Callable[[Any], list[dict[str, Any]]] = lambda written: written["results"]
    score: str = "relevance_score"
    objects: bool = True

    def body(self, documents: Sequence[Any], scores: Any = None, **options: Any) -> dict[str, Any]:
        body = {"query": "q", self.documents: documents} | ({} if scores is None else {"scores": scores})
        return {"input": body, "parameters": options} if self.api is DASHSCOPE else body | options

    def call(self, documents: Sequence[Any], scores: Any = None, **options: Any) -> RerankCall:
        (call,) = self.api.parse(self.body(documents, scores, **options)).calls
        return call


SHAPES = [
    Shape(COHERE_V1),
    Shape(COHERE_V2),
    Shape(COHERE_OR_VOYAGE),
    Shape(JINA),
    Shape(VOYAGE, results=lambda written: written["data"], objects=False),
    Shape(TEI, "texts", results=lambda written: written, score="score", objects=False),
    Shape(NVIDIA, "passages", results=lambda written: written["rankings"], score="logit"),
    Shape(DASHSCOPE, results=lambda written: written["output"]["results"]),
    Shape(FLEET, score="fused_score"),
]
OF_OTHERS = [shape for shape in SHAPES if shape.api is not FLEET]
ALL = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.api.name)
OTHERS = pytest.mark.parametrize("shape", OF_OTHERS, ids=lambda shape: shape.api.name)
WITH_OBJECTS = pytest.mark.parametrize(
    "shape", [shape for shape in OF_OTHERS if shape.objects], ids=lambda shape: shape.api.name
)
METHODS = st.sampled_from([method for method in FUSION_METHODS if method != "none"])


@ALL
def test_scores_beside_the_documents_are_in_the_call_with_what_is_to_be_done(shape: Shape) -> None:
    call = shape.call(["a", "b", "c"], [3, None, -1.5], **OPTIONS)
    assert call.fusion == AskedFusion("weighted", 0.5, 2.0, "bm25", "ascending", [3.0, None, -1.5])
    assert call.has_first_stage_scores
    assert list(call.documents) == ["a", "b", "c"]


@ALL
def test_without_a_word_of_it_a_call_has_none_of_it(shape: Shape) -> None:
    for options in ({}, dict.fromkeys(OPTIONS) if shape.api is not FLEET else {}):
        call = shape.call(["a"], **options)
        assert call.fusion == AskedFusion()
        assert not call.has_first_stage_scores


def test_clients_of_dashscope_put_scores_among_the_parameters() -> None:
    body = {"input": {"query": "q", "documents": ["a", "b"]}, "parameters": OPTIONS | {"scores": [1.0, 2.0]}}
    (call,) = DASHSCOPE.parse(body).calls
    assert (call.fusion.method, call.fusion.scores) == ("weighted", [1.0, 2.0])


@WITH_OBJECTS
@pytest.mark.parametrize("fusion", [None, "zscore"])
def test_objects_have_scores_of_their_own(shape: Shape, fusion: str | None) -> None:
    call = shape.call([{"text": "a", "score": 2}, "b", {"text": "c", "score": None}], fusion=fusion)
    assert call.fusion == AskedFusion(fusion, scores=[2.0, None, None])  # type: ignore[arg-type]
    assert list(call.documents) == ["a", "b", "c"]


def test_of_the_fleet_s_own_documents_scores_stay_where_they_are() -> None:
    documents = ["a", {"text": "b", "score": 1.5, "id": "B"}]
    (call,) = FLEET.parse({"query": "q", "documents": documents, "fusion": "rrf"}).calls
    assert (call.documents, call.fusion) == (documents, AskedFusion("rrf"))
    assert call.has_first_stage_scores


@WITH_OBJECTS
@pytest.mark.parametrize("odd", ["high", True, [1], {"bm25": 1}, 10**400], ids=repr)
def test_an_odd_score_of_an_object_is_wrong_only_where_fusion_is_asked_for(shape: Shape, odd: Any) -> None:
    documents = ["a", {"text": "b", "score": odd}, {"text": "c", "score": 1.0}]
    assert shape.call(documents).fusion.scores == [None, None, 1.0]
    assert shape.call(documents[:2]).fusion == AskedFusion()
    assert shape.call(documents, fusion="none").fusion == AskedFusion("none")
    with pytest.raises(InvalidRequest, match=rf"^{shape.documents}\.1\.score: a finite number expected"):
        shape.call(documents, fusion="rrf")


@ALL
@pytest.mark.parametrize("odd", ["high", True, [1], 10**400], ids=repr)
@pytest.mark.parametrize("fusion", [{}, {"fusion": "rrf"}])
def test_an_odd_score_in_the_list_is_named(shape: Shape, odd: Any, fusion: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match=r"^scores\.1: a finite number") as caught:
        shape.call(["a", "b", "c"], [1.0, odd, "secret"], **fusion)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("odd", ["secret", True, 10**400])
def test_the_fleet_s_own_documents_have_numbers_as_scores(odd: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^documents\.1\.score: a finite number expected; leave it out") as caught:
        FLEET.parse({"query": "q", "documents": ["a", {"text": "b", "score": odd}]})
    assert "secret" not in caught.value.message
    assert "function" not in caught.value.message


@ALL
@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 2.0, 3.0]])
def test_there_is_one_score_a_document(shape: Shape, scores: list[float]) -> None:
    with pytest.raises(InvalidRequest, match=rf"^scores: {len(scores)} for 2 {shape.documents}; one for each expected"):
        shape.call(["a", "b"], scores)


@pytest.mark.parametrize("shape", [each for each in SHAPES if each.objects], ids=lambda shape: shape.api.name)
def test_scores_stand_in_one_place(shape: Shape) -> None:
    with pytest.raises(InvalidRequest, match=rf"^scores: some {shape.documents} have a `score` too; give either$"):
        shape.call(["a", {"text": "b", "score": 1.0}], [1.0, 2.0])


@ALL
@pytest.mark.parametrize(
    "wrong",
    [
        {"fusion": "mean"},
        {"fusion": 1},
        {"fusion_weight": -1},
        {"fusion_weight": "inf"},
        {"fusion_ratio": 0},
        {"first_stage": "b m"},
        {"first_stage_order": "up"},
    ],
    ids=repr,
)
def test_a_wrong_option_is_named(shape: Shape, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=f"^{next(iter(wrong))}: "):
        shape.call(["a"], [1.0], **wrong)


@pytest.mark.parametrize("api", [COHERE_V1, COHERE_V2], ids=lambda api: api.name)
def test_what_is_scored_is_the_same_text_as_ever(api: Api) -> None:
    documents = [{"title": "T", "score": 7}, {"text": "b", "score": 1}]
    (call,) = api.parse({"query": "q", "documents": documents, "fusion": "rrf"}).calls
    assert list(call.documents) == ['{"title": "T", "score": 7}', "b"]
    assert call.fusion.scores == [7.0, 1.0]
    ranked = {"query": "q", "documents": documents, "rank_fields": ["score", "title"]}
    (call,) = api.parse(ranked).calls
    assert list(call.documents) == ["7\nT", "1"]


@ALL
def test_a_flood_of_wrong_scores_is_one_error(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "parse_request", lambda *_, **__: pytest.fail("all mistakes were about to be listed"))
    with pytest.raises(InvalidRequest) as caught:
        shape.call(["a"], ["x"] * 500_000, fusion="rrf")
    assert caught.value.message.startswith("scores.0: ")
    assert len(caught.value.message) < 200


@ALL
@given(
    scores=JSON | st.lists(JSON | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    score=JSON,
    options=st.fixed_dictionaries({}, optional=dict.fromkeys(OPTIONS, JSON) | {"fusion": JSON | METHODS}),
)
def test_any_json_in_their_place_is_understood_or_refused(
    shape: Shape, scores: Any, score: Any, options: dict[str, Any]
) -> None:
    parsed = parse(shape.api, shape.body(["a", {"text": "b", "score": score}], scores, **options))
    for call in parsed.calls if parsed else ():
        assert call.fusion.scores is None or len(call.fusion.scores) == 2


@WITH_OBJECTS
@given(scores=st.lists(JSON, min_size=1, max_size=5))
def test_a_body_that_does_not_ask_for_fusion_is_refused_for_no_score_of_its_objects(
    shape: Shape, scores: list[Any]
) -> None:
    call = shape.call([{"text": "t", "score": score} for score in scores])
    assert list(call.documents) == ["t"] * len(scores)


def written(
    shape: Shape, logits: Sequence[float | None], fusion: Fusion, *, activated: bool = True, **body: Any
) -> Any:
    """Return the results of a fused answer, as the API writes them."""
    parsed = shape.api.parse(shape.body(["d"] * len(logits), list(fusion.scores), **body))
    (call,) = parsed.calls
    scored = answer(call, logits)
    reply = fused(scored if activated else identity_scored(scored), fusion)
    return shape.results(parsed.render("req-1", [reply])), reply.response


@ALL
@given(
    pairs=LOGITS.flatmap(lambda logits: st.tuples(st.just(logits), st.lists(
        st.floats(-1e3, 1e3), min_size=len(logits), max_size=len(logits)))),
    method=METHODS,
    weight=st.floats(0, 1e3),
    activated=st.booleans(),
)  # fmt: skip
def test_order_and_score_never_disagree(
    shape: Shape, pairs: tuple[list[float | None], list[float]], method: FusionMethod, weight: float, activated: bool
) -> None:
    logits, scores = pairs
    results, response = written(shape, logits, Fusion(method, weight, tuple(scores)), activated=activated)
    shape.api.response.model_validate(shape_of(shape, results))
    assert [row["index"] for row in results] == [result.index for result in response.results]
    shown = [row[shape.score] for row in results if row[shape.score] is not None]
    assert all(before >= after for before, after in pairwise(shown))


def shape_of(shape: Shape, results: list[dict[str, Any]]) -> Any:
    """Return a whole answer of some results, where only they matter."""
    parsed = shape.api.parse(shape.body(["d"] * len(results)))
    (call,) = parsed.calls
    return parsed.render("req-1", [answer(call, [0.0] * len(results))])


LOGITS_OF_TWO, ZSCORE = [2.0, 1.0], Fusion("zscore", 3.0, (1.0, 2.0))
#: The deviations are equal to each other's, so that these are 2 - 1.5 and 1 + 1.5.
FUSED = {0: 0.5, 1: 2.5}


def of_two(shape: Shape, *, activated: bool = True, **body: Any) -> dict[int, float]:
    results, _ = written(shape, LOGITS_OF_TWO, ZSCORE, activated=activated, **body)
    return {row["index"]: row[shape.score] for row in results}


@OTHERS
def test_the_score_that_is_shown_is_the_fused_one_after_the_activation(shape: Shape) -> None:
    raw = shape.api is NVIDIA
    assert of_two(shape) == {index: score if raw else sigmoid(score) for index, score in FUSED.items()}
    probable = shape.api is TEI
    assert of_two(shape, activated=False) == {i: sigmoid(s) if probable else s for i, s in FUSED.items()}


@pytest.mark.parametrize(
    ("shape", "asked"),
    [(SHAPES[0], {"use_activation": False}), (SHAPES[1], {"raw_scores": True}), (SHAPES[5], {"raw_scores": True})],
    ids=["cohere-v1", "cohere-v2", "tei"],
)
def test_where_logits_are_asked_for_it_is_the_fused_score_itself(shape: Shape, asked: dict[str, bool]) -> None:
    assert of_two(shape, **asked) == FUSED


def test_the_fleet_s_own_answer_has_both_scores() -> None:
    (first, second), response = written(SHAPES[-1], LOGITS_OF_TWO, ZSCORE)
    assert (first["index"], first["fused_score"], first["logit"], first["first_stage_score"]) == (1, 2.5, 1.0, 2.0)
    assert (second["index"], second["relevance_score"]) == (0, sigmoid(2.0))
    assert response.fusion is not None
    parsed = FLEET.parse({"query": "q", "documents": ["a", "b"]})
    reply = fused(answer(parsed.calls[0], LOGITS_OF_TWO), ZSCORE)
    assert parsed.render("req-1", [reply])["fusion"]["applied"] == "zscore"


@OTHERS
def test_a_document_that_was_not_scored_in_time_stands_last_with_the_lowest_score(shape: Shape) -> None:
    results, _ = written(shape, [2.0, None, 1.0], Fusion("zscore", 1.0, (3.0, 1.0, 2.0)))
    assert results[-1]["index"] == 1
    assert results[-1][shape.score] == min(0.0, *(row[shape.score] for row in results))


def test_answers_by_position_take_none_of_it() -> None:
    bodies: list[tuple[Api, dict[str, Any]]] = [
        (SCORE, {"text_1": "q", "text_2": ["a", "b"]}),
        (SIMILARITY, {"inputs": {"source_sentence": "q", "sentences": ["a", "b"], "scores": [1, 2]}}),
        (WEAVIATE, {"query": "q", "documents": ["a", "b"], "property": "body"}),
    ]
    for api, body in bodies:
        (call,) = api.parse(body | {"fusion": "weighted", "scores": [1, 2]}).calls
        assert call.fusion == AskedFusion()
