"""First-stage scores through other people's SDKs, by whatever each has for fields that it does not know."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

pytestmark = [
    *CLIENTS,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
]
#: The best by the model is the worst here.
SCORES = [80.0, 3.0, 2.0, 4.0, 5.0, 1.0, 6.0, 7.0]
OBJECTS = [{"text": text, "score": score} for text, score in zip(DOCUMENTS, SCORES, strict=True)]
OPTIONS = {"fusion": "zscore", "fusion_weight": 4.0}
EXTRA = OPTIONS | {"scores": SCORES}
Asked = Callable[[Any, Served], list[int]]


def cohere_v2(cohere: Any, served: Served) -> list[int]:
    with cohere.ClientV2(served.keys.plain, base_url=served.url) as client:
        options = {"additional_body_parameters": EXTRA}
        response = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, request_options=options)
    assert any("fused" in warning for warning in response.meta.warnings)
    return [result.index for result in response.results]


def cohere_v1(cohere: Any, served: Served) -> list[int]:
    with cohere.Client(served.keys.plain, base_url=served.url) as client:
        options = {"additional_body_parameters": OPTIONS}
        response = client.rerank(query=QUERY, documents=OBJECTS, request_options=options)
    return [result.index for result in response.results]


def together(package: Any, served: Served) -> list[int]:
    with package.Together(api_key=served.keys.plain, base_url=served.url, max_retries=0) as client:
        response = client.rerank.create(model="m", query=QUERY, documents=OBJECTS, extra_body=OPTIONS)
    return [result.index for result in response.results]


def xinference(package: Any, served: Served) -> list[int]:
    handle = package.RESTfulClient(served.url, served.keys.plain).get_model(served.model.rpartition("/")[2])
    return [result["index"] for result in handle.rerank(OBJECTS, QUERY, **OPTIONS)["results"]]


def dashscope(package: Any, served: Served) -> list[int]:
    package.base_http_api_url = f"{served.url}/api/v1"
    response = package.TextReRank.call(
        model="gte-rerank-v2", query=QUERY, documents=OBJECTS, api_key=served.keys.plain, **OPTIONS
    )
    return [result.index for result in response.output.results]


def lightrag_jina(rerank: Any, served: Served) -> list[int]:
    url = f"{served.url}/v1/rerank"
    work = rerank.jina_rerank(QUERY, DOCUMENTS, api_key=served.keys.plain, base_url=url, extra_body=EXTRA)
    return [result["index"] for result in asyncio.run(work)]


def lightrag_aliyun(rerank: Any, served: Served) -> list[int]:
    url = f"{served.url}/api/v1/services/rerank/text-rerank/text-rerank"
    work = rerank.ali_rerank(QUERY, DOCUMENTS, api_key=served.keys.plain, base_url=url, extra_body=EXTRA)
    return [result["index"] for result in asyncio.run(work)]


@pytest.mark.parametrize(
    ("package", "asked"),
    [
        ("cohere", cohere_v2),
        ("cohere", cohere_v1),
        ("together", together),
        ("xinference_client", xinference),
        ("dashscope", dashscope),
        ("lightrag.rerank", lightrag_jina),
        ("lightrag.rerank", lightrag_aliyun),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_they_count_as_for_the_fleet_s_own_client(served: Served, package: str, asked: Asked) -> None:
    pytest.importorskip(package, reason=f"needs {package}: `make test-clients`")
    response = served.fleet.rerank(
        QUERY, DOCUMENTS, scores=SCORES, fusion="zscore", fusion_weight=4.0, deadline_ms=60_000
    )
    expected = [result.index for result in response.results]
    assert expected[0] == 0, "the first stage decides"
    assert asked(importlib.import_module(package), served) == expected
