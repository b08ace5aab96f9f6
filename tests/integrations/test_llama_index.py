"""The LlamaIndex postprocessor in LlamaIndex itself, with a real worker behind it."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed here: `make test-clients`")

from llama_index.core import get_response_synthesizer
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index_instrumentation.event_handlers import BaseEventHandler
from pydantic import Field

from integrations.conftest import NOWHERE, QUERY, SCORES, TEXTS, WEIGHT, Expected
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.fusion.shown import shown_score
from rerank_producer.integrations.llama_index import FleetRerank, dispatcher
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, Overloaded, QueueUnavailable, UnknownSetting
from rerank_shared.settings import Settings
from support.fleet import TestFleet

pytestmark = [pytest.mark.integration, pytest.mark.clients]


class Fixed(BaseRetriever):
    """A first stage that finds the same for every query."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return nodes()


class Record(BaseEventHandler):
    """Every event of the rerankers, as a handler hears of it."""

    events: list[Any] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, ReRankStartEvent | ReRankEndEvent):
            self.events.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    record = Record()
    dispatcher.event_handlers.append(record)
    yield record.events
    dispatcher.event_handlers.remove(record)


@pytest.fixture
def client(fleet: TestFleet) -> Iterator[RerankClient]:
    with RerankClient(fleet.settings) as client:
        yield client


def nodes() -> list[NodeWithScore]:
    """Nodes whose texts for an embedding are TEXTS; scores fall from 0.9."""
    return [
        NodeWithScore(
            node=TextNode(text=text, id_=f"n{place}", metadata={"page": place}, excluded_embed_metadata_keys=["page"]),
            score=0.9 - place / 10,
        )
        for place, text in enumerate(TEXTS)
    ]


def test_nodes_come_back_as_copies_with_both_scores(client: RerankClient, expected: Expected) -> None:
    found = nodes()
    before = [node.model_dump() for node in found]
    ranked = FleetRerank(client=client, top_n=None).postprocess_nodes(found, query_str=QUERY)
    assert [node.node_id for node in ranked] == [f"n{index}" for index in expected.order]
    assert [node.score for node in ranked] == [expected.scores[index] for index in expected.order]
    assert [node.metadata["retrieval_score"] for node in ranked] == [0.9 - index / 10 for index in expected.order]
    assert [node.model_dump() for node in found] == before


@pytest.mark.parametrize("keep_retrieval_score", [True, False])
def test_what_is_written_into_a_copy_is_not_in_the_original(client: RerankClient, keep_retrieval_score: bool) -> None:
    found = nodes()
    postprocessor = FleetRerank(client=client, top_n=None, keep_retrieval_score=keep_retrieval_score)
    for ranked in postprocessor.postprocess_nodes(found, query_str=QUERY):
        ranked.node.metadata["page"] = "changed"
        ranked.node.excluded_embed_metadata_keys.clear()
    assert found == nodes()


def test_the_first_stage_score_is_in_no_text(client: RerankClient) -> None:
    postprocessor = FleetRerank(client=client, top_n=1)
    (best,) = postprocessor.postprocess_nodes(nodes(), query_str=QUERY)
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert "retrieval_score" not in best.node.get_content(mode)
    # So a second stage finds the same pair in the cache, and hides the key once.
    (again,) = postprocessor.postprocess_nodes([best], query_str=QUERY)
    assert again.metadata["retrieval_score"] == best.score == again.score
    assert again.node.excluded_llm_metadata_keys == ["retrieval_score"]
    (plain,) = FleetRerank(client=client, top_n=1, keep_retrieval_score=False).postprocess_nodes(
        nodes(), query_str=QUERY
    )
    assert plain.metadata == {"page": 2}


def test_what_an_embedding_sees_is_what_is_scored(client: RerankClient) -> None:
    node = TextNode(text="It has 3,520,031 inhabitants.", metadata={"city": "Berlin"})
    (ranked,) = FleetRerank(client=client).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    (direct,) = client.rerank(QUERY, ["city: Berlin\n\nIt has 3,520,031 inhabitants."]).results
    assert direct.cached
    assert ranked.score == direct.relevance_score


