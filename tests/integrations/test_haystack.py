"""The Haystack ranker in Haystack itself, with a real worker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed here: `make test-clients`")

from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.utils import Secret

from integrations.conftest import NOWHERE, QUERY, SCORES, TEXTS, WEIGHT, Expected
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.fusion.shown import shown_score
from rerank_producer.integrations.haystack import FleetRanker
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import ConfigurationError, DeadlineExceeded, InvalidRequest, Overloaded, QueueUnavailable
from rerank_shared.settings import Settings
from support.fleet import TestFleet

pytestmark = [pytest.mark.integration, pytest.mark.clients]
AWAY = Secret.from_token(NOWHERE)


@pytest.fixture
def client(fleet: TestFleet) -> Iterator[RerankClient]:
    with RerankClient(fleet.settings) as client:
        yield client


@pytest.fixture
def url(fleet: TestFleet, monkeypatch: pytest.MonkeyPatch) -> Secret:
    """The fleet's server, as a saved pipeline names it."""
    monkeypatch.setenv("SOME_REDIS", fleet.settings.redis_url.get_secret_value())
    return Secret.from_env_var("SOME_REDIS")


def documents() -> list[Document]:
    return [Document(id=f"d{place}", content=text, score=0.9 - place / 10) for place, text in enumerate(TEXTS)]


def test_documents_come_back_as_copies_with_the_client_s_own_scores(client: RerankClient, expected: Expected) -> None:
    found = documents()
    ranker = FleetRanker(client=client)
    ranker.warm_up()
    ranked = ranker.run(query=QUERY, documents=found)["documents"]
    assert [(document.id, document.score) for document in ranked] == [
        (f"d{index}", expected.scores[index]) for index in expected.order
    ]
    assert found == documents()
    assert [document.id for document in ranker.run(query=QUERY, documents=found, top_k=1)["documents"]] == ["d2"]


def test_what_is_written_into_a_copy_is_not_in_the_original(client: RerankClient) -> None:
    found = [Document(content=TEXTS[0], meta={"page": 1})]
    (ranked,) = FleetRanker(client=client).run(query=QUERY, documents=found)["documents"]
    ranked.meta["page"] = 2
    assert found[0].meta == {"page": 1}


async def test_the_same_from_asyncio(fleet: TestFleet, expected: Expected) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        ranker = FleetRanker(async_client=client, top_k=2)
        ranked = (await ranker.run_async(query=QUERY, documents=documents()))["documents"]
        assert [document.id for document in ranked] == [f"d{index}" for index in expected.order[:2]]
        assert len((await ranker.run_async(query=QUERY, documents=documents(), top_k=3))["documents"]) == 3


def test_a_saved_pipeline_ranks_what_two_retrievers_found(fleet: TestFleet, url: Secret, expected: Expected) -> None:
    pipeline = Pipeline()
    pipeline.add_component("joiner", DocumentJoiner())
    pipeline.add_component("ranker", FleetRanker(top_k=3, redis_url=url, namespace=fleet.settings.namespace))
    pipeline.connect("joiner.documents", "ranker.documents")
    saved = pipeline.dumps()
    assert fleet.settings.redis_url.get_secret_value() not in saved
    again = Pipeline.loads(saved, allowed_modules=["rerank_producer.integrations.haystack"])
    given = {"joiner": {"documents": documents()}, "ranker": {"query": QUERY}}
    ranked = again.run(given)["ranker"]["documents"]
    assert [document.id for document in ranked] == [f"d{index}" for index in expected.order[:3]]
    again.close()


def test_one_ranker_serves_the_loops_of_asyncio_pipelines(fleet: TestFleet, url: Secret, expected: Expected) -> None:
    pipeline = Pipeline()
    pipeline.add_component("ranker", FleetRanker(top_k=1, redis_url=url, namespace=fleet.settings.namespace))
    for _ in range(2):
        answer = asyncio.run(pipeline.run_async({"ranker": {"query": QUERY, "documents": documents()}}))
        assert [document.id for document in answer["ranker"]["documents"]] == [f"d{expected.order[0]}"]
    asyncio.run(pipeline.close_async())


def test_meta_fields_stand_before_the_content(client: RerankClient) -> None:
    document = Document(content="It has 3,520,031 inhabitants.", meta={"city": "Berlin", "year": 2015, "empty": ""})
    ranker = FleetRanker(
        client=client, meta_fields_to_embed=["city", "year", "empty", "none"], embedding_separator=" | "
    )
    (ranked,) = ranker.run(query=QUERY, documents=[document])["documents"]
    (direct,) = client.rerank(QUERY, ["Berlin | 2015 | It has 3,520,031 inhabitants."]).results
    assert direct.cached
    assert ranked.score == direct.relevance_score
    assert (ranked.meta, ranked.id) == (document.meta, document.id)


def test_a_document_found_twice_is_ranked_once(client: RerankClient, expected: Expected) -> None:
    twice = [*documents(), *documents()[::-1]]
    ranked = FleetRanker(client=client).run(query=QUERY, documents=twice)["documents"]
    assert [document.id for document in ranked] == [f"d{index}" for index in expected.order]
    assert FleetRanker(redis_url=AWAY, fallback=True).run(query=QUERY, documents=twice)["documents"] == documents()


