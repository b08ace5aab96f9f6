"""Fusion of first-stage lists: the formula, which documents are the same, and what must never depend on the order."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.fusion import Candidate, Documents, FirstStage, fuse
from rerank_shared.contract.schemas import Document
from rerank_shared.errors import InvalidRequest

IDS = st.integers(0, 12).map(lambda number: f"d{number}")
LISTS = st.lists(st.lists(IDS, max_size=10), max_size=5)


def named(ids: Sequence[str]) -> list[Document]:
    return [Document(id=each, text=f"text of {each}") for each in ids]


def exact(lists: Sequence[Sequence[str]], name: str) -> Fraction:
    """The formula as the paper has it, in exact numbers."""
    return sum((Fraction(1, 60 + ids.index(name) + 1) for ids in lists if name in ids), Fraction(0))


def texts_of(candidates: Sequence[Candidate]) -> list[str | None]:
    return [candidate.text for candidate in candidates]


@given(LISTS)
def test_nothing_is_lost_or_doubled_and_scores_are_those_of_the_formula(lists: list[list[str]]) -> None:
    fused = fuse([named(ids) for ids in lists])
    assert sorted(str(candidate.id) for candidate in fused) == sorted({name for ids in lists for name in ids})
    for candidate in fused:
        assert candidate.rank_score == pytest.approx(float(exact(lists, str(candidate.id))), rel=1e-14)
        assert candidate.ranks == tuple(ids.index(candidate.id) + 1 if candidate.id in ids else None for ids in lists)
    scores = [candidate.rank_score for candidate in fused]
    assert scores == sorted(scores, reverse=True)


@given(LISTS, st.randoms(use_true_random=False))
def test_the_order_of_the_lists_matters_for_ties_only(lists: list[list[str]], random: Any) -> None:
    shuffled = list(lists)
    random.shuffle(shuffled)
    one, other = (fuse([named(ids) for ids in each]) for each in (lists, shuffled))
    assert {c.id: c.rank_score for c in one} == {c.id: c.rank_score for c in other}
    assert [(c.rank_score, min(filter(None, c.ranks))) for c in one] == [
        (c.rank_score, min(filter(None, c.ranks))) for c in other
    ]


@given(LISTS)
def test_texts_fuse_as_documents_with_ids_do(lists: list[list[str]]) -> None:
    by_text, by_id = fuse(lists), fuse([named(ids) for ids in lists])
    assert texts_of(by_text) == [candidate.id for candidate in by_id]


@given(LISTS, st.integers(1, 15))
def test_a_limit_cuts_and_changes_nothing_else(lists: list[list[str]], limit: int) -> None:
    assert fuse(lists, limit=limit) == fuse(lists)[:limit]


def test_ties_go_to_the_better_best_rank_then_to_the_earlier_list() -> None:
    assert texts_of(fuse([["a"], ["b"]])) == ["a", "b"]
    # 1/62 + 1/62 == 1/31 exactly: with k of 30, one first place is worth two of rank 32.
    padded = [[f"x{number}" for number in range(31)] + ["twice"], [f"y{number}" for number in range(31)] + ["twice"]]
    fused = fuse([*padded, ["once"]], k=30)
    both = [candidate for candidate in fused if candidate.text in {"once", "twice"}]
    assert texts_of(both) == ["once", "twice"]
    assert both[0].rank_score == both[1].rank_score


def test_weights_scale_the_share_of_a_list() -> None:
    fused = fuse([["a", "b"], ["b", "a"], ["c"]], weights=[2.0, 1.0, 0.0])
    assert [(c.text, c.rank_score) for c in fused] == [
        ("a", pytest.approx(2 / 61 + 1 / 62)),
        ("b", pytest.approx(2 / 62 + 1 / 61)),
        ("c", 0.0),
    ]


def test_a_document_twice_in_one_list_counts_once_where_it_stands_best() -> None:
    (a, b) = fuse([["a", "a", "b"]])
    assert (a.ranks, b.ranks) == ((1,), (3,))
    assert a.rank_score == pytest.approx(1 / 61)


def test_the_first_copy_counts_and_gets_what_it_lacks() -> None:
    bm25 = [{"id": "x", "text": "snippet", "metadata": {"page": 3, "bm25": 11.2}}]
    dense = [{"id": "x", "text": "the whole text", "metadata": {"page": 4, "cosine": 0.8}}]
    (x,) = fuse([bm25, dense])
    assert (x.id, x.text) == ("x", "snippet")
    assert x.metadata == {"page": 3, "bm25": 11.2, "cosine": 0.8}
    assert bm25[0]["metadata"] == {"page": 3, "bm25": 11.2}


@pytest.mark.parametrize("turned", [False, True])
def test_a_text_is_the_one_document_that_has_it(turned: bool) -> None:
    lists: list[Documents] = [["same", "other"], [{"id": "x", "text": "same", "metadata": {"page": 1}}]]
    same, other = fuse(lists[::-1] if turned else lists)
    assert (same.id, same.text, same.metadata) == ("x", "same", {"page": 1})
    assert sorted(filter(None, same.ranks)) == [1, 1]
    assert (other.id, other.text) == (None, "other")


def test_a_text_of_two_documents_is_neither() -> None:
    fused = fuse([["same"], [{"id": "x", "text": "same"}, {"id": "y", "text": "same"}]])
    assert sorted(str(candidate.id) for candidate in fused) == ["None", "x", "y"]


def test_token_ids_are_the_same_document_by_their_numbers() -> None:
    fused = fuse([[Document(token_ids=(1, 2))], [{"token_ids": [1, 2]}, {"token_ids": [2, 1]}, "1 2"]])
    assert [(c.token_ids, c.text, c.ranks) for c in fused] == [
        ((1, 2), None, (1, 1)),
        ((2, 1), None, (None, 2)),
        (None, "1 2", (None, 3)),
    ]


def test_a_request_takes_candidates_as_documents() -> None:
    fused = fuse([["a"], [{"id": "x", "text": "b"}]])
    assert FirstStage(fused).candidates() == fused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (FirstStage(None), "documents: missing"),
        (FirstStage([], []), "lists: give either documents or lists"),
        (FirstStage(["a"], None, 3), "max_candidates: goes with lists"),
        (FirstStage(None, [["a"]], 0), "max_candidates: 0, but a whole number of at least 1"),
        (FirstStage(None, [["a"]], 2.5), r"max_candidates: 2\.5, but"),  # type: ignore[arg-type]
        (FirstStage(None, [["a"]], True), "max_candidates: True, but"),
        (FirstStage(None, [["a"]], "3"), "max_candidates: '3', but"),  # type: ignore[arg-type]
        (FirstStage(None, "abc"), "lists: a list of lists"),
        (FirstStage(None, [["a"], "abc"]), r"lists\.1: a list of documents"),
        (FirstStage(None, [[{"text": "a"}, {"id": "x"}]]), r"lists\.0\.1: either `text` or `token_ids`"),
        (FirstStage(None, [["a", {"text": 7}]]), r"lists\.0\.1\.text: Input should be a valid string"),
        (FirstStage(None, [[b"bytes"]]), r"lists\.0\.0: "),  # type: ignore[list-item]
    ],
)
def test_what_can_not_be_fused_is_refused_by_name(given: FirstStage, message: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{message}"):
        given.candidates()


@pytest.mark.parametrize(
    "weights",
    [[1.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")], [1, 10**400], ["1", "1"], [1, None], "11", 5],
)
def test_weights_are_checked(weights: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^weights: "):
        fuse([["a"], ["b"]], weights=weights)


@pytest.mark.parametrize("k", [-1, float("nan"), float("inf"), pytest.param(10**5000, id="huge"), True, "60", None])
def test_k_is_checked(k: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^k: "):
        fuse([["a"], ["b"]], k=k)


def test_numbers_of_other_types_are_taken() -> None:
    lists = [["a", "b"], ["b", "a"]]
    weights: Any = np.array([1, 2], np.float32)
    limit: Any = np.int64(1)
    assert texts_of(fuse(lists, weights=weights, limit=limit, k=0)) == ["b"]


def scored(*pairs: tuple[str, float | None]) -> list[Document]:
    return [Document(id=name, text=name, score=score) for name, score in pairs]


def test_a_candidate_s_score_is_the_sum_of_z_scores_within_each_list() -> None:
    """By hand: (9, 5, 1) has mean 5 and deviation 3.266; a list's worst stands in where it lacks the document."""
    fused = fuse([scored(("a", 9), ("b", 5), ("c", 1)), scored(("c", 0.5), ("d", 0.1))])
    z = 4 / (32 / 3) ** 0.5
    assert {c.id: c.score for c in fused} == {
        "a": pytest.approx(z - 1),
        "b": pytest.approx(-1),
        "c": pytest.approx(-z + 1),
        "d": pytest.approx(-z - 1),
    }


