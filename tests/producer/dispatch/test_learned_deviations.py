"""Learning: what requests teach waits for the next look-up, and is kept by model, first stage and, if asked, tenant."""

from __future__ import annotations

import os
from typing import Any

from rerank_producer._dispatch.learned_deviations import REMEMBERED_S
from rerank_producer._io.port import drive
from rerank_producer.fusion import FirstStage
from rerank_producer.request_options import RequestOptions
from rerank_shared.contract.schemas import FusionInfo
from rerank_shared.deviations import TRUSTED_REQUESTS
from support.in_memory import OPTIONS, Parts

DOCUMENTS = ["a", "bbb", "cc"]
SCORES = [6.0, 2.0, 4.0]


def length(query: str, document: str) -> float:
    return float(len(document))


def fused(parts: Parts, times: int = 1, **options: Any) -> FusionInfo:
    """Answer the same request some times, and return what the last answer says of its fusion."""
    asked = OPTIONS | {"fusion": "weighted", "scores": SCORES, "first_stage": "bm25"} | options
    for _ in range(times):
        response = drive(parts.pipeline.rerank(parts.port, "q", FirstStage(DOCUMENTS), asked, partial=True))
    assert response.fusion is not None
    return response.fusion


def later(parts: Parts) -> None:
    parts.fleet.advance(REMEMBERED_S + 0.1)


def test_z_scores_stand_in_until_enough_requests_have_taught() -> None:
    parts = Parts(length)
    assert (fused(parts, TRUSTED_REQUESTS).applied, fused(parts).method) == ("zscore", "weighted")
    later(parts)
    found = fused(parts)
    assert (found.applied, found.ratio, found.learned_requests) == ("weighted", 0.5, TRUSTED_REQUESTS + 1)


def test_learning_costs_no_round_trip() -> None:
    parts = Parts(length)
    fused(parts)
    parts.port.trips.clear()
    fused(parts, 3)
    assert parts.port.trips == ["lookup"] * 3


def test_another_client_knows_what_one_has_learned() -> None:
    parts = Parts(length)
    fused(parts, TRUSTED_REQUESTS + 1)
    with parts.fleet.client() as other:
        response = other.rerank("q", DOCUMENTS, fusion="weighted", scores=SCORES, first_stage="bm25")
    assert response.fusion is not None
    assert response.fusion.applied == "weighted"


def test_first_stages_and_models_are_learned_apart() -> None:
    parts = Parts(length)
    fused(parts, TRUSTED_REQUESTS + 1)
    later(parts)
    assert fused(parts, first_stage="dense").learned_requests == 0
    assert fused(parts).applied == "weighted"
    parts.fleet.serve(parts.model, lambda query, document: 10.0 * len(document))
    later(parts)
    assert fused(parts).learned_requests == 0


def test_a_tenant_that_shares_no_scores_shares_no_lessons() -> None:
    parts = Parts(length)
    fused(parts, TRUSTED_REQUESTS + 1, tenant="own", cache_scope="tenant")
    later(parts)
    assert fused(parts).learned_requests == 0
    assert fused(parts, tenant="own").learned_requests == 1
    assert fused(parts, cache_scope="tenant").learned_requests == 0
    assert fused(parts, tenant="own", cache_scope="tenant").applied == "weighted"


def test_a_given_ratio_and_other_methods_teach_nothing() -> None:
    parts = Parts(length)
    fused(parts, 5, fusion_ratio=2.0)
    fused(parts, 5, fusion="zscore")
    fused(parts, 5, fusion="rrf")
    fused(parts)
    later(parts)
    assert fused(parts).learned_requests == 1


def test_what_is_missing_teaches_nothing() -> None:
    parts = Parts(length)
    fused(parts, 5, scores=[6.0, None, 4.0])
    fused(parts, 5, scores=[1.0, 1.0, 1.0])
    later(parts)
    assert fused(parts).learned_requests == 0


def test_what_can_not_be_read_counts_as_nothing_learned() -> None:
    parts = Parts(length)
    key = parts.pipeline.keys.deviations("", "", "bm25")
    fused(parts)
    for name in parts.fleet._server.store.names(key[: key.index("deviations")]):
        if b"deviations" in name:
            parts.fleet._server.store.write(name, b"nonsense")
    later(parts)
    assert fused(parts).applied == "zscore"


def test_requests_that_are_collected_teach_too() -> None:
    parts = Parts(length)
    asked: RequestOptions = {"fusion": "weighted", "scores": SCORES, "first_stage": "bm25"}
    with parts.fleet.client() as client:
        for _ in range(TRUSTED_REQUESTS):
            client.collect(client.submit("q", DOCUMENTS, **asked))
    # A client that closes writes what still waits.
    assert fused(parts).learned_requests == TRUSTED_REQUESTS


async def test_an_asyncio_client_that_closes_writes_what_waits() -> None:
    parts = Parts(length)
    async with parts.fleet.async_client() as client:
        await client.rerank("q", DOCUMENTS, fusion="weighted", scores=SCORES, first_stage="bm25")
    assert fused(parts).learned_requests == 1


def test_closing_does_not_fail_where_the_server_is_away() -> None:
    parts = Parts(length)
    with parts.fleet.client() as client:
        client.rerank("q", DOCUMENTS, fusion="weighted", scores=SCORES, first_stage="bm25")
        parts.fleet.go_away()


def test_a_process_that_forks_while_a_client_learns_goes_on_in_the_child() -> None:
    """What waits in the parent is the parent's: the child neither hangs on it nor teaches it again."""
    parts = Parts(length)
    fused(parts)
    pid = os.fork()
    if pid == 0:
        os._exit(len(parts.pipeline.learned.taken_lessons()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(parts.pipeline.learned.taken_lessons()) == 1
