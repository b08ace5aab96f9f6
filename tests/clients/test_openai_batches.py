"""The `openai` SDK: files and batches, as its own documentation shows them, with another base URL and nothing else."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import load_settings
from support.fleet import TestFleet
from support.http.clients import CLIENTS, DOCUMENTS, QUERY, ApiKeys
from support.http.gateway import TestGateway
from support.waiting import wait_until

openai = pytest.importorskip("openai", reason="needs openai: `make test-clients`")
pytestmark = CLIENTS


@pytest.fixture(scope="module")
def gateway(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestGateway, ApiKeys]]:
    """A gateway with batches, and a real worker."""
    directory = tmp_path_factory.mktemp("openai")
    keys = ApiKeys.make()
    key_file = directory / "keys.toml"
    key_file.write_text(keys.text)
    key_file.chmod(0o600)
    settings = load_settings(redis_url=server.url, namespace=f"openai-{uuid.uuid4().hex[:12]}")
    with (
        TestFleet(settings, directory) as workers,
        TestGateway(
            settings, directory / "gateway.log", keys=key_file, batch_dir=directory / "batches", batch_stored_mib=1
        ) as served,
    ):
        workers.start()
        yield served.wait_ready(), keys


@pytest.fixture
def client(gateway: tuple[TestGateway, ApiKeys]) -> Iterator[Any]:
    served, keys = gateway
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=keys.plain, max_retries=0) as client:
        yield client


def requests(path: Path, count: int, **body: Any) -> Path:
    """Write a file of requests."""
    records = [
        {
            "custom_id": f"request-{n}",
            "method": "POST",
            "url": "/v1/rerank",
            "body": {"model": "rerank-v3.5", "query": f"{QUERY} {n}", "documents": DOCUMENTS} | body,
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def begun(client: Any, path: Path) -> Any:
    with path.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    assert client.files.wait_for_processing(uploaded.id).status == "processed"
    return client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/rerank", completion_window="24h", metadata={"job": path.stem}
    )


def ended(client: Any, batch_id: str) -> Any:
    states = ("completed", "failed", "expired", "cancelled")
    wait_until(lambda: client.batches.retrieve(batch_id).status in states, "the batch ends")
    return client.batches.retrieve(batch_id)


def test_a_batch_from_upload_to_answers(client: Any, tmp_path: Path) -> None:
    batch = begun(client, requests(tmp_path / "nightly.jsonl", 5, top_n=3))
    assert (batch.object, batch.metadata) == ("batch", {"job": "nightly"})
    batch = ended(client, batch.id)
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 5, 0)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [each["custom_id"] for each in answers] == [f"request-{n}" for n in range(5)]
    for each in answers:
        scores = [result["relevance_score"] for result in each["response"]["body"]["results"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3
    assert batch.id in [each.id for each in client.batches.list(limit=1)]
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"


def test_a_file_that_is_no_batch_names_its_line(client: Any) -> None:
    uploaded = client.files.create(
        file=("bad.jsonl", b'{"custom_id": "a"}\nnothing\n'),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert uploaded.expires_at == uploaded.created_at + 3600
    batch = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/rerank", completion_window="24h")
    batch = ended(client, batch.id)
    assert batch.status == "failed"
    assert [(each.code, each.line) for each in batch.errors.data][-1] == ("invalid_json_line", 2)


def test_a_batch_is_cancelled(client: Any, tmp_path: Path) -> None:
    batch = begun(client, requests(tmp_path / "long.jsonl", 300))
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert ended(client, batch.id).status == "cancelled"


def test_files_are_listed_and_removed(client: Any) -> None:
    made = {client.files.create(file=(f"{n}.jsonl", b"{}\n"), purpose="batch").id for n in range(3)}
    # Its pages are followed.
    assert made <= {each.id for each in client.files.list(limit=2, purpose="batch")}
    for each in made:
        assert client.files.delete(each).deleted
    with pytest.raises(openai.NotFoundError, match="no such file"):
        client.files.retrieve(made.pop())


def test_errors_are_the_sdk_s_own(client: Any, gateway: tuple[TestGateway, ApiKeys]) -> None:
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("a", b"{}"), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError, match="endpoint"):
        client.batches.create(input_file_id="file-x", endpoint="/v1/embeddings", completion_window="24h")
    with pytest.raises(openai.NotFoundError, match="file-x"):
        client.batches.create(input_file_id="file-x", endpoint="/v1/rerank", completion_window="24h")
    with pytest.raises(openai.APIStatusError, match="DELETE some") as refused:
        client.files.create(file=("large", b" " * 1_100_000), purpose="batch")
    assert refused.value.status_code == 413
    served, keys = gateway
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key=keys.wrong, max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError, match="API key"),
    ):
        stranger.files.list()
