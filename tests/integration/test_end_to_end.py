"""One request's life on real parts: client, queue, worker, model, result, cache. And what odd input gets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery.result import AsyncResult
from tokenizers import Tokenizer

from conftest import StartFleet
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.contract.activation import sigmoid
from rerank_shared.contract.schemas import Document
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, UnknownModel
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings, to_environ
from support.fleet import TestFleet
from support.jobs import BERLIN_DOCUMENTS, BERLIN_QUERY, celery_of, passages, rerank_in_part
from support.model.golden import TOLERANCE

pytestmark = pytest.mark.integration


@pytest.fixture
def fleet(start_fleet: StartFleet) -> TestFleet:
    return start_fleet()


@pytest.fixture
def client(fleet: TestFleet) -> Iterator[RerankClient]:
    with RerankClient(fleet.settings) as client:
        yield client


def test_request_is_scored_sorted_and_told_in_full(client: RerankClient, settings: Settings) -> None:
    new_york, berlin = reversed(BERLIN_DOCUMENTS)
    documents: list[str | Document] = [Document(text=new_york, id="ny", metadata={"page": 7}), berlin]
    response = client.rerank(BERLIN_QUERY, documents)
    first, second = response.results
    assert (first.index, first.id) == (1, None)
    assert (second.index, second.id, second.metadata) == (0, "ny", {"page": 7})
    assert first.logit == pytest.approx(9.4506, abs=TOLERANCE)
    assert second.logit == pytest.approx(-11.1605, abs=TOLERANCE)
    assert first.logit is not None
    assert first.relevance_score == pytest.approx(sigmoid(first.logit))
    assert (first.tokens, first.truncated, first.cached, first.scored) == (34, False, False, True)
    assert response.complete
    assert (response.model.name, response.model.precision) == (settings.model, "int8")
    assert response.usage.tokens == 34 + 22
    assert (response.usage.pairs_run, response.usage.pairs_cached) == (2, 0)
    assert response.batch_pairs == [2]
    assert response.timings.total_ms >= response.timings.run_ms > 0


def test_sync_and_asyncio_clients_give_the_same(client: RerankClient, settings: Settings) -> None:
    documents = passages(12)

    async def ask() -> list[tuple[int, float | None]]:
        async with AsyncRerankClient(settings) as asyncio_client:
            response = await asyncio_client.rerank("which rooms?", documents, top_n=5)
        return [(result.index, result.logit) for result in response.results]

    response = client.rerank("which rooms?", documents, top_n=5)
    assert len(response.results) == 5
    assert asyncio.run(ask()) == [(result.index, result.logit) for result in response.results]


def test_second_request_is_answered_by_the_cache_alone(client: RerankClient, fleet: TestFleet) -> None:
    documents = passages(20, words=700)
    cold = client.rerank("which rooms?", documents)
    assert all(result.truncated for result in cold.results)
    fleet.kill()
    hot = client.rerank("which rooms?", documents, deadline_ms=500)
    assert hot.complete
    assert [result.model_dump(exclude={"cached"}) for result in hot.results] == [
        result.model_dump(exclude={"cached"}) for result in cold.results
    ]
    assert all(result.cached for result in hot.results)
    assert (hot.usage.tokens, hot.usage.pairs_cached) == (0, 20)
    assert fleet.client.llen(fleet.keys.queue_list("interactive")) == 0


def test_only_misses_are_sent(client: RerankClient) -> None:
    old, new = passages(6), passages(4)
    client.rerank("which rooms?", old)
    mixed = [old[0], new[0], *old[1:], *new[1:]]
    response = client.rerank("which rooms?", mixed)
    assert response.complete
    assert (response.usage.pairs_run, response.usage.pairs_cached) == (4, 6)
    assert {result.index for result in response.results if not result.cached} == {1, 7, 8, 9}


def test_another_max_length_is_another_score(client: RerankClient) -> None:
    documents = passages(2, words=300)
    whole, cut = client.rerank("which rooms?", documents), client.rerank("which rooms?", documents, max_length=64)
    assert cut.usage.pairs_cached == 0
    assert all(result.tokens == 64 and result.truncated for result in cut.results)
    assert not any(result.truncated for result in whole.results)


def pre_tokenized(texts: list[str], settings: Settings) -> tuple[list[Document], str]:
    """Return documents as a caller with the model's tokenizer would send them, and the digest of that tokenizer."""
    files = load_files(settings.model)
    tokenizer = Tokenizer.from_file(str(files.tokenizer_path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [
        Document(token_ids=tuple(tokenizer.encode(text, add_special_tokens=False).ids), id=text[:12]) for text in texts
    ], files.tokenizer_digest


@pytest.mark.parametrize("max_length", [None, 64, 65])
def test_ids_of_a_text_have_its_score_to_the_bit(
    client: RerankClient, settings: Settings, max_length: int | None
) -> None:
    texts = [*passages(6), *passages(2, words=600), "", BERLIN_DOCUMENTS[0]]
    documents, made_by = pre_tokenized(texts, settings)
    with_text = client.rerank(BERLIN_QUERY, texts, max_length=max_length)
    with_ids = client.rerank(BERLIN_QUERY, documents, max_length=max_length, tokenizer_digest=made_by)
    # Scored anew: the cache keeps the two apart.
    assert with_ids.usage.pairs_cached == 0
    told = [(r.index, r.logit, r.relevance_score, r.tokens, r.truncated) for r in with_ids.results]
    assert told == [(r.index, r.logit, r.relevance_score, r.tokens, r.truncated) for r in with_text.results]
    again = client.rerank(BERLIN_QUERY, documents, max_length=max_length, tokenizer_digest=made_by)
    assert again.usage.pairs_cached == len(documents)
    assert [(r.index, r.logit, r.id) for r in again.results] == [(r.index, r.logit, r.id) for r in with_ids.results]


def test_ids_and_texts_mix_in_one_request_beside_the_queue(client: RerankClient, settings: Settings) -> None:
    texts = passages(40, words=150)
    (documents, made_by), plain = pre_tokenized(texts, settings), client.rerank("which rooms?", texts)
    mixed: list[str | Document] = [text if i % 3 else documents[i] for i, text in enumerate(texts)]
    handle = client.submit("which rooms?", mixed, tokenizer_digest=made_by)
    response = client.collect(handle)
    assert response.usage.pairs_run == len(range(0, 40, 3))
    assert {r.index: r.logit for r in response.results} == {r.index: r.logit for r in plain.results}

    async def ask() -> dict[int, float | None]:
        async with AsyncRerankClient(settings) as asyncio_client:
            answer = await asyncio_client.rerank("which rooms?", documents, tokenizer_digest=made_by)
        return {r.index: r.logit for r in answer.results}

    assert asyncio.run(ask()) == {r.index: r.logit for r in plain.results}


def test_ids_of_another_tokenizer_are_refused_before_anything_is_sent(client: RerankClient, fleet: TestFleet) -> None:
    (document,), made_by = pre_tokenized(["text"], fleet.settings)
    with pytest.raises(InvalidRequest, match=f"tokenizer_digest: {'0' * 64} is not that of .*{made_by}"):
        client.rerank("q", [document], tokenizer_digest="0" * 64)
    with pytest.raises(InvalidRequest, match="tokenizer_digest: missing"):
        client.submit("q", [document])
    assert not fleet.client.exists(fleet.keys.backlog("interactive"))
    with pytest.raises(InvalidRequest, match="the token id 99999 is not in the model's vocabulary"):
        client.rerank("q", [Document(token_ids=(99_999,))], tokenizer_digest=made_by)


def test_scores_do_not_depend_on_batch_mates_order_or_cache(client: RerankClient) -> None:
    documents = passages(9) + passages(3, words=350)
    together = {r.index: r.logit for r in client.rerank("which rooms?", documents).results}
    with RerankClient(client.settings.model_copy(update={"cache": False})) as uncached:
        backwards = {11 - r.index: r.logit for r in uncached.rerank("which rooms?", documents[::-1]).results}
        alone = {i: uncached.rerank("which rooms?", [documents[i]]).results[0].logit for i in (0, 5, 11)}
    assert backwards == together
    assert alone == {index: together[index] for index in alone}


def test_async_result_and_clients_read_the_same_record(client: RerankClient, settings: Settings) -> None:
    handle = client.submit(BERLIN_QUERY, BERLIN_DOCUMENTS)
    with celery_of(settings) as app:
        record = AsyncResult(handle.job_id, app=app).get(timeout=20)
    response = client.collect(handle)
    by_index = sorted(response.results, key=lambda result: result.index)
    assert record["logits"] == [result.logit for result in by_index]
    # All of it comes from the cache now: no job is queued, and there is a record all the same.
    again = client.submit(BERLIN_QUERY, BERLIN_DOCUMENTS)
    with celery_of(settings) as app:
        answered = AsyncResult(again.job_id, app=app)
        cached = answered.get(timeout=20)
        assert answered.successful()
    assert (cached["logits"], cached["artefact"]) == (record["logits"], record["artefact"])
    assert client.collect(again).results == [result.model_copy(update={"cached": True}) for result in response.results]


def test_submitted_request_is_collected_by_another_process(client: RerankClient, settings: Settings) -> None:
    handle = client.submit(BERLIN_QUERY, [Document(text=text, id=text[:6]) for text in BERLIN_DOCUMENTS])
    code = (
        "import sys; from rerank_producer import RerankClient; from rerank_shared import load_settings\n"
        "print(RerankClient(load_settings()).collect(sys.argv[1]).results[0].id)"
    )
    environ = to_environ(settings)
    done = subprocess.run([sys.executable, "-c", code, str(handle)], env=environ, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "Berlin"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "nul \0 byte",
        "lone \ud800 surrogate",
        "שלום עולם, מה שלומך היום?",
        "北京是中华人民共和国的首都。" * 20,
        "🦜" * 300,
    ],
    ids=["empty", "blank", "nul", "surrogate", "rtl", "cjk", "emoji"],
)
def test_any_text_is_scored(client: RerankClient, text: str) -> None:
    response = client.rerank("what is this?", [text, "a plain sentence"])
    assert response.complete
    assert all(result.logit is not None for result in response.results)


def test_one_document_and_none(client: RerankClient) -> None:
    assert [result.index for result in client.rerank("q", ["only"]).results] == [0]
    nothing = client.rerank("q", [])
    assert nothing.complete
    assert nothing.results == []


def test_megabyte_document_is_truncated_and_told(client: RerankClient) -> None:
    (huge,) = passages(1, words=200_000)
    assert len(huge) > 900_000
    response = client.rerank("which rooms?", [huge, "short"])
    assert response.complete
    by_index = {result.index: result for result in response.results}
    assert (by_index[0].tokens, by_index[0].truncated) == (512, True)
    assert not by_index[1].truncated


def test_ten_thousand_documents_are_answered_in_part_at_the_deadline(client: RerankClient) -> None:
    response = rerank_in_part(client, 10_000, words=10, deadline_ms=8_000)
    assert len(response.results) == 10_000
    assert not response.complete
    assert any(result.scored for result in response.results)


@pytest.mark.parametrize(
    ("query", "documents", "options", "names"),
    [
        ("", ["d"], {}, "query"),
        ("  ", ["d"], {}, "query"),
        ("q", "one text", {}, "documents"),
        ("q", [None], {}, "documents.0"),
        ("q", [{"id": "1"}], {}, "documents.0"),
        ("q", ["d"], {"top_n": 0}, "top_n"),
        ("q", ["d"], {"deadline_ms": float("nan")}, "deadline_ms"),
        ("q", ["d"], {"max_length": 4096}, "max_length"),
        ("q", ["d"], {"job_class": "urgent"}, "class"),
        ("q", ["d"] * 10_001, {}, "documents"),
    ],
)
def test_bad_request_names_the_field(
    client: RerankClient, query: str, documents: list[str], options: dict[str, object], names: str
) -> None:
    with pytest.raises(InvalidRequest, match=names):
        client.rerank(query, documents, **options)  # type: ignore[arg-type]


def test_unknown_model_is_told_before_anything_is_sent(client: RerankClient, fleet: TestFleet) -> None:
    with pytest.raises(UnknownModel, match=fleet.settings.model):
        client.rerank("q", ["d"], model="no/such-model")


def test_deadline_in_the_past(client: RerankClient, fleet: TestFleet) -> None:
    documents = passages(3)
    client.rerank("which rooms?", documents[:1])
    response = client.rerank("which rooms?", documents, deadline_ms=-5)
    assert [(result.index, result.scored) for result in response.results] == [(0, True), (1, False), (2, False)]
    assert not response.complete
    with pytest.raises(DeadlineExceeded):
        client.rerank("which rooms?", documents, deadline_ms=0, partial=False)
    assert fleet.client.llen(fleet.keys.queue_list("interactive")) == 0


def test_text_beside_the_queue_is_removed_when_answered(client: RerankClient, fleet: TestFleet) -> None:
    documents = passages(60)
    assert sum(map(len, documents)) > fleet.settings.inline_bytes
    assert client.rerank("which rooms?", documents).complete
    assert fleet.client.keys(f"{fleet.keys.prefix}text:*") == []
    assert fleet.client.zcard(fleet.keys.backlog("interactive")) == 0


def test_every_key_has_a_life_time(client: RerankClient, fleet: TestFleet) -> None:
    """Redis', or one that the sweep keeps to. What has neither is a binding or a set that empties itself by score."""
    client.rerank("which rooms?", passages(60))
    client.submit("which rooms?", passages(2))
    lasting = {
        key.decode().removeprefix(fleet.keys.prefix)
        for key in fleet.client.scan_iter(f"{fleet.keys.prefix}*")
        if fleet.client.ttl(key) == -1
    }
    # Read last: the submitted job may end at any moment.
    timed: Any = fleet.client.zrange(fleet.keys.lifetimes, 0, -1)
    swept = {key.removeprefix(fleet.keys.prefix.encode()).decode() for key in timed}
    bounded = {
        "models",
        "pools",
        "named",
        "workers",
        "cache",
        "unacked:jobs",
        "leases",
        "holders",
        "ledger:interactive",
        "ledger_sums:interactive",
        "lifetimes",
    }
    queue = {
        "jobs.interactive",
        "waiting:interactive",
        "order:interactive:",
        "served:interactive",
        "fair",
        "ledger:interactive",
        "ledger_sums:interactive",
    }
    pools: Any = fleet.client.zrange(fleet.keys.pools, 0, -1)
    (pool,) = pools
    without_pool = {key.replace(f"@{pool.decode()}", "") for key in lasting - swept}
    assert {key for key in without_pool - bounded if not key.startswith("_kombu.binding")} <= queue
