"""Lists divide into pairs to fit on and lists to measure on: of different queries, the same ones each time."""

from __future__ import annotations

import pytest

from rerank_ops.export.depth.candidate_list import (
    BEST,
    FEWEST_MEASURED,
    FEWEST_PAIRS,
    LONGEST,
    MEASURED,
    PER_LIST,
    SHORTEST,
    CandidateList,
    divided,
    lists_needed,
)
from rerank_shared.errors import ConfigurationError


def lists(count: int, documents: int = LONGEST, *, made: bool = False) -> list[CandidateList]:
    return [
        CandidateList(f"query {n}", tuple(f"document {n}.{place}" for place in range(documents)), made)
        for n in range(count)
    ]


def test_queries_to_fit_on_are_none_to_measure_on() -> None:
    found = divided(lists(200), 1_000)
    assert len(found.fitted) == 1_000
    assert len(found.measured) == MEASURED
    assert not {query for query, _ in found.fitted} & {each.query for each in found.measured}
    assert found.queries == 125


def test_as_many_lists_as_are_needed_are_enough() -> None:
    assert len(divided(lists(lists_needed(1_000)), 1_000).fitted) == 1_000


def test_a_list_gives_its_best_documents_and_some_from_below() -> None:
    found = divided(lists(200), 1_000)
    query = found.fitted[0][0]
    places = [int(document.rpartition(".")[2]) for asked, document in found.fitted if asked == query]
    assert places[:BEST] == list(range(BEST))
    assert len(set(places)) == PER_LIST
    assert all(BEST <= place < LONGEST for place in places[BEST:])


def test_whatever_order_the_lists_come_in_they_divide_alike() -> None:
    one, other = divided(lists(60), 200), divided(lists(60)[::-1], 200)
    assert one == other
    assert one.digest == other.digest
    assert one.digest != divided(lists(61), 200).digest


def test_short_lists_are_fitted_on_and_not_measured_on() -> None:
    found = divided([*lists(FEWEST_MEASURED), *lists(200, SHORTEST - 1)[FEWEST_MEASURED:]], 400)
    assert len(found.measured) == FEWEST_MEASURED
    assert len(found.fitted) == 400


def test_queries_that_were_made_are_counted() -> None:
    found = divided([*lists(30), *lists(100, made=True)[30:]], 10_000)
    assert found.made_queries == 70


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], f"0 queries with {SHORTEST} candidates or more to measure on, 0 pairs"),
        (
            lists(FEWEST_MEASURED),
            f"{FEWEST_MEASURED} queries with {SHORTEST} candidates or more to measure on, 0 pairs",
        ),
        (lists(FEWEST_MEASURED + FEWEST_PAIRS // PER_LIST), "96 pairs of other queries to fit on; 10 and 100 are"),
        (lists(100, SHORTEST - 1), "0 queries with 20 candidates"),
    ],
)
def test_too_little_text_is_refused_with_what_there_is(given: list[CandidateList], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        divided(given, 1_000)
