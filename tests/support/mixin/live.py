"""A live fleet that has done some work, and what its gateway and its supervisor tell a scrape."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from rerank_ops.local.fleet import LocalFleet
from support.http.gateway import TestGateway


@dataclass(frozen=True, slots=True)
class LiveFleet:
    """A fleet with /metrics of its supervisor, a gateway, and one scrape of each once they had worked."""

    fleet: LocalFleet
    gateway: TestGateway
    scrapes: tuple[str, str]

    @property
    def targets(self) -> dict[str, str]:
        """Addresses to scrape, by the job of each."""
        host, port = self.fleet.settings.metrics_host, self.fleet.settings.metrics_port
        return {"gateway": self.gateway.url.removeprefix("http://"), "workers": f"{host}:{port}"}


def work(gateway: TestGateway) -> None:
    """Have requests of every kind answered: sizes, classes, a route, cached in part and in whole, refused ones."""
    many = [f"document {uuid.uuid4().hex[:4]}" for _ in range(12)]
    for fields in ({}, {"class": "bulk"}, {"deadline_ms": 1}):
        for documents in (many[:2], many, [*many, "one more"], many):
            ask(gateway, query=f"of {sorted(fields)}", documents=documents, **fields)
    ask(gateway, query=" ", documents=many)
    ask(gateway, query="by a route", documents=many[:2], model="search")
    ask(gateway, "/v1/feedback", request_id="r1", shown=["a"], clicked=["a"])


def ask(gateway: TestGateway, path: str = "/v1/fleet/rerank", **body: Any) -> httpx.Response:
    """Send one request."""
    with gateway.client() as client:
        return client.post(path, json=body)