def test_smaller_may_be_better_in_lists_too() -> None:
    far = fuse([scored(("a", 1), ("b", 5), ("c", 9))], order="ascending")
    near = fuse([scored(("a", -1), ("b", -5), ("c", -9))])
    assert [c.score for c in far] == pytest.approx([-(c.score or 0.0) for c in near])
    assert far[0].score == min(c.score or 0.0 for c in far)


def test_a_list_without_scores_counts_by_its_ranks_on_the_same_scale() -> None:
    """One text without a score must not change the scale of all candidates."""
    plain: list[Any] = [named(["a", "b", "c"]), scored(("c", 3), ("b", 2), ("a", 1))]
    mixed = {c.id: c.score or 0.0 for c in fuse(plain)}
    whole = {c.id: c.score or 0.0 for c in fuse([scored(("a", 3), ("b", 2), ("c", 1)), plain[1]])}
    assert mixed == pytest.approx(whole, abs=0.1)
    half: list[Any] = [scored(("a", 9), ("b", None), ("c", 1)), plain[1]]
    assert {c.id: c.score or 0.0 for c in fuse(half)} == pytest.approx(mixed, abs=1e-12)


def test_lists_without_any_score_give_candidates_none() -> None:
    assert [c.score for c in fuse([named(["a", "b"]), named(["b"])])] == [None, None]


@given(st.lists(st.lists(st.tuples(IDS, st.floats(allow_nan=False, allow_infinity=False)), max_size=6), max_size=4))
def test_no_size_of_a_list_s_scores_is_too_much(lists: list[list[tuple[str, float]]]) -> None:
    for candidate in fuse([scored(*pairs) for pairs in lists]):
        assert candidate.score is not None
        assert abs(candidate.score) <= 10 * len(lists)


def test_the_former_name_of_the_rank_score_is_read_with_a_warning() -> None:
    (candidate,) = fuse([named(["a"])])
    with pytest.warns(FutureWarning, match="rank_score"):
        assert candidate.fused_score == candidate.rank_score
