"""The LangChain compressor in LangChain itself, with a real worker behind it."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed here: `make test-clients`")

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from integrations.conftest import NOWHERE, QUERY, SCORES, TEXTS, WEIGHT, Expected
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.fusion.shown import shown_score
from rerank_producer.integrations.langchain import FleetRerank
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, Overloaded, QueueUnavailable, UnknownSetting
from rerank_shared.settings import Settings
from support.fleet import TestFleet

pytestmark = [pytest.mark.integration, pytest.mark.clients]


class Fixed(BaseRetriever):
    """A first stage that finds the same for every query."""

    found: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.found


class Record(BaseCallbackHandler):
    """Every run of a chain, as a handler hears of it."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.failed: list[BaseException] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.started.append({"inputs": inputs, **kwargs})

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.ended.append(outputs)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.failed.append(error)


def documents() -> list[Document]:
    return [Document(page_content=text, metadata={"page": page}, id=f"d{page}") for page, text in enumerate(TEXTS)]


@pytest.fixture
def client(fleet: TestFleet) -> Any:
    with RerankClient(fleet.settings) as client:
        yield client


def test_documents_come_back_as_copies_with_the_client_s_own_scores(client: RerankClient, expected: Expected) -> None:
    found, lock = documents(), threading.Lock()
    found[0].metadata |= {"relevance_score": 0.99, "lock": lock}
    ranked = FleetRerank(client=client, top_n=None).compress_documents(found, QUERY)
    assert [document.id for document in ranked] == [f"d{index}" for index in expected.order]
    assert [document.metadata["relevance_score"] for document in ranked] == [
        expected.scores[index] for index in expected.order
    ]
    (first,) = [document for document in ranked if document.id == "d0"]
    assert first.metadata["lock"] is lock
    assert [document.metadata.get("relevance_score") for document in found] == [0.99, None, None, None]


async def test_the_same_from_asyncio(fleet: TestFleet, expected: Expected) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        ranked = await FleetRerank(async_client=client, top_n=2).acompress_documents(documents(), QUERY)
    assert [document.metadata["page"] for document in ranked] == expected.order[:2]


def test_what_is_written_into_a_copy_is_not_in_the_original(client: RerankClient) -> None:
    found = documents()
    for document in FleetRerank(client=client, top_n=None).compress_documents(found, QUERY):
        document.metadata["page"] = "changed"
    assert found == documents()


def test_one_compressor_serves_one_loop_after_another(fleet: TestFleet, expected: Expected) -> None:
    url = fleet.settings.redis_url.get_secret_value()
    compressor = FleetRerank(redis_url=url, namespace=fleet.settings.namespace)
    for _ in range(3):
        ranked = asyncio.run(compressor.acompress_documents(documents(), QUERY))
        assert [document.metadata["page"] for document in ranked] == expected.order[:3]
    asyncio.run(compressor.aclose())


def test_a_compression_retriever_traces_it_as_a_run_of_its_own(client: RerankClient, expected: Expected) -> None:
    record = Record()
    retriever = ContextualCompressionRetriever(
        base_compressor=FleetRerank(client=client, top_n=1), base_retriever=Fixed(found=documents())
    )
    (best,) = retriever.invoke(QUERY, config={"callbacks": [record]})
    assert best.page_content == TEXTS[expected.order[0]]
    (run,) = record.started
    assert (run["name"], run["inputs"]) == ("FleetRerank", {"query": QUERY, "documents": len(TEXTS)})
    assert run["parent_run_id"] is not None
    (outputs,) = record.ended
    assert outputs["results"] == [{"index": 2, "relevance_score": best.metadata["relevance_score"]}]
    assert outputs["timings"]["total_ms"] > 0
    assert outputs["complete"]


async def test_a_compression_retriever_traces_it_from_asyncio_too(fleet: TestFleet, expected: Expected) -> None:
    record = Record()
    async with AsyncRerankClient(fleet.settings) as client:
        retriever = ContextualCompressionRetriever(
            base_compressor=FleetRerank(async_client=client, top_n=1), base_retriever=Fixed(found=documents())
        )
        (best,) = await retriever.ainvoke(QUERY, config={"callbacks": [record]})
    assert best.page_content == TEXTS[expected.order[0]]
    assert [run["name"] for run in record.started] == ["FleetRerank"]
    assert record.ended[0]["timings"]["total_ms"] > 0


def test_without_documents_nothing_is_asked() -> None:
    compressor = FleetRerank(redis_url=NOWHERE)
    assert compressor.compress_documents([], QUERY) == []
    assert asyncio.run(compressor.acompress_documents([], QUERY)) == []


def test_what_was_not_scored_in_time_has_no_score(settings: Settings) -> None:
    found = documents()
    found[0].metadata["relevance_score"] = 0.99
    with RerankClient(settings) as client:
        ranked = FleetRerank(client=client, deadline_ms=0).compress_documents(found, QUERY)
        assert [document.metadata for document in ranked] == [{"page": 0}, {"page": 1}, {"page": 2}]
        with pytest.raises(DeadlineExceeded):
            FleetRerank(client=client, deadline_ms=0, partial=False).compress_documents(found, QUERY)


