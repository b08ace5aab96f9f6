"""Requests from a generator: answered in order, no faster than they are taken, in a running event loop too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

from producer.conftest import Echo
from producer.echo_worker import logit
from rerank_producer import FleetGone, InvalidRequest, RerankResponse, ScoringFailed
from rerank_producer.bulk import arerank_iter, rerank_iter
from rerank_producer.bulk.asking.window import MOST_REQUESTS

pytestmark = pytest.mark.integration


def requests(count: int, seen: list[int] | None = None) -> Iterator[dict[str, Any]]:
    for number in range(count):
        if seen is not None:
            seen.append(number)
        yield {"query": f"iter {number}", "documents": ["one", "two"]}


def test_answers_come_in_order_with_the_defaults(echo: Echo) -> None:
    answers = list(rerank_iter(requests(30), settings=echo.settings, top_n=1))
    assert len(answers) == 30
    for number, answer in enumerate(answers):
        assert isinstance(answer, RerankResponse)
        best = max(logit(f"iter {number}", text) for text in ("one", "two"))
        assert answer.results[0].logit == best


def test_no_more_is_read_than_the_window_holds(echo: Echo) -> None:
    seen: list[int] = []
    with closing(rerank_iter(requests(10_000, seen), settings=echo.settings)) as answers:
        for _ in range(5):
            next(answers)
    assert len(seen) <= 5 + 2 * MOST_REQUESTS


def test_a_failed_request_is_raised_or_yielded(echo: Echo) -> None:
    given: list[dict[str, Any]] = [
        {"query": "good", "documents": ["a"]},
        {"query": "fail now", "documents": ["a"]},
        {"query": "no documents"},
    ]
    kinds = [type(answer) for answer in rerank_iter(given, settings=echo.settings, on_error="yield")]
    assert kinds == [RerankResponse, ScoringFailed, InvalidRequest]
    with pytest.raises(ScoringFailed):
        list(rerank_iter(given, settings=echo.settings))


async def test_it_works_where_a_loop_runs_and_has_an_asyncio_twin(echo: Echo) -> None:
    assert len(list(rerank_iter(requests(3), settings=echo.settings))) == 3

    async def source() -> AsyncIterator[dict[str, Any]]:
        for request in requests(3):
            await asyncio.sleep(0)
            yield request

    async with aclosing(arerank_iter(source(), settings=echo.settings)) as answers:
        assert len([answer async for answer in answers]) == 3


def test_a_model_that_nobody_serves_ends_it(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank_producer.bulk.asking.patience._UNKNOWN_MODEL_SENDS", 2)
    with pytest.raises(FleetGone, match="'no/such' is not served by this fleet"):
        list(rerank_iter(requests(1), settings=echo.settings, model="no/such", tell=lambda _: None))
