"""The `dashscope` SDK; its base URL is a variable of the module."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

dashscope = pytest.importorskip("dashscope", reason="needs dashscope: `make test-clients`")
pytestmark = [
    *CLIENTS,
    # It keeps its session.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _pointed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{served.url}/api/v1")


def rerank(key: str, **request: Any) -> Any:
    return dashscope.TextReRank.call(
        **{"model": "gte-rerank-v2", "query": QUERY, "documents": DOCUMENTS, "api_key": key} | request
    )


@pytest.mark.parametrize("top_n", [None, 3])
def test_ranks_as_the_fleet_does(served: Served, top_n: int | None) -> None:
    response = rerank(served.keys.plain, top_n=top_n, return_documents=True)
    assert response.status_code == HTTPStatus.OK, response
    assert [(each.index, each.relevance_score) for each in response.output.results] == served.ranked(top_n)
    # Its attribute of that name is a class variable, None for all.
    assert response.output.results[0]["document"]["text"] == DOCUMENTS[served.ranked(1)[0][0]]
    assert response.usage.total_tokens > 0
    assert response.request_id


def test_wrong_key_is_unauthorized(served: Served) -> None:
    response = rerank(served.keys.wrong)
    assert (response.status_code, response.code) == (HTTPStatus.UNAUTHORIZED, "unauthorized")
    assert "API key" in response.message


def test_invalid_request_names_the_field(served: Served) -> None:
    response = rerank(served.keys.plain, top_n=-1)
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert "top_n" in response.message