async def test_the_same_from_asyncio(fleet: TestFleet, expected: Expected, events: list[Any]) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        ranked = await FleetRerank(async_client=client).apostprocess_nodes(nodes(), query_str=QUERY)
    assert [node.node_id for node in ranked] == [f"n{index}" for index in expected.order[:2]]
    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent]


def test_one_postprocessor_serves_one_loop_after_another(fleet: TestFleet, expected: Expected) -> None:
    url = fleet.settings.redis_url.get_secret_value()
    postprocessor = FleetRerank(redis_url=url, namespace=fleet.settings.namespace, top_n=1)
    for _ in range(3):
        (best,) = asyncio.run(postprocessor.apostprocess_nodes(nodes(), query_str=QUERY))
        assert best.metadata["page"] == expected.order[0]
    asyncio.run(postprocessor.aclose())


def test_events_tell_the_stages(client: RerankClient, events: list[Any]) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    postprocessor = FleetRerank(client=client, top_n=1)
    postprocessor.callback_manager = CallbackManager([handler])
    ranked = postprocessor.postprocess_nodes(nodes(), query_str=QUERY)
    start, end = events
    assert (type(start), type(end)) == (ReRankStartEvent, ReRankEndEvent)
    assert (start.query.query_str, start.top_n, len(start.nodes)) == (QUERY, 1, len(TEXTS))
    assert start.model_name == client.settings.model
    assert start.span_id == end.span_id is not None
    assert end.nodes == ranked
    told = end.tags["rerank"]
    assert told["timings"]["total_ms"] > 0
    assert (told["complete"], told["fallback"]) == (True, False)
    ((_, legacy),) = handler.get_event_pairs(CBEventType.RERANKING)
    assert legacy.payload is not None
    assert legacy.payload["nodes"] == ranked


@pytest.mark.parametrize("use_async", [False, True])
def test_a_query_engine_takes_it(fleet: TestFleet, client: RerankClient, expected: Expected, use_async: bool) -> None:
    asyncio_client = AsyncRerankClient(fleet.settings)
    engine = RetrieverQueryEngine(
        retriever=Fixed(),
        response_synthesizer=get_response_synthesizer(llm=MockLLM(), use_async=use_async),
        node_postprocessors=[FleetRerank(client=client, async_client=asyncio_client, top_n=2)],
    )

    async def ask() -> Any:
        async with asyncio_client:
            return await engine.aquery(QUERY)

    response = asyncio.run(ask()) if use_async else engine.query(QUERY)
    assert [node.metadata["page"] for node in response.source_nodes] == expected.order[:2]


def test_without_nodes_nothing_is_asked_and_without_a_query_it_is_told(events: list[Any]) -> None:
    postprocessor = FleetRerank(redis_url=NOWHERE)
    assert postprocessor.postprocess_nodes([], query_str=QUERY) == []
    assert asyncio.run(postprocessor.apostprocess_nodes([], query_str=QUERY)) == []
    assert events == []
    with pytest.raises(InvalidRequest, match=r"^query_bundle"):
        postprocessor.postprocess_nodes(nodes())


def test_what_was_not_scored_in_time_has_no_score(settings: Settings) -> None:
    with RerankClient(settings) as client:
        ranked = FleetRerank(client=client, deadline_ms=0).postprocess_nodes(nodes(), query_str=QUERY)
        assert [(node.node_id, node.score) for node in ranked] == [("n0", None), ("n1", None)]
        assert [node.metadata["retrieval_score"] for node in ranked] == [0.9, 0.8]
        with pytest.raises(DeadlineExceeded):
            FleetRerank(client=client, deadline_ms=0, partial=False).postprocess_nodes(nodes(), query_str=QUERY)


def test_a_server_that_is_away_is_told_or_leaves_the_first_stage_s_order(events: list[Any]) -> None:
    found = nodes()
    with pytest.raises(QueueUnavailable):
        FleetRerank(redis_url=NOWHERE).postprocess_nodes(found, query_str=QUERY)
    assert [type(event) for event in events] == [ReRankStartEvent]
    assert FleetRerank(redis_url=NOWHERE, fallback=True).postprocess_nodes(found, query_str=QUERY) == found[:2]
    assert events[-1].tags["rerank"] == {"fallback": True}


