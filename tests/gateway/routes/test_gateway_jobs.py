"""Submit now, collect later, over real HTTP."""

from __future__ import annotations

import uuid

import pytest

from rerank_shared.errors import JobRevoked
from support.http.gateway import FrontedFleet

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway")]


def body(k: int, words: int = 5) -> dict[str, object]:
    return {"query": "which rooms?", "documents": [f"{uuid.uuid4().hex} " + "room " * words for _ in range(k)]}


def test_a_job_is_collected(fronted: FrontedFleet) -> None:
    sent = body(3) | {"top_n": 2}
    submitted = fronted.http.post("/v1/jobs", json=sent)
    assert submitted.status_code == 202
    assert submitted.json()["status"] == "waiting"
    path = submitted.headers["location"]
    assert path == f"/v1/jobs/{submitted.json()['id']}"
    job = fronted.http.get(path, params={"wait_ms": 30_000}).json()
    assert job["status"] == "done"
    assert job["submitted_at"] < job["deadline_at"]
    again = fronted.http.post("/v1/fleet/rerank", json=sent).json()
    assert [(r["index"], r["logit"]) for r in job["response"]["results"]] == [
        (r["index"], r["logit"]) for r in again["results"]
    ]
    assert fronted.http.get(path).json()["status"] == "done"


def test_more_than_all_is_all(fronted: FrontedFleet) -> None:
    path = fronted.http.post("/v1/jobs", json=body(3) | {"top_n": 2**70}).headers["location"]
    job = fronted.http.get(path, params={"wait_ms": 30_000}).json()
    assert len(job["response"]["results"]) == 3


def test_a_job_that_waits_is_told_at_once_and_may_be_dropped(fronted: FrontedFleet) -> None:
    path = fronted.http.post("/v1/jobs", json=body(2_000, 100)).headers["location"]
    told = fronted.http.get(path)
    assert told.status_code == 200
    assert told.json()["status"] == "waiting"
    assert "response" not in told.json()
    assert fronted.http.delete(path).status_code == 204
    job = fronted.http.get(path, params={"wait_ms": 30_000}).json()
    assert (job["status"], job["error"]["code"]) == ("failed", JobRevoked.code)


def test_a_job_whose_deadline_passes_is_late(fronted: FrontedFleet) -> None:
    path = fronted.http.post("/v1/jobs", json=body(2_000, 100) | {"deadline_ms": 300}).headers["location"]
    job = fronted.http.get(path, params={"wait_ms": 30_000}).json()
    assert job["status"] in ("late", "failed")
    assert job["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize("job_id", ["0123456789abcdef" * 2, "x", "a" * 5_000, "%2e%2e", "*", "0" * 31 + "%0a"])
def test_what_is_no_job_is_404(fronted: FrontedFleet, job_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = fronted.http.request(method, f"/v1/jobs/{job_id}")
        assert answer.status_code == 404
        assert answer.json()


@pytest.mark.parametrize("wait_ms", ["-1", "soon", "30001", "nan", ""])
def test_a_wait_that_makes_no_sense(fronted: FrontedFleet, wait_ms: str) -> None:
    answer = fronted.http.get(f"/v1/jobs/{uuid.uuid4().hex}", params={"wait_ms": wait_ms})
    assert answer.status_code == 400
    assert "wait_ms" in answer.json()["error"]["message"]
