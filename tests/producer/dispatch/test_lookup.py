"""What is seen before anything is sent, and in how many round trips."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_producer._dispatch.lookup import LookupResult
from rerank_producer._dispatch.served_models import REMEMBERED_S
from rerank_producer._io.port import drive
from rerank_shared.contract.digest import pair_digests
from rerank_shared.errors import InvalidRequest, UnknownModel
from rerank_shared.routing.route import Target
from support.in_memory import Parts

DOCUMENTS = ["a", "b"]


def look(parts: Parts, documents: list[Any] = DOCUMENTS, model: str | None = None, **options: Any) -> LookupResult:
    request = parts.request("q", documents, **options)
    return drive(parts.pipeline.lookup.run(parts.port, request, model or parts.model))


def cached(parts: Parts, documents: list[str], **options: Any) -> None:
    with parts.fleet.client() as client:
        client.rerank("q", documents, **options)


def test_the_first_look_asks_what_is_served_and_later_ones_do_not() -> None:
    parts = Parts()
    look(parts)
    assert parts.port.trips == ["pipeline", "lookup"]
    look(parts)
    assert parts.port.trips[2:] == ["lookup"]


def test_cached_scores_stand_where_their_documents_do() -> None:
    parts = Parts(lambda query, document: 2.5)
    cached(parts, ["b"])
    scores = look(parts).scores
    assert scores is not None
    assert [score and score.logit for score in scores] == [None, 2.5]


def test_the_fleet_is_seen_with_them() -> None:
    parts = Parts(workers=3, pair_s=0.5)
    with parts.fleet.client() as client:
        client.submit("other", ["x"])
    load = look(parts).load
    assert load is not None
    assert (load.workers, load.unanswered, load.idle) == (3, 1, 2)
    assert load.cost is not None
    assert load.cost.run_s == 0.5


def test_without_documents_nothing_is_asked() -> None:
    parts = Parts()
    assert look(parts, []) == LookupResult(Target(parts.model), None, None)
    assert parts.port.trips == []


def test_without_a_cache_there_is_nothing_to_look_up() -> None:
    found_ = look(Parts(cache=False))
    assert (found_.digests, found_.scores) == (None, None)
    assert found_.load is not None


def test_other_weights_mean_another_look_by_their_digests() -> None:
    parts = Parts()
    cached(parts, DOCUMENTS)
    first = look(parts)
    parts.fleet.serve(parts.model, lambda query, document: 0.0)
    parts.fleet.advance(REMEMBERED_S + 1)
    parts.port.trips.clear()
    second = look(parts)
    # The processes of the new pool are counted in between.
    assert parts.port.trips == ["lookup", "pipeline", "lookup"]
    assert second.identity is not None
    assert second.identity != first.identity
    assert second.digests == pair_digests(second.identity, second.identity.max_length, "q", DOCUMENTS)
    assert second.scores == [None, None]


def test_a_server_that_is_away_is_a_miss_and_what_was_known_still_is() -> None:
    parts = Parts()
    known = look(parts).pool
    parts.fleet.go_away()
    assert look(parts) == LookupResult(Target(parts.model), known, 512)


def test_a_server_that_was_never_there_leaves_all_to_the_worker() -> None:
    parts = Parts()
    parts.fleet.go_away()
    assert look(parts) == LookupResult(Target(parts.model), None, None)


def test_a_model_that_is_not_served_is_no_miss() -> None:
    with pytest.raises(UnknownModel):
        look(Parts(), model="another")


def test_token_ids_of_another_tokenizer_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="tokenizer_digest"):
        look(Parts(), [{"token_ids": [1]}], tokenizer_digest="0" * 64)


def test_a_tenant_s_own_scores_are_looked_up_under_its_name() -> None:
    parts = Parts()
    cached(parts, ["a"], tenant="acme", cache_scope="tenant")

    def found(**options: Any) -> bool:
        scores = look(parts, ["a"], **options).scores
        return scores is not None and scores[0] is not None

    assert found(tenant="acme", cache_scope="tenant")
    assert not found(tenant="rival", cache_scope="tenant")
    assert not found()


@pytest.mark.parametrize(("asked_for", "flights"), [(True, 2), (False, 0)])
def test_claims_are_asked_for_where_pairs_in_flight_are_shared(asked_for: bool, flights: int) -> None:
    assert len(look(Parts(single_flight=asked_for)).claims) == flights
