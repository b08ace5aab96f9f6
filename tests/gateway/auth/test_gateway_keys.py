"""A gateway with API keys: who gets in, on which terms, and that tenants don't see each other's jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from rerank_producer.gateway.auth.keyfile import new_key
from support.http.gateway import FrontedFleet, TestGateway
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]
GOOD = {"query": "q", "documents": ["one", "two"]}
_TODAY = date(2026, 1, 1)


class Guarded:
    """A gateway with keys on the fleet that all tests here share."""

    def __init__(self, gateway: TestGateway, file: Path, keys: dict[str, str]) -> None:
        self.gateway, self.file, self.keys = gateway, file, keys

    def post(self, key: str | None, path: str = "/v2/rerank", body: object = GOOD, **headers: str) -> httpx.Response:
        sent = headers if key is None else {"authorization": f"Bearer {self.keys[key]}"} | headers
        with self.gateway.client(headers=sent) as http:
            return http.post(path, json=body)


@pytest.fixture(scope="module")
def guarded(fronted: FrontedFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("keys")
    text, keys = "", {}
    limits: dict[str, dict[str, object]] = {
        "shop": {"tenant": "shop"},
        "news": {"tenant": "news"},
        "small": {"max_documents": 1, "max_body_bytes": 1_000},
        "quiet": {"tenant": "quiet", "cache_scope": "tenant"},
        "silent": {"tenant": "silent", "cache_scope": "tenant"},
        "blend": {"fusion": "zscore", "fusion_weight": 2.0},
        "hasty": {"default_deadline_ms": 1.0},
        "poor": {"tokens_per_s": 0.001, "burst_tokens": 1.0},
        "thrifty": {"tokens_per_s": 0.001, "burst_tokens": 10_000.0},
    }
    for name, limit in limits.items():
        keys[name], text = new_key(text, name, limit, _TODAY)
    file = folder / "keys.toml"
    file.write_text(text)
    file.chmod(0o600)
    with TestGateway(fronted.fleet.settings, folder / "gateway.log", keys=file) as gateway:
        yield Guarded(gateway.wait_ready(), file, keys)


def test_a_key_gets_in(guarded: Guarded) -> None:
    assert guarded.post("shop").status_code == 200
    assert guarded.post(None, **{"x-api-key": guarded.keys["shop"]}).status_code == 200


def test_one_key_in_two_headers_is_one_key(guarded: Guarded) -> None:
    assert guarded.post("shop", **{"x-api-key": guarded.keys["shop"]}).status_code == 200
    answer = guarded.post("shop", **{"x-api-key": guarded.keys["news"]})
    assert answer.status_code == 401
    assert "more than one API key" in answer.json()["message"]


def refused(guarded: Guarded, path: str) -> list[dict[str, Any]]:
    """Errors that are told before a body is read."""
    answers = [
        guarded.post(None, path),
        guarded.post("small", path, GOOD | {"query": "long " * 1_000}),
        guarded.post("shop", path, **{"content-encoding": "gzip"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 413, 415]
    return [answer.json() for answer in answers]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/v1/rerank", "/v1/reranking", "/reranking", "/api/rerank"])
def test_a_body_that_is_not_read_is_refused_as_one_that_is(guarded: Guarded, path: str) -> None:
    read = guarded.post("shop", path, GOOD | {"query": 5})
    assert read.status_code == 400
    for content in [read.json(), *refused(guarded, path)]:
        assert content["message"] == content["detail"] == content["error"]["message"]


def test_where_clients_of_tei_ask_an_error_is_a_text(guarded: Guarded) -> None:
    for content in refused(guarded, "/rerank"):
        assert content["message"] == content["detail"] == content["error"]


def test_a_key_needs_neither_a_known_name_nor_a_page_of_the_gateway(guarded: Guarded) -> None:
    """No page of another site has one, and no browser adds one by itself."""
    elsewhere = {"host": "rerank.example", "origin": "https://shop.example", "sec-fetch-site": "cross-site"}
    assert guarded.post("shop", **elsewhere).status_code == 200
    assert guarded.post(None, **elsewhere).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic dTpw", "Bearer rrf_abcdefgh_" + "x" * 43])
def test_without_one_nobody_does(guarded: Guarded, header: str) -> None:
    paths = ["/v2/rerank", "/v1/rerank", "/rerank", "/score", "/similarity", "/v1/fleet/rerank", "/v1/jobs"]
    headers = {"authorization": header} if header else {}
    for path in paths:
        answer = guarded.post(None, path, **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()
    with guarded.gateway.client(headers=headers) as http:
        for path in ("/v1/models", "/v1/fleet/state", "/v1/fleet/live", "/v1/jobs/" + "0" * 32):
            assert http.get(path).status_code == 401
        assert http.delete("/v1/jobs/" + "0" * 32).status_code == 401


def test_a_wrong_prefix_is_no_key(guarded: Guarded) -> None:
    wrong = guarded.keys["shop"].replace("rrf_", "sk_", 1)
    assert guarded.post(None, authorization=f"Bearer {wrong}").status_code == 401


def test_the_page_and_the_balancer_need_none(guarded: Guarded) -> None:
    with guarded.gateway.client() as http:
        for path in ("/", "/healthz", "/readyz", "/openapi.json"):
            assert http.get(path).status_code == 200


def test_a_body_is_not_read_for_nobody(guarded: Guarded) -> None:
    answer = guarded.post(None, body={"query": "q", "documents": ["x" * 1_000_000]})
    assert answer.status_code == 401


def test_a_key_s_own_limits(guarded: Guarded) -> None:
    answer = guarded.post("small")
    assert answer.status_code == 400
    assert "2 documents were sent, and 1 a request" in answer.json()["message"]
    assert guarded.post("small", body={"query": "q", "documents": ["x" * 2_000]}).status_code == 413
    assert guarded.post("small", body={"query": "q", "documents": ["x"]}).status_code == 200


def test_a_key_s_own_deadline_and_one_in_its_place(guarded: Guarded) -> None:
    fresh = {"query": "q", "documents": ["never seen before, for this key's deadline", "nor this"]}
    assert guarded.post("hasty", body=fresh).status_code == 504
    assert guarded.post("hasty", body=fresh, **{"x-rerank-deadline-ms": "30000"}).status_code == 200


def test_spent_tokens_are_429_with_when_to_come_again(guarded: Guarded) -> None:
    fresh = {"query": "q", "documents": ["what a poor key has scored first", "and this"]}
    first = guarded.post("poor", body=fresh)
    assert first.status_code == 200
    assert first.headers["x-ratelimit-remaining-tokens"] == "0"
    answer = guarded.post("poor", body={"query": "q", "documents": ["and what it has scored then"]})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "poor" in answer.json()["message"]


def left(guarded: Guarded) -> int:
    """What the thrifty key has left, less the estimate of a request that costs nothing in the end."""
    guarded.post("thrifty")
    return int(guarded.post("thrifty").headers["x-ratelimit-remaining-tokens"])


def test_more_tokens_a_document_than_the_model_reads_are_not_paid(guarded: Guarded) -> None:
    body = {"query": "q", "documents": ["long " * 20_000], "max_tokens_per_doc": 4_096}
    before = left(guarded)
    answer = guarded.post("thrifty", body=body)
    assert before - int(answer.headers["x-ratelimit-remaining-tokens"]) <= 512


def test_pairs_of_many_queries_are_paid_together_or_not_at_all(guarded: Guarded) -> None:
    # A full bucket lets anything go, and leaves a debt.
    guarded.post("thrifty", body={"query": "q", "documents": ["what a thrifty key has scored first"]})
    before = left(guarded)
    queries = [f"query {number} of those that nobody can pay" for number in range(40)]
    pairs = {"queries": queries, "documents": ["word " * 2_000] * 40}
    assert guarded.post("thrifty", "/score", pairs).status_code == 429
    assert left(guarded) == before


def test_a_job_pays_its_estimate_and_says_what_is_left(guarded: Guarded) -> None:
    before = left(guarded)
    submitted = guarded.post("thrifty", "/v1/jobs")
    assert int(submitted.headers["x-ratelimit-limit-tokens"]) == 10_000
    assert left(guarded) < before


def test_another_tenant_s_job_does_not_exist(guarded: Guarded) -> None:
    path = guarded.post("shop", "/v1/jobs").headers["location"]
    for method in ("GET", "DELETE"):
        for name, status in (("news", 404), ("shop", 204 if method == "DELETE" else 200)):
            headers = {"authorization": f"Bearer {guarded.keys[name]}"}
            with guarded.gateway.client(headers=headers) as http:
                assert http.request(method, path).status_code == status


def test_a_tenant_in_the_body_is_not_believed(guarded: Guarded) -> None:
    path = guarded.post("shop", "/v1/jobs", GOOD | {"tenant": "news"}).headers["location"]
    with guarded.gateway.client(headers={"authorization": f"Bearer {guarded.keys['news']}"}) as http:
        assert http.get(path).status_code == 404


def cached(answer: httpx.Response) -> list[bool]:
    """Which documents were, by every word of it that tells."""
    found = answer.json()
    flags = [result["cached"] for result in sorted(found["results"], key=lambda each: each["index"])]
    assert int(answer.headers["x-rerank-cached"]) == found["usage"]["pairs_cached"] == sum(flags)
    assert (found["usage"]["tokens"] == 0) is all(flags)
    return flags


def test_who_keeps_its_scores_to_itself_tells_nobody_what_it_asked_nor_is_told(guarded: Guarded) -> None:
    body = {"query": "what did they ask?", "documents": ["the first of a kind", "the second of a kind"]}
    fresh, known = [False, False], [True, True]
    for name in ("quiet", "silent", "shop"):
        assert cached(guarded.post(name, "/v1/fleet/rerank", body)) == fresh, name
    for name in ("quiet", "silent", "shop", "news"):
        assert cached(guarded.post(name, "/v1/fleet/rerank", body)) == known, name
    more = body | {"documents": ["the third of a kind"]}
    assert cached(guarded.post("news", "/v1/fleet/rerank", more)) == [False]
    assert cached(guarded.post("quiet", "/v1/fleet/rerank", more)) == [False]
    # In other shapes, and for jobs, it is the same.
    asked = {"query": "and what then?", "documents": ["a fourth of its kind"]}
    assert guarded.post("quiet", "/v2/rerank", asked).headers["x-rerank-cached"] == "0"
    location = guarded.post("silent", "/v1/jobs", asked).headers["location"]
    with guarded.gateway.client(headers={"authorization": f"Bearer {guarded.keys['silent']}"}) as http:
        job = http.get(location, params={"wait_ms": 20_000}).json()
    assert job["response"]["usage"]["pairs_cached"] == 0
    assert guarded.post("silent", "/v2/rerank", asked).headers["x-rerank-cached"] == "1"


def test_a_request_may_keep_its_scores_to_its_tenant_too(guarded: Guarded) -> None:
    body = {"query": "who knows?", "documents": ["only me"], "cache_scope": "tenant"}
    assert cached(guarded.post("shop", "/v1/fleet/rerank", body)) == [False]
    assert cached(guarded.post("shop", "/v1/fleet/rerank", body)) == [True]
    assert cached(guarded.post("news", "/v1/fleet/rerank", body)) == [False]
    assert cached(guarded.post("quiet", "/v1/fleet/rerank", body | {"cache_scope": "fleet"})) == [False]
    assert cached(guarded.post("silent", "/v1/fleet/rerank", body | {"cache_scope": "fleet"})) == [False]


def test_a_key_s_fusion_is_for_requests_that_have_scores_and_don_t_say(guarded: Guarded) -> None:
    scored = {"query": "q", "documents": [{"text": "one", "score": 1.0}, {"text": "two", "score": 2.0}]}

    def told(**body: object) -> str | None:
        answer = guarded.post("blend", body=scored | body)
        assert answer.status_code == 200
        fusion: str | None = answer.headers.get("x-rerank-fusion")
        return fusion and fusion.partition("; ratio=")[0]

    assert told() == "zscore; weight=2"
    assert told(fusion_weight=0.5) == "zscore; weight=0.5"
    assert told(fusion="rrf") == "rrf; weight=2"
    assert told(fusion="none") is None
    assert told(documents=["one", "two"]) is None
    assert told(documents=[{"text": "one", "score": "high"}, "two"]) is None
    fleet = guarded.post("blend", "/v1/fleet/rerank", scored).json()
    assert (fleet["fusion"]["method"], fleet["fusion"]["weight"]) == ("zscore", 2.0)
    location = guarded.post("blend", "/v1/jobs", scored).headers["location"]
    with guarded.gateway.client(headers={"authorization": f"Bearer {guarded.keys['blend']}"}) as http:
        job = http.get(location, params={"wait_ms": 20_000}).json()
    assert job["response"]["fusion"] == fleet["fusion"]
    assert "x-rerank-fusion" not in guarded.post("shop", body=scored).headers


def test_a_key_that_is_taken_out_of_the_file_ends_at_once(guarded: Guarded) -> None:
    kept = guarded.file.read_text()
    new, text = new_key(kept, "passing", {}, _TODAY)
    guarded.keys["passing"] = new
    try:
        guarded.file.write_text(text)
        wait_until(lambda: guarded.post("passing").status_code == 200, "the new key is known")
        with (
            guarded.gateway.client(headers={"authorization": f"Bearer {new}"}) as http,
            http.stream("GET", "/v1/fleet/live") as stream,
        ):
            guarded.file.write_text(kept)
            wait_until(lambda: guarded.post("passing").status_code == 401, "the old key is gone")
            # What it watched ends too.
            assert list(stream.iter_lines())
    finally:
        guarded.file.write_text(kept)
