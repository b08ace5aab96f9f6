"""`batch`: OpenAI's lines, answered as the gateway answers their bodies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.bulk.formats.answering import MODEL, check_resumed, output
from rerank_producer.bulk.formats.batch import BatchFormat
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.rows import Answered, ReadOptions, Row, WriteOptions
from rerank_shared.errors import Overloaded, QueueUnavailable

PLAIN = WriteOptions()
RERANK = {"query": "red fox", "documents": ["a dog", "the red fox"]}


def line(body: Any, url: str = "/v1/rerank", custom_id: Any = "a", **more: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more}


def form(
    folder: Path, *lines: Any, depth: int | None = None, write: WriteOptions = PLAIN, max_length: int | None = None
) -> BatchFormat:
    path = folder / "batch.jsonl"
    path.write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    return BatchFormat(path, ReadOptions({"model": MODEL}, depth), write, max_length)


def rows(form: BatchFormat) -> list[Row]:
    return [row for chunk in form.read(Position()) for row in chunk.rows]


def both(form: BatchFormat) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of the answers, and those of what failed."""
    written, failed = output(form, list(form.read(Position())))
    return [json.loads(line) for line in written.splitlines()], [json.loads(line) for line in failed.splitlines()]


def body_of(form: BatchFormat) -> Any:
    ((found,), _) = both(form)
    return found["response"]["body"]


def ranked(body: Any) -> list[tuple[int, float]]:
    return [(each["index"], round(each["relevance_score"], 2)) for each in body["results"]]


def test_an_answer_is_that_of_the_gateway_in_a_line_of_openai(tmp_path: Path) -> None:
    (found,), failed = both(form(tmp_path, line(RERANK)))
    assert failed == []
    assert found.keys() == {"id", "custom_id", "response", "error"}
    assert (found["custom_id"], found["error"]) == ("a", None)
    response = found["response"]
    assert (response["status_code"], found["id"]) == (200, f"batch_req_{response['request_id']}")
    assert response["body"]["id"] == response["request_id"]
    assert ranked(response["body"]) == [(1, 0.98), (0, 0.02)]
    assert response["body"]["object"] == "rerank"
    assert response["body"]["usage"]["total_tokens"] == 15


@pytest.mark.parametrize(
    ("url", "body", "keys"),
    [
        ("/v2/rerank", RERANK, {"id", "results", "meta"}),
        ("https://host/v1/rerank/", RERANK, {"id", "results", "meta", "object", "model", "usage"}),
        ("/rerank", RERANK, {"id", "results", "meta", "object", "model", "usage"}),
        ("/v1/rerank", {**RERANK, "model": MODEL, "top_k": 1}, {"object", "results", "data"}),
        ("/v1/score", {"text_1": "red fox", "text_2": ["a", "red"]}, {"id", "object", "created", "model", "data"}),
        ("/score", {"queries": "red fox", "documents": ["a"]}, {"id", "object", "created", "model", "data"}),
        ("/v1/fleet/rerank", RERANK, {"id", "results", "complete", "timings", "fusion"}),
    ],
)
def test_the_end_of_the_url_names_the_api(tmp_path: Path, url: str, body: Any, keys: set[str]) -> None:
    assert keys <= body_of(form(tmp_path, line(body, url))).keys()


def test_text_embeddings_inference_at_its_own_path(tmp_path: Path) -> None:
    found = body_of(form(tmp_path, line({"query": "red fox", "texts": ["a", "red fox"]}, "/rerank")))
    assert [each["index"] for each in found] == [1, 0]


def test_a_body_of_several_queries_is_one_row(tmp_path: Path) -> None:
    pairs = {"text_1": ["red", "fox", "red"], "text_2": ["a red", "dog", "dog"]}
    scores = form(tmp_path, line(pairs, "/v1/score"), line(pairs, "/v1/score", custom_id="b"))
    first, _ = rows(scores)
    assert [request.query for request in first.requests] == ["red", "fox"]
    (one, two), _ = both(scores)
    assert [round(each["score"], 2) for each in one["response"]["body"]["data"]] == [0.98, 0.02, 0.02]
    assert one["response"]["body"]["created"] == 0
    assert one["response"]["request_id"] != two["response"]["request_id"]


def test_what_a_body_leaves_open_the_run_says(tmp_path: Path) -> None:
    for body, count in [(RERANK, 1), ({**RERANK, "top_n": 2}, 2), ({**RERANK, "top_n": 0}, 1)]:
        assert len(ranked(body_of(form(tmp_path, line(body), write=WriteOptions(top_n=1))))) == count
    scores = line({"text_1": "q", "text_2": ["a", "b"]}, "/score")
    assert len(body_of(form(tmp_path, scores, write=WriteOptions(top_n=1)))["data"]) == 2
    assert ranked(body_of(form(tmp_path, line({**RERANK, "top_n": 1})))) == [(1, 0.98)]