def test_a_document_without_text_is_ranked_by_its_meta(client: RerankClient) -> None:
    found = [Document(meta={"title": text}) for text in TEXTS]
    ranked = FleetRanker(client=client, meta_fields_to_embed=["title"]).run(query=QUERY, documents=found)["documents"]
    assert ranked[0].meta["title"] == TEXTS[2]


def test_without_documents_nothing_is_asked() -> None:
    ranker = FleetRanker(redis_url=AWAY)
    assert ranker.run(query=QUERY, documents=[]) == {"documents": []}
    assert asyncio.run(ranker.run_async(query=QUERY, documents=[])) == {"documents": []}


@pytest.mark.parametrize("top_k", [0, -1])
def test_a_top_k_below_one_is_refused(top_k: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^top_k"):
        FleetRanker(top_k)
    with pytest.raises(InvalidRequest, match=r"^top_k"):
        FleetRanker(redis_url=AWAY).run(query=QUERY, documents=documents(), top_k=top_k)


def test_what_was_not_scored_in_time_has_no_score(settings: Settings) -> None:
    with RerankClient(settings) as client:
        ranked = FleetRanker(2, client=client, deadline_ms=0).run(query=QUERY, documents=documents())["documents"]
        assert [(document.id, document.score) for document in ranked] == [("d0", None), ("d1", None)]
        with pytest.raises(DeadlineExceeded):
            FleetRanker(client=client, deadline_ms=0, partial=False).run(query=QUERY, documents=documents())


def test_a_server_that_is_away_is_told_or_leaves_the_first_stage_s_order() -> None:
    with pytest.raises(QueueUnavailable):
        FleetRanker(redis_url=AWAY).run(query=QUERY, documents=documents())
    ranker = FleetRanker(2, redis_url=AWAY, fallback=True)
    assert ranker.run(query=QUERY, documents=documents())["documents"] == documents()[:2]


async def test_the_same_failure_from_asyncio() -> None:
    async with AsyncRerankClient(redis_url=NOWHERE) as client:
        with pytest.raises(QueueUnavailable):
            await FleetRanker(async_client=client).run_async(query=QUERY, documents=documents())
        ranker = FleetRanker(None, async_client=client, fallback=True)
        assert (await ranker.run_async(query=QUERY, documents=documents()))["documents"] == documents()


def test_an_overloaded_fleet_is_told_or_leaves_the_first_stage_s_order(overloaded: Settings) -> None:
    with RerankClient(overloaded) as client:
        with pytest.raises(Overloaded):
            FleetRanker(client=client, deadline_ms=5_000).run(query=QUERY, documents=documents())
        ranker = FleetRanker(client=client, deadline_ms=5_000, fallback=True)
        assert ranker.run(query=QUERY, documents=documents())["documents"] == documents()


def test_all_options_survive_serialization(url: Secret) -> None:
    options: dict[str, Any] = {
        "top_k": 3, "namespace": "mine", "deadline_ms": 70.0, "job_class": "bulk", "tenant": "search", "model": "m",
        "max_length": 64, "partial": False, "fallback": True, "meta_fields_to_embed": ["title"],
        "embedding_separator": " ", "fusion": "weighted", "fusion_weight": 2.0, "fusion_ratio": 0.5,
        "first_stage": "bm25", "first_stage_order": "ascending",
    }  # fmt: skip
    data = FleetRanker(redis_url=url, **options).to_dict()
    assert {name: data["init_parameters"][name] for name in options} == options
    assert FleetRanker.from_dict(data).to_dict() == data
    with pytest.raises(ConfigurationError, match="redis_url"):
        FleetRanker(client=RerankClient()).to_dict()


def scored_documents() -> list[Document]:
    return [
        Document(id=f"d{place}", content=text, score=score)
        for place, (text, score) in enumerate(zip(TEXTS, SCORES, strict=True))
    ]


def test_the_documents_scores_count_where_it_is_asked_for(client: RerankClient, fused: RerankResponse) -> None:
    ranker = FleetRanker(client=client, fusion="zscore", fusion_weight=WEIGHT)
    ranked = ranker.run(query=QUERY, documents=scored_documents())["documents"]
    shown = [document.score for document in ranked]
    assert [document.id for document in ranked] == [f"d{result.index}" for result in fused.results]
    assert shown == [shown_score(result, fused.model) for result in fused.results]
    assert shown == sorted(shown, key=lambda score: score or 0.0, reverse=True)


async def test_they_count_from_asyncio_too(fleet: TestFleet, fused: RerankResponse) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        ranker = FleetRanker(async_client=client, fusion="zscore", fusion_weight=WEIGHT)
        ranked = (await ranker.run_async(query=QUERY, documents=scored_documents()))["documents"]
    assert [document.id for document in ranked] == [f"d{result.index}" for result in fused.results]


def test_a_saved_pipeline_fuses_as_before(fleet: TestFleet, url: Secret, fused: RerankResponse) -> None:
    pipeline = Pipeline()
    ranker = FleetRanker(
        redis_url=url, namespace=fleet.settings.namespace, fusion="zscore", fusion_weight=WEIGHT, first_stage="dense"
    )
    pipeline.add_component("ranker", ranker)
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["rerank_producer.integrations.haystack"])
    answer = again.run({"ranker": {"query": QUERY, "documents": scored_documents()}})
    again.close()
    assert [document.id for document in answer["ranker"]["documents"]] == [f"d{r.index}" for r in fused.results]


def test_a_wrong_option_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"^fusion: .*'weighted'"):
        FleetRanker(fusion="best")  # type: ignore[arg-type]
