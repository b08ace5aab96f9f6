"""Files and batches as tests drive them: lines are made up, uploaded, scored and read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from support.waiting import wait_until

ENDED = ("completed", "failed", "expired", "cancelled")


def line(custom_id: str, query: str, *, url: str = "/v1/rerank", documents: int = 3, **body: Any) -> dict[str, Any]:
    """Return one request of a batch."""
    texts = [f"{query} text {k}" for k in range(documents)]
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"query": query, "documents": texts} | body}


def lines(count: int, word: str = "row", **options: Any) -> list[dict[str, Any]]:
    """Return requests with ids `q0` and on."""
    return [line(f"q{n}", f"{word} {n}", **options) for n in range(count)]


def jsonl(records: Sequence[Any]) -> bytes:
    """Return records as lines."""
    return "".join(json.dumps(each) + "\n" for each in records).encode()


@dataclass
class BatchApi:
    """One caller."""

    http: httpx.Client

    def upload(self, content: bytes, name: str = "in.jsonl", **form: str) -> httpx.Response:
        """Send a file; return the answer as it is."""
        return self.http.post("/v1/files", files={"file": (name, content)}, data={"purpose": "batch"} | form)

    def stored(self, content: bytes) -> str:
        """Send a file; return its id."""
        answer = self.upload(content)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def create(self, file_id: str, endpoint: str = "/v1/rerank", window: str = "24h", **more: Any) -> httpx.Response:
        """Ask for a batch; return the answer as it is."""
        body = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": window} | more
        return self.http.post("/v1/batches", json=body)

    def begun(self, records: Sequence[Any], endpoint: str = "/v1/rerank", window: str = "24h") -> str:
        """Send lines and begin their batch; return its id."""
        answer = self.create(self.stored(jsonl(records)), endpoint, window)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return a batch as it stands."""
        answer = self.http.get(f"/v1/batches/{batch_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, batch_id: str) -> dict[str, Any]:
        """Return a batch when it has ended."""
        wait_until(lambda: self.batch(batch_id)["status"] in ENDED, "the batch ends", bound_s=60)
        return self.batch(batch_id)

    def in_progress(self, batch_id: str) -> None:
        """Wait until a batch is being scored."""
        wait_until(lambda: self.batch(batch_id)["status"] == "in_progress", "the batch is in progress", bound_s=30)

    def content(self, file_id: str) -> bytes:
        """Return the content of a file."""
        answer = self.http.get(f"/v1/files/{file_id}/content")
        assert answer.status_code == 200, answer.text
        return answer.content

    def read(self, file_id: str) -> list[dict[str, Any]]:
        """Return the lines of a file."""
        return [json.loads(each) for each in self.content(file_id).splitlines()]

    def clear(self) -> None:
        """Cancel all batches and remove all files."""
        for batch in self.http.get("/v1/batches", params={"limit": 1000}).json()["data"]:
            if batch["status"] not in ENDED:
                self.http.post(f"/v1/batches/{batch['id']}/cancel")
                self.ended(batch["id"])
        for file in self.http.get("/v1/files", params={"limit": 1000}).json()["data"]:
            self.http.delete(f"/v1/files/{file['id']}")
