"""Whole batches over real HTTP: what is answered, what fails and why, and how they end."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.batches.driving import BatchApi, jsonl, line, lines
from producer.conftest import Echo
from producer.echo_worker import logit
from support.http.clients import ApiKeys
from support.http.gateway import TestGateway
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("batches")]


def order(query: str, documents: int = 3) -> list[int]:
    logits = [logit(query, f"{query} text {k}") for k in range(documents)]
    return sorted(range(documents), key=lambda k: -logits[k])


def test_a_batch_is_answered_line_by_line_in_order(api: BatchApi) -> None:
    ended = api.ended(api.begun(lines(25)))
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 25, "completed": 25, "failed": 0}
    assert ended["error_file_id"] is None
    assert ended["created_at"] <= ended["in_progress_at"] <= ended["finalizing_at"] <= ended["completed_at"]
    answers = api.read(ended["output_file_id"])
    assert [each["custom_id"] for each in answers] == [f"q{n}" for n in range(25)]
    for n, each in enumerate(answers):
        assert (each["response"]["status_code"], each["error"]) == (200, None)
        assert [result["index"] for result in each["response"]["body"]["results"]] == order(f"row {n}")
    stored = api.http.get(f"/v1/files/{ended['output_file_id']}").json()
    assert (stored["purpose"], stored["bytes"]) == ("batch_output", len(api.content(ended["output_file_id"])))


@pytest.mark.parametrize("endpoint", ["/v1/rerank", "/v2/rerank"])
def test_a_body_is_answered_as_its_endpoint_answers_it(api: BatchApi, endpoint: str) -> None:
    ended = api.ended(api.begun([line("a", "one query", url=endpoint, top_n=2)], endpoint))
    (answer,) = api.read(ended["output_file_id"])
    asked = api.http.post(endpoint, json=line("a", "one query", top_n=2)["body"]).json()
    assert answer["response"]["body"]["results"] == asked["results"]


def test_a_score_of_several_queries_is_one_answer(api: BatchApi) -> None:
    body = {"queries": ["one", "two"], "documents": ["text a", "text b"]}
    record = {"custom_id": "s", "method": "POST", "url": "/v1/score", "body": body}
    ended = api.ended(api.begun([record], "/v1/score"))
    assert ended["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    (answer,) = api.read(ended["output_file_id"])
    asked = api.http.post("/v1/score", json=body).json()
    assert answer["response"]["body"]["data"] == asked["data"]


def test_requests_that_fail_stand_in_a_file_of_their_own(api: BatchApi) -> None:
    bad = line("bad", "x") | {"body": {"query": "x", "documents": "no list"}}
    ended = api.ended(api.begun([*lines(3), bad, line("down", "fail now")]))
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 5, "completed": 3, "failed": 2}
    failed = api.read(ended["error_file_id"])
    assert [(each["custom_id"], each["response"]["status_code"]) for each in failed] == [("bad", 400), ("down", 500)]
    assert "documents" in failed[0]["response"]["body"]["message"]


def test_a_batch_without_one_answer_has_no_output(api: BatchApi) -> None:
    ended = api.ended(api.begun([line("down", "fail now")]))
    assert (ended["status"], ended["output_file_id"]) == ("completed", None)


MISTAKES: list[tuple[bytes, str, int | None, str | None]] = [
    (b"", "empty_file", None, None),
    (b"\n\n", "empty_file", None, None),
    (jsonl(lines(1)) + b"{not json\n", "invalid_json_line", 2, None),
    (b"\xff\xfe\x00binary\n", "invalid_json_line", 1, None),
    (jsonl([1]), "invalid_json_line", 1, None),
    (jsonl([{**line("a", "q"), "custom_id": 7}]), "invalid_custom_id", 1, "custom_id"),
    (jsonl([line("a", "q"), line("b", "q"), line("a", "r")]), "duplicate_custom_id", 3, "custom_id"),
    (jsonl([{**line("a", "q"), "method": "GET"}]), "invalid_method", 1, "method"),
    (jsonl([line("a", "q", url="/v2/rerank")]), "invalid_url", 1, "url"),
    (jsonl([{**line("a", "q"), "body": []}]), "invalid_body", 1, "body"),
    (jsonl(lines(501)), "too_many_requests", 501, None),
]


@pytest.mark.parametrize(("content", "code", "number", "param"), MISTAKES, ids=[f"{m[1]}-{m[2]}" for m in MISTAKES])
def test_a_file_that_is_no_batch_fails_with_the_place(
    api: BatchApi, content: bytes, code: str, number: int | None, param: str | None
) -> None:
    ended = api.ended(str(api.create(api.stored(content)).json()["id"]))
    assert (ended["status"], ended["output_file_id"], ended["in_progress_at"]) == ("failed", None, None)
    first = ended["errors"]["data"][0]
    assert (first["code"], first["line"], first["param"]) == (code, number, param)
    assert first["message"]


def test_many_mistakes_are_told_up_to_a_limit(api: BatchApi) -> None:
    ended = api.ended(str(api.create(api.stored(b"no\n" * 90)).json()["id"]))
    assert [each["line"] for each in ended["errors"]["data"]] == list(range(1, 21))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"completion_window": "91d"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after"),
        ({"input_file_id": None}, "input_file_id"),
    ],
)
def test_a_wrong_field_is_named(api: BatchApi, change: dict[str, Any], told: str) -> None:
    body = {"input_file_id": "file-" + "0" * 32, "endpoint": "/v1/rerank", "completion_window": "24h"} | change
    answer = api.http.post("/v1/batches", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(told)


def test_cancel_keeps_what_was_done(api: BatchApi, batch_echo: Echo) -> None:
    held = line("held", "wait gate:cancel")
    batch_id = api.begun([*lines(200, documents=6), held])
    api.in_progress(batch_id)
    wait_until(lambda: api.batch(batch_id)["request_counts"]["completed"] > 0, "some chunk is done", bound_s=30)
    told = api.http.post(f"/v1/batches/{batch_id}/cancel").json()
    assert (told["status"], told["id"]) == ("cancelling", batch_id)
    ended = api.ended(batch_id)
    batch_echo.open_gate("cancel")
    assert (ended["status"], ended["completed_at"]) == ("cancelled", None)
    assert ended["cancelling_at"] <= ended["cancelled_at"]
    answers = api.read(ended["output_file_id"])
    assert 0 < len(answers) == ended["request_counts"]["completed"] <= 200
    assert [each["custom_id"] for each in answers] == [f"q{n}" for n in range(len(answers))]
    assert api.http.post(f"/v1/batches/{batch_id}/cancel").json()["status"] == "cancelled"


def test_a_batch_that_has_ended_is_not_cancelled(api: BatchApi) -> None:
    batch_id = api.begun(lines(1))
    api.ended(batch_id)
    answer = api.http.post(f"/v1/batches/{batch_id}/cancel")
    assert answer.status_code == 400
    assert "completed" in answer.json()["message"]


def test_what_is_not_done_in_time_expires(api: BatchApi, batch_echo: Echo) -> None:
    batch_id = api.begun([*lines(2), line("held", "wait gate:expire"), *lines(0)], window="2s")
    ended = api.ended(batch_id)
    batch_echo.open_gate("expire")
    assert (ended["status"], ended["request_counts"]["total"]) == ("expired", 3)
    assert ended["expires_at"] == ended["created_at"] + 2 <= ended["expired_at"]
    failed = api.read(ended["error_file_id"])
    assert {each["error"]["code"] for each in failed} == {"batch_expired"}
    assert ended["request_counts"]["failed"] == len(failed)
    assert failed[-1]["custom_id"] == "held"


def test_a_file_that_is_removed_ends_its_batch_with_the_reason(api: BatchApi, batch_echo: Echo) -> None:
    file_id = api.stored(jsonl([line("held", "wait gate:removed")]))
    batch_id = str(api.create(file_id).json()["id"])
    api.in_progress(batch_id)
    assert api.http.delete(f"/v1/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    ended = api.ended(batch_id)
    batch_echo.open_gate("removed")
    assert ended["status"] == "failed"
    assert [each["code"] for each in ended["errors"]["data"]] == ["input_file_gone"]
    assert file_id in ended["errors"]["data"][0]["message"]


def test_a_key_has_so_many_batches_open(api: BatchApi, batch_echo: Echo) -> None:
    file_id = api.stored(jsonl([line("held", "wait gate:open")]))
    answers = [api.create(file_id) for _ in range(5)]
    assert [each.status_code for each in answers] == [200, 200, 200, 200, 429]
    assert answers[-1].json()["error"]["message"].startswith("4 batches of this key have not ended, and 4 are the most")
    for _ in range(4):
        batch_echo.open_gate("open")
    assert {api.ended(each.json()["id"])["status"] for each in answers[:4]} == {"completed"}


def test_lists_are_paged_newest_first(api: BatchApi) -> None:
    made = [api.begun(lines(1)) for _ in range(3)]
    for each in made:
        api.ended(each)
    first = api.http.get("/v1/batches", params={"limit": 2}).json()
    rest = api.http.get("/v1/batches", params={"limit": 100, "after": first["last_id"]}).json()
    assert (first["has_more"], rest["has_more"], len(first["data"])) == (True, False, 2)
    assert set(made) <= {each["id"] for each in first["data"] + rest["data"]}
    times = [each["created_at"] for each in first["data"] + rest["data"]]
    assert times == sorted(times, reverse=True)
    assert api.http.get("/v1/batches", params={"after": "batch_x"}).status_code == 400


def test_a_batch_belongs_to_its_key(api: BatchApi, stranger: httpx.Client) -> None:
    file_id = api.stored(jsonl(lines(1)))
    batch_id = str(api.create(file_id).json()["id"])
    assert stranger.get(f"/v1/batches/{batch_id}").status_code == 404
    assert stranger.post(f"/v1/batches/{batch_id}/cancel").status_code == 404
    assert stranger.get("/v1/batches").json()["data"] == []
    assert BatchApi(stranger).create(file_id).status_code == 404
    assert api.ended(batch_id)["status"] == "completed"


def test_a_key_s_limits_hold_in_its_batches(stranger: httpx.Client) -> None:
    api = BatchApi(stranger)
    ended = api.ended(api.begun([line("few", "q", documents=3), line("many", "q", documents=4)]))
    assert ended["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    (failed,) = api.read(ended["error_file_id"])
    assert "4 were sent, and 3 a request are the limit" in failed["response"]["body"]["message"]
    api.clear()


@pytest.mark.parametrize("batch_id", ["x", "..%2f..%2fopen", "batch_" + "0" * 31 + "%0a", "batch_" + "0" * 32, "%00"])
def test_an_id_from_a_url_leads_nowhere_else(api: BatchApi, batch_id: str) -> None:
    assert api.http.get(f"/v1/batches/{batch_id}").status_code == 404
    assert api.http.post(f"/v1/batches/{batch_id}/cancel").status_code == 404


def test_a_batch_names_the_model_that_scores_in_place_of_others(api: BatchApi, batch_echo: Echo) -> None:
    ended = api.ended(api.begun([line("a", "q", model="rerank-v3.5"), line("b", "q", model="other/name")]))
    assert (ended["status"], ended["model"]) == ("completed", batch_echo.settings.model)


def test_a_batch_takes_tokens_out_of_its_key_s_bucket(batch_gateway: TestGateway, batch_keys: ApiKeys) -> None:
    with batch_gateway.client(headers={"authorization": f"Bearer {batch_keys.drained}"}) as http:
        api = BatchApi(http)
        assert api.ended(api.begun(lines(3)))["status"] == "completed"
        assert http.post("/v1/rerank", json=line("a", "q")["body"]).status_code == 429
        api.clear()


def test_a_batch_waits_for_tokens_and_may_be_cancelled_meanwhile(
    batch_gateway: TestGateway, batch_keys: ApiKeys
) -> None:
    with batch_gateway.client(headers={"authorization": f"Bearer {batch_keys.drained}"}) as http:
        api = BatchApi(http)
        # Its second chunk has to wait, if the bucket is not empty already.
        batch_id = api.begun(lines(200))
        api.in_progress(batch_id)
        http.post(f"/v1/batches/{batch_id}/cancel")
        ended = api.ended(batch_id)
        assert ended["status"] == "cancelled"
        assert ended["request_counts"]["completed"] < 200
        api.clear()
