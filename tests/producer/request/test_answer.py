"""Answers of the request pipeline whatever is cached, however many processes there are: all the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.testing import InMemoryFleet
from rerank_shared.contract.schemas import RerankResponse


def logit(query: str, document: str) -> float:
    return float(int(document) % 5)


def ranked(response: RerankResponse) -> list[tuple[int, float | None, str | None]]:
    return [(result.index, result.logit, result.id) for result in response.results]


@given(
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=20),
    known=st.sets(st.integers(0, 30)),
    workers=st.integers(1, 5),
    top_n=st.none() | st.integers(1, 25),
)
def test_shards_and_cache_do_not_change_an_answer(
    numbers: list[int], known: set[int], workers: int, top_n: int | None
) -> None:
    documents = [{"id": f"doc-{place}", "text": str(number)} for place, number in enumerate(numbers)]
    expected = sorted(range(len(numbers)), key=lambda place: (-logit("q", str(numbers[place])), place))[:top_n]
    fleet = InMemoryFleet(logit, workers=workers, pair_s=0.1)
    with fleet.client() as client:
        client.rerank("q", [str(number) for number in sorted(known)])
        response = client.rerank("q", documents, top_n=top_n)
    assert ranked(response) == [(place, logit("q", str(numbers[place])), f"doc-{place}") for place in expected]
    assert response.complete
    assert response.usage.pairs_cached == sum(number in known for number in numbers)
    sent = [document for job in fleet.jobs for document in job.documents]
    assert len(sent) == len(known) + response.usage.pairs_run
