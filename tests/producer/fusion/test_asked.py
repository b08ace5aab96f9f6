"""Which fusion a request gets: its own, else that of the settings, and only where there is something to fuse."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_producer._request.plan import parse
from rerank_producer.fusion import fuse
from rerank_producer.fusion.asked import fusion_of, learns_ratio, with_learned, without_learned
from rerank_shared.contract.messages import Deviations, Fusion
from rerank_shared.deviations import TRUSTED_REQUESTS
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings

SCORED = [{"text": "a", "score": 3}, {"text": "b", "score": 1.5}]
LEARNED = Deviations(TRUSTED_REQUESTS, 3.0, 6.0)


def asked(documents: Any = SCORED, settings: dict[str, Any] | None = None, **options: Any) -> Fusion | None:
    effective = Settings.model_construct(**(settings or {}))
    return fusion_of(parse(effective, "q", documents, options), effective)


def test_without_a_method_scores_do_not_count() -> None:
    assert asked() is None
    assert asked(settings={"fusion": "weighted"}, fusion="none") is None


def test_a_request_says_how_its_scores_count() -> None:
    assert asked(
        fusion="weighted", fusion_weight=2, fusion_ratio=0.5, first_stage="dense", first_stage_order="ascending"
    ) == Fusion("weighted", 2.0, (3.0, 1.5), "ascending", 0.5, None, "dense")


def test_what_it_does_not_say_the_settings_do() -> None:
    by_settings = asked(settings={"fusion": "zscore", "fusion_weight": 0.25})
    assert by_settings == Fusion("zscore", 0.25, (3.0, 1.5))
    own = asked(settings={"fusion": "zscore", "fusion_weight": 0.25}, fusion="rrf", fusion_weight=0)
    assert own == Fusion("rrf", 0.0, (3.0, 1.5))


def test_scores_may_stand_beside_the_documents() -> None:
    found = asked(["a", "b", {"text": "c"}], fusion="zscore", scores=[1, None, 2.5])
    assert found is not None
    assert found.scores == (1.0, None, 2.5)


def test_a_default_is_for_requests_that_have_scores() -> None:
    for method in ("weighted", "zscore", "rrf"):
        assert asked(["a", "b"], settings={"fusion": method}) is None
        assert asked(["a", "b"], settings={"fusion": method}, scores=[None, None]) is None


def test_reciprocal_ranks_may_be_asked_for_without_scores() -> None:
    assert asked(["a", "b"], fusion="rrf") == Fusion("rrf", 1.0, ())


@pytest.mark.parametrize("method", ["weighted", "zscore"])
def test_a_method_that_needs_scores_says_so(method: str) -> None:
    with pytest.raises(InvalidRequest, match=f"fusion: '{method}' needs first-stage scores"):
        asked(["a", "b"], fusion=method)
    assert asked([], fusion=method) is None


def test_a_ratio_is_learned_for_weighted_alone_and_unless_it_is_given() -> None:
    learning = [asked(fusion=method) for method in ("weighted", "zscore", "rrf")]
    assert [each is not None and learns_ratio(each) for each in learning] == [True, False, False]
    given = asked(fusion="weighted", fusion_ratio=0.5)
    assert given is not None
    assert not learns_ratio(given)
    assert without_learned(given) == given


def test_a_learned_ratio_counts_once_it_rests_on_enough_requests() -> None:
    fusion = Fusion("weighted", 1.0, (1.0, 2.0))
    assert with_learned(fusion, None, "key") == Fusion(
        "weighted", 1.0, (1.0, 2.0), learned_requests=0, learned_under="key"
    )
    few = with_learned(fusion, Deviations(TRUSTED_REQUESTS - 1, 3.0, 6.0), "key")
    assert (few.ratio, few.learned_requests) == (None, TRUSTED_REQUESTS - 1)
    enough = with_learned(fusion, LEARNED, "key")
    assert (enough.ratio, enough.learned_requests) == (0.5, TRUSTED_REQUESTS)
    assert learns_ratio(enough)
    assert without_learned(enough) == Fusion("weighted", 1.0, (1.0, 2.0), learned_requests=0)


LISTS: list[Any] = [["a", "b"], ["b", "c"]]


def test_a_default_is_not_for_lists_without_scores() -> None:
    assert asked(fuse(LISTS), settings={"fusion": "weighted"}) is None


def test_ranks_stand_for_the_scores_of_lists_that_have_none() -> None:
    found = asked(fuse(LISTS), fusion="weighted")
    assert found is not None
    assert found.scores == tuple(candidate.rank_score for candidate in fuse(LISTS))
    ascending = asked(fuse(LISTS, order="ascending"), fusion="zscore", first_stage_order="ascending")
    assert ascending is not None
    assert ascending.scores == tuple(-candidate.rank_score for candidate in fuse(LISTS))


def test_lists_with_scores_are_fused_by_default() -> None:
    scored: list[Any] = [[{"text": "a", "score": 9}, {"text": "b", "score": 1}], ["b", "c"]]
    found = asked(fuse(scored), settings={"fusion": "zscore"})
    assert found is not None
    assert None not in found.scores
