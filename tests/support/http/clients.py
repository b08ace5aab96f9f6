"""What tests of other people's SDKs share: one request, the fleet's own answer to it, and API keys of every kind."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from rerank_producer import RerankClient
from rerank_producer.gateway.auth.keyfile import new_key
from support.http.gateway import TestGateway

#: One process of a parallel run has them all, so that there is one gateway.
CLIENTS = [pytest.mark.clients, pytest.mark.xdist_group("clients")]
QUERY = "How do I keep bread fresh for longer?"
#: Best first would be 5, 2, 7 or near it: an order that is not the one they are sent in.
DOCUMENTS = [
    "The first railway between the two towns was opened in 1838 and closed again in 1961.",
    "A sourdough starter is fed with flour and water every day until it doubles within eight hours.",
    "Bread goes stale as its starch crystallises, which happens fastest in a refrigerator.",
    "Bakers in the city went on strike over night work in the spring of that year.",
    "Store apples apart from other fruit, since the gas they give off makes it ripen.",
    "To keep bread fresh for longer, store it cut side down in a bread box or freeze it in slices.",
    "The word for bread has the same root in most of the Slavic languages.",
    "A loaf that was wrapped in a linen cloth stays crisp for two days, one in plastic soft for four.",
]
_TODAY = date(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Keys as their owners send them; `text` is the gateway's file of them."""

    text: str
    #: Without limits.
    plain: str
    #: Three documents a request.
    small: str
    #: Its bucket never fills again once it is used.
    drained: str
    #: Its bucket is full again some seconds after it is used.
    slow: str
    #: Of the right form, in no file.
    wrong: str

    @classmethod
    def make(cls) -> ApiKeys:
        """Return new keys."""
        limits: dict[str, dict[str, Any]] = {
            "plain": {},
            "small": {"max_documents": 3},
            "drained": {"tokens_per_s": 0.001, "burst_tokens": 1.0},
            "slow": {"tokens_per_s": 120.0, "burst_tokens": 1.0},
        }
        text, keys = "", {}
        for name, limit in limits.items():
            keys[name], text = new_key(text, name, limit, _TODAY)
        wrong, _ = new_key("", "wrong", {}, _TODAY)
        return cls(text=text, wrong=wrong, **keys)


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway with its fleet, as an SDK's user has it, and the project's own client on the same fleet."""

    gateway: TestGateway
    keys: ApiKeys
    fleet: RerankClient
    #: The model that the fleet serves, by its own name.
    model: str

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return self.gateway.url

    def ranked(self, top_n: int | None = None, documents: list[str] = DOCUMENTS) -> list[tuple[int, float]]:
        """Return index and score, best first, as the project's own client gets them."""
        response = self.fleet.rerank(QUERY, documents, top_n=top_n, deadline_ms=60_000)
        assert response.complete
        return [(result.index, result.relevance_score or 0.0) for result in response.results]

    def spend(self, key: str) -> None:
        """Take out of a key's bucket more than there is in it, by a request that no cache can answer."""
        documents = [f"{uuid.uuid4().hex} {document}" for document in DOCUMENTS]
        with self.gateway.client(headers={"authorization": f"Bearer {key}"}) as client:
            answer = client.post("/v1/fleet/rerank", json={"query": QUERY, "documents": documents})
        assert answer.status_code in (200, 429), answer.text