def test_a_server_that_is_away_is_told_or_leaves_the_first_stage_s_order() -> None:
    found, record = documents(), Record()
    with pytest.raises(QueueUnavailable) as error:
        FleetRerank(redis_url=NOWHERE).compress_documents(found, QUERY, callbacks=[record])
    assert record.failed == [error.value]
    compressor = FleetRerank(redis_url=NOWHERE, fallback=True)
    assert compressor.compress_documents(found, QUERY, callbacks=[record]) == found[:3]
    assert record.ended == [{"results": [], "fallback": True}]


async def test_the_same_failure_from_asyncio() -> None:
    record = Record()
    async with AsyncRerankClient(redis_url=NOWHERE) as client:
        with pytest.raises(QueueUnavailable) as error:
            await FleetRerank(async_client=client).acompress_documents(documents(), QUERY, callbacks=[record])
        assert record.failed == [error.value]
        compressor = FleetRerank(async_client=client, fallback=True, top_n=None)
        assert await compressor.acompress_documents(documents(), QUERY) == documents()


def test_an_overloaded_fleet_is_told_or_leaves_the_first_stage_s_order(overloaded: Settings) -> None:
    with RerankClient(overloaded) as client:
        with pytest.raises(Overloaded):
            FleetRerank(client=client, deadline_ms=5_000).compress_documents(documents(), QUERY)
        compressor = FleetRerank(client=client, deadline_ms=5_000, fallback=True)
        assert compressor.compress_documents(documents(), QUERY) == documents()[:3]


def test_a_compressor_survives_pickling(fleet: TestFleet, client: RerankClient, expected: Expected) -> None:
    again = pickle.loads(pickle.dumps(FleetRerank(client=client, top_n=1)))  # noqa: S301
    (best,) = again.compress_documents(documents(), QUERY)
    again.close()
    assert best.metadata["page"] == expected.order[0]


def scored_documents(key: str) -> list[Document]:
    found = documents()
    for document, score in zip(found, SCORES, strict=True):
        document.metadata |= {} if score is None else {key: score}
    return found


@pytest.mark.parametrize("key", ["score", "@search.score", "relevance_score"])
def test_scores_in_the_metadata_count_where_it_is_asked_for(
    key: str, client: RerankClient, fused: RerankResponse
) -> None:
    record = Record()
    compressor = FleetRerank(
        client=client, top_n=None, fusion="zscore", fusion_weight=WEIGHT, first_stage_score_key=key
    )
    ranked = compressor.compress_documents(scored_documents(key), QUERY, callbacks=[record])
    shown = [document.metadata["relevance_score"] for document in ranked]
    assert [document.metadata["page"] for document in ranked] == [result.index for result in fused.results]
    assert shown == [shown_score(result, fused.model) for result in fused.results]
    assert shown == sorted(shown, reverse=True)
    if key != "relevance_score":
        assert [document.metadata.get(key) for document in ranked] == [SCORES[result.index] for result in fused.results]
    (outputs,) = record.ended
    assert outputs["fusion"]["applied"] == "zscore"
    assert [row["relevance_score"] for row in outputs["results"]] == shown
    assert outputs["results"][0].keys() == {"index", "relevance_score", "logit", "first_stage_score", "fused_score"}


async def test_they_count_from_asyncio_too(fleet: TestFleet, fused: RerankResponse) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        compressor = FleetRerank(async_client=client, top_n=None, fusion="zscore", fusion_weight=WEIGHT)
        ranked = await compressor.acompress_documents(scored_documents("score"), QUERY)
    assert [document.metadata["page"] for document in ranked] == [result.index for result in fused.results]


def test_unless_it_is_asked_for_they_do_not_count(client: RerankClient, expected: Expected) -> None:
    record = Record()
    compressor = FleetRerank(client=client, top_n=None)
    ranked = compressor.compress_documents(scored_documents("score"), QUERY, callbacks=[record])
    assert [document.metadata["relevance_score"] for document in ranked] == [
        expected.scores[index] for index in expected.order
    ]
    assert record.ended[0]["fusion"] is None
    assert record.ended[0]["results"][0].keys() == {"index", "relevance_score"}


@pytest.mark.parametrize("key", ["_score", None])
def test_where_no_document_has_a_score_the_key_is_told(key: str | None, client: RerankClient) -> None:
    record = Record()
    compressor = FleetRerank(client=client, fusion="weighted", first_stage_score_key=key, fallback=True)
    with pytest.raises(InvalidRequest, match=f"^first_stage_score_key: .*under {key!r}") as error:
        compressor.compress_documents(scored_documents("score"), QUERY, callbacks=[record])
    assert record.failed == [error.value]
    ranked = FleetRerank(client=client, fusion="rrf", first_stage_score_key=key).compress_documents(documents(), QUERY)
    assert len(ranked) == 3


def test_a_misspelt_option_is_told() -> None:
    with pytest.raises(UnknownSetting, match=r"^topn is no option of FleetRerank; did you mean top_n\?"):
        FleetRerank(topn=3)  # type: ignore[call-arg]


def test_the_options_of_fusion_survive_pickling(client: RerankClient) -> None:
    compressor = FleetRerank(client=client, fusion="rrf", fusion_weight=2.0, first_stage_score_key="_score")
    again = pickle.loads(pickle.dumps(compressor))  # noqa: S301
    assert again.model_dump() == compressor.model_dump()