async def test_the_same_failure_from_asyncio() -> None:
    async with AsyncRerankClient(redis_url=NOWHERE) as client:
        with pytest.raises(QueueUnavailable):
            await FleetRerank(async_client=client).apostprocess_nodes(nodes(), query_str=QUERY)
        postprocessor = FleetRerank(async_client=client, fallback=True, top_n=None)
        assert await postprocessor.apostprocess_nodes(nodes(), query_str=QUERY) == nodes()


def test_an_overloaded_fleet_is_told_or_leaves_the_first_stage_s_order(overloaded: Settings) -> None:
    with RerankClient(overloaded) as client:
        with pytest.raises(Overloaded):
            FleetRerank(client=client, deadline_ms=5_000).postprocess_nodes(nodes(), query_str=QUERY)
        postprocessor = FleetRerank(client=client, deadline_ms=5_000, fallback=True)
        assert postprocessor.postprocess_nodes(nodes(), query_str=QUERY) == nodes()[:2]


def test_it_is_serialized_without_the_server_s_url_and_pickled_with_it(
    client: RerankClient, expected: Expected
) -> None:
    postprocessor = FleetRerank(client=client, top_n=1, deadline_ms=9_000, tenant="search")
    data = postprocessor.to_dict()
    assert (data["class_name"], data["tenant"], data["namespace"]) == (
        "FleetRerank",
        "search",
        client.settings.namespace,
    )
    assert client.settings.redis_url.get_secret_value() not in postprocessor.to_json()
    again = FleetRerank.from_dict(data)
    assert (again.top_n, again.deadline_ms, again.tenant) == (1, 9_000, "search")
    copy = pickle.loads(pickle.dumps(postprocessor))  # noqa: S301
    (best,) = copy.postprocess_nodes(nodes(), query_str=QUERY)
    copy.close()
    assert best.metadata["page"] == expected.order[0]


def scored_nodes() -> list[NodeWithScore]:
    return [node.model_copy(update={"score": score}) for node, score in zip(nodes(), SCORES, strict=True)]


def test_the_nodes_scores_count_where_it_is_asked_for(
    client: RerankClient, fused: RerankResponse, events: list[Any]
) -> None:
    postprocessor = FleetRerank(client=client, top_n=None, fusion="zscore", fusion_weight=WEIGHT)
    ranked = postprocessor.postprocess_nodes(scored_nodes(), query_str=QUERY)
    shown = [node.score for node in ranked]
    assert [node.metadata["page"] for node in ranked] == [result.index for result in fused.results]
    assert shown == [shown_score(result, fused.model) for result in fused.results]
    assert shown == sorted(shown, key=lambda score: score or 0.0, reverse=True)
    assert [node.metadata["retrieval_score"] for node in ranked] == [SCORES[result.index] for result in fused.results]
    assert events[-1].tags["rerank"]["fusion"]["applied"] == "zscore"


async def test_they_count_from_asyncio_too(fleet: TestFleet, fused: RerankResponse) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        postprocessor = FleetRerank(async_client=client, top_n=None, fusion="zscore", fusion_weight=WEIGHT)
        ranked = await postprocessor.apostprocess_nodes(scored_nodes(), query_str=QUERY)
    assert [node.metadata["page"] for node in ranked] == [result.index for result in fused.results]


def test_nodes_without_any_score_are_told(client: RerankClient) -> None:
    found = [node.model_copy(update={"score": float("nan")}) for node in nodes()]
    with pytest.raises(InvalidRequest, match="needs first-stage scores"):
        FleetRerank(client=client, fusion="weighted").postprocess_nodes(found, query_str=QUERY)


def test_a_misspelt_option_is_told() -> None:
    with pytest.raises(UnknownSetting, match=r"^fuson is no option of FleetRerank; did you mean fusion\?"):
        FleetRerank(fuson="rrf")  # type: ignore[call-arg]


def test_the_options_of_fusion_survive_serialization(client: RerankClient) -> None:
    fusion = {"fusion": "weighted", "fusion_weight": 2.0, "fusion_ratio": 0.5, "first_stage": "bm25"}
    postprocessor = FleetRerank(client=client, first_stage_order="ascending", **fusion)
    for again in (
        FleetRerank.from_json(postprocessor.to_json()),
        pickle.loads(pickle.dumps(postprocessor)),  # noqa: S301
    ):
        assert {name: getattr(again, name) for name in fusion} == fusion
        assert again.first_stage_order == "ascending"