def test_documents_behind_the_depth_stand_last(tmp_path: Path) -> None:
    assert ranked(body_of(form(tmp_path, line(RERANK), depth=1))) == [(0, 0.02), (1, 0.0)]


def test_a_body_s_own_options_count(tmp_path: Path) -> None:
    body = {**RERANK, "truncate_prompt_tokens": 9_000, "fusion": "rrf", "scores": [2, 1]}
    (row,) = rows(form(tmp_path, line(body), max_length=512))
    assert row.request is not None
    assert (row.request.max_length, row.request.fusion, row.request.scores) == (512, "rrf", [2.0, 1.0])
    assert row.request.top_n is None


def test_a_model_may_be_named_by_its_last_part_and_no_other_model(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    lines = [line({**RERANK, "model": name}, custom_id=name) for name in ("org/mine", "Mine", "org/other")]
    path.write_text("\n".join(map(json.dumps, lines)))
    *own, other = rows(BatchFormat(path, ReadOptions({"model": "org/mine"}), PLAIN))
    assert [row.request and row.request.model for row in own] == ["org/mine"] * 2
    assert "'org/other', and this run scores with 'org/mine'" in str(other.error)


def test_a_row_in_stages_is_refused_since_a_run_has_one_model(tmp_path: Path) -> None:
    body = {"query": "q", "documents": ["a"], "stages": [{"model": "m"}]}
    _, (failed,) = both(form(tmp_path, line(body, "/v1/fleet/rerank")))
    assert "stages: a row is scored by the one model of its run" in failed["error"]["message"]


@pytest.mark.parametrize(
    ("bad", "message", "custom_id"),
    [
        ("no object", "an object with `custom_id`", None),
        (line(RERANK, custom_id=7), "custom_id: a text", None),
        (line(RERANK, method="GET"), "method: POST", "a"),
        (line(RERANK, "/v1/chat/completions"), "'/v1/chat/completions' ends in none of /fleet/rerank, ", "a"),
        (line(RERANK, None), "url: a text that ends in", "a"),  # type: ignore[arg-type]
        (line(None), "a JSON object expected", "a"),
        (line({"query": "q", "documents": []}), "documents: list of documents must not be empty", "a"),
        (line({"query": " ", "documents": ["a"]}), "query: is empty", "a"),
    ],
)
def test_a_line_that_fails_has_its_api_s_error(tmp_path: Path, bad: Any, message: str, custom_id: str | None) -> None:
    answered, (failed,) = both(form(tmp_path, line(RERANK, custom_id="good"), bad))
    assert [each["custom_id"] for each in answered] == ["good"]
    assert failed["custom_id"] == custom_id
    assert failed["error"]["code"] == "invalid_request"
    assert message in failed["error"]["message"]
    assert failed["response"]["status_code"] == 400
    assert message in failed["response"]["body"]["message"]


def test_errors_of_the_fleet_have_the_status_of_the_gateway(tmp_path: Path) -> None:
    found = form(tmp_path, line(RERANK), line({"text_1": "q", "text_2": ["a"]}, "/score", custom_id="b"))
    first, second = rows(found)
    failed = found.write_failed([Answered(first, Overloaded("full")), Answered(second, QueueUnavailable("at redis:1"))])
    one, two = map(json.loads, failed.splitlines())
    assert (one["response"]["status_code"], one["response"]["body"]["message"]) == (429, "full")
    assert two["response"]["status_code"] == 503
    assert two["response"]["body"]["error"]["type"] == "ServiceUnavailableError"


def test_a_custom_id_given_twice_is_refused(tmp_path: Path) -> None:
    answered, (failed,) = both(form(tmp_path, line(RERANK), line(RERANK)))
    assert len(answered) == 1
    assert "custom_id: 'a' stands on an earlier line" in failed["error"]["message"]
    assert failed["id"] != answered[0]["id"]


def test_it_needs_nothing_of_an_http_server() -> None:
    script = (
        "import sys, rerank_producer.bulk.formats.batch\n"
        "print(*sorted({'starlette', 'httpx', 'uvicorn'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@settings(max_examples=30)
@given(
    kinds=st.lists(st.sampled_from(["/v1/rerank", "/v1/score", "/nowhere"]), max_size=6),
    size=st.integers(1, 400),
)
def test_a_run_may_be_cut_behind_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    bodies = {"/v1/score": {"text_1": ["a", "b"], "text_2": ["a", "b"]}}
    lines = [line(bodies.get(url, RERANK), url, custom_id=f"{place}") for place, url in enumerate(kinds)]
    check_resumed(lambda: form(folder, *lines), size)
