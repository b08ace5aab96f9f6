"""Requests as applications send them, replayed over real HTTP, and the fields that they read of the answers.

Those whose own client library can be installed are run as they are in tests/clients.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.routes.applications import APPLICATIONS, COHERE, DOCUMENTS, OWN, QUERY, WEAVIATE, Application
from support.http.gateway import FrontedFleet

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
ALL = pytest.mark.parametrize("sent", APPLICATIONS.values(), ids=APPLICATIONS)


def post(fronted: FrontedFleet, sent: Application, body: dict[str, Any]) -> Any:
    answer = fronted.http.post(sent.path, json=body, headers=sent.headers)
    return answer.status_code, answer.json()


def found(content: Any, path: str) -> Any:
    """Return what is there, None for nothing: `results.0.document.text`."""
    for part in filter(None, path.split(".")):
        content = content[int(part)] if isinstance(content, list) else content.get(part)
        if content is None:
            return None
    return content


def ranked(fronted: FrontedFleet, *, logits: bool = False) -> list[tuple[int, float | None]]:
    response = fronted.client.rerank(QUERY, DOCUMENTS, deadline_ms=60_000)
    assert response.results[0].index == 1
    return [(result.index, result.logit if logits else result.relevance_score) for result in response.results]


def told() -> dict[str, tuple[set[str], str]]:
    """What docs/clients.md tells people to type, and how that is known: by application and name."""
    rows: dict[str, tuple[set[str], str]] = {}
    application = ""
    for row in re.findall(r"^\|(.*)\|$", PAGE.partition("## Applications")[2], re.MULTILINE)[2:]:
        first, box, typed, known = (cell.strip() for cell in row.split("|"))
        application = first or application
        names = box.partition(": ")[0].replace("`", "").split(", ")
        rows |= {f"{application}, {name}": (set(re.findall(r"`(.+?)`", typed)), known) for name in names}
    return rows


def replayed() -> dict[str, set[str]]:
    """What is typed in the tests, by application and name."""
    typed: dict[str, set[str]] = {}
    for title, sent in (APPLICATIONS | {"Weaviate, reranker-transformers": WEAVIATE}).items():
        application, *names = re.sub(r" \(.*\)$", "", title).split(", ")
        for name in names:
            typed.setdefault(f"{application}, {name}", set()).add(sent.typed)
    return typed


def test_people_are_told_to_type_what_is_replayed() -> None:
    rows, typed = told(), replayed()
    assert typed == {name: rows[name][0] for name in typed}
    assert [name for name, (_, known) in rows.items() if known == "replayed" and name not in typed] == []
    assert {known for _, known in rows.values()} <= {"replayed", "run", "read"}


@ALL
def test_it_finds_the_ranking_and_what_else_it_reads(fronted: FrontedFleet, sent: Application) -> None:
    status, content = post(fronted, sent, sent.body)
    assert status == 200, content
    rows, index, score = sent.ranking
    assert [(row[index], row[score]) for row in found(content, rows)] == ranked(fronted, logits=score == "logit")
    for path, wanted in sent.reads.items():
        assert wanted(found(content, path)) if callable(wanted) else found(content, path) == wanted, path


@ALL
def test_it_finds_what_went_wrong(fronted: FrontedFleet, sent: Application) -> None:
    name = next(name for name in ("documents", "texts", "passages", "input") if name in sent.body)
    wrong: dict[str, Any] = {name: {"query": QUERY, "documents": []} if name == "input" else []}
    status, content = post(fronted, sent, sent.body | wrong)
    if sent.body.get("model", "").startswith("jina-"):
        assert (status, found(content, "results")) == (200, [])
    else:
        assert status in (400, 422)
        assert "empty" in found(content, sent.error)


@ALL
def test_it_is_told_the_model_that_answered(fronted: FrontedFleet, sent: Application) -> None:
    answer = fronted.http.post(sent.path, json=sent.body, headers=sent.headers)
    assert answer.headers["x-rerank-model"] == fronted.client.model_info().name
    meta = answer.json().get("meta") if isinstance(answer.json(), dict) else None
    if meta is not None and "model" in sent.body:
        (warning,) = meta["warnings"]
        assert warning.startswith(f"{sent.body['model']!r} is not served here: ")


@pytest.mark.parametrize("path", ["/v1/v1/rerank", "/v1/v2/rerank"])
def test_a_version_that_is_added_to_one_that_was_typed_does_no_harm(fronted: FrontedFleet, path: str) -> None:
    rows = fronted.http.post(path, json=COHERE).json()["results"]
    assert [(row["index"], row["relevance_score"]) for row in rows] == ranked(fronted)


class TestBeforeTheyRank:
    """What applications ask before they add a server."""

    def test_dify_finds_a_reranker_behind_text_embeddings_inference(self, fronted: FrontedFleet) -> None:
        info = fronted.http.get("/info").json()
        assert list(info["model_type"]) == ["reranker"]
        assert info["max_input_length"] == fronted.client.model_info().max_length
        assert info["max_client_batch_size"] == fronted.client.settings.max_documents

    @pytest.mark.parametrize("name", [OWN, "ms-marco-MiniLM-L-12-v2", "cross-encoder/ms-marco-MiniLM-L-12-v2"])
    def test_dify_finds_a_reranker_behind_xinference(self, fronted: FrontedFleet, name: str) -> None:
        assert fronted.http.get("/v1/cluster/auth").json() == {"auth": False}
        model = fronted.http.get(f"/v1/models/{name}").json()
        assert (model["id"], model["model_type"]) == (name, "rerank")
        assert model["root"] == fronted.client.model_info().name

    def test_continue_finds_how_much_a_model_reads(self, fronted: FrontedFleet) -> None:
        (model,) = fronted.http.get("/v1/models").json()["data"]
        assert model["max_model_len"] == fronted.client.model_info().max_length

    def test_weaviate_starts_and_is_answered_in_the_order_it_asked(self, fronted: FrontedFleet) -> None:
        for path in ("/.well-known/live", "/.well-known/ready"):
            assert fronted.http.get(path).is_success
        assert fronted.http.get("/meta").json()["model"] == fronted.client.model_info().name
        scores = post(fronted, WEAVIATE, WEAVIATE.body)[1]["scores"]
        assert [row["document"] for row in scores] == DOCUMENTS
        assert [row["score"] for row in scores] == [score for _, score in sorted(ranked(fronted))]
        status, content = post(fronted, WEAVIATE, WEAVIATE.body | {"documents": []})
        assert (status, "empty" in content["error"]) == (400, True)

    @pytest.mark.parametrize(
        "path", ["/healthz", "/readyz", "/health", "/ping", "/.well-known/ready", "/.well-known/live"]
    )
    def test_monitors_ask_by_head_too(self, fronted: FrontedFleet, path: str) -> None:
        assert fronted.http.get(path).json()["status"] in ("ok", "ready")
        answer = fronted.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert fronted.http.post(path).headers["allow"] == "GET, HEAD"


class TestWhatABodyDoesNotTell:
    """Bodies of which nobody can say whose they are, and documents that are not texts."""

    @pytest.mark.parametrize(
        "fields",
        [{"model": "my-reranker"}, {"model": "rerank-v3.5", "top_k": 2}, {"top_k": None, "model": OWN}],
        ids=str,
    )
    def test_results_and_data_are_the_same(self, fronted: FrontedFleet, fields: dict[str, Any]) -> None:
        content = fronted.http.post("/v1/rerank", json={**COHERE, **fields, "return_documents": True}).json()
        count = fields.get("top_k") or 3
        for rows in (content["results"], content["data"]):
            assert [(row["index"], row["relevance_score"]) for row in rows] == ranked(fronted)[:count]
        assert content["results"][0]["document"] == {"text": DOCUMENTS[1]}
        assert content["data"][0]["document"] == DOCUMENTS[1]

    def test_objects_without_a_text_are_scored_by_all_they_hold(self, fronted: FrontedFleet) -> None:
        objects = [{"title": "Bread", "body": DOCUMENTS[0]}, {"title": "Jupiter", "body": DOCUMENTS[1]}]
        body: dict[str, Any] = {"model": OWN, "query": QUERY, "documents": objects, "return_documents": True}
        whole = fronted.http.post("/v1/rerank", json=body).json()["results"]
        assert whole[0]["document"] == objects[1]
        bodies = fronted.http.post("/v1/rerank", json={**body, "rank_fields": ["body"]}).json()["results"]
        alone = fronted.client.rerank(QUERY, DOCUMENTS[:2], deadline_ms=60_000)
        assert [row["relevance_score"] for row in bodies] == [result.relevance_score for result in alone.results]

    @pytest.mark.parametrize("null", [None, {"text": None}], ids=str)
    @pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
    def test_null_does_not_cost_the_others_their_answer(self, fronted: FrontedFleet, path: str, null: Any) -> None:
        answer = fronted.http.post(path, json={"query": QUERY, "documents": [DOCUMENTS[1], null]})
        assert answer.status_code == 200
        assert [row["index"] for row in answer.json()["results"]] == [0, 1]
        assert "documents.1" in answer.json()["meta"]["warnings"][0]
