"""Deviations: the script and its twin compute the same means, which fade, and which no odd request moves by much."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import geometric_mean

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Deviations
from rerank_shared.deviations import BOUNDED_AFTER, TRUSTED_REQUESTS, WINDOW_REQUESTS, joined, learn
from rerank_shared.errors import MalformedMessage
from rerank_shared.keys import COST_TTL_S, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings

LESSONS = st.builds(Deviations, st.integers(1, 60), st.floats(1e-3, 1e3), st.floats(1e-12, 1e12))
KEY = Keys("deviations").deviations("0" * 32, "", "bm25")


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with connect(load_settings(redis_url=server.url)) as connected:
        yield connected


def taught(client: redis.Redis, lessons: list[Deviations]) -> Deviations:
    client.delete(KEY)
    pipe = client.pipeline(transaction=False)
    for lesson in lessons:
        learn(pipe, KEY, lesson)
    pipe.get(KEY)
    return wire.decode_deviations(pipe.execute()[-1])


@given(st.lists(LESSONS, min_size=1, max_size=12))
def test_the_script_computes_what_its_twin_does(client: redis.Redis, lessons: list[Deviations]) -> None:
    expected = lessons[0]
    for lesson in lessons[1:]:
        expected = joined(expected, lesson)
    found = taught(client, lessons)
    assert found.requests == expected.requests
    assert (found.logit, found.first_stage) == pytest.approx((expected.logit, expected.first_stage), rel=1e-9)


def test_what_is_learned_ends_as_the_cost_model_does(client: redis.Redis) -> None:
    taught(client, [Deviations(1, 2.0, 4.0)])
    assert COST_TTL_S - 5 <= client.ttl(KEY) <= COST_TTL_S


def test_what_can_not_be_read_is_learned_anew(client: redis.Redis) -> None:
    client.set(KEY, b"nonsense")
    pipe = client.pipeline(transaction=False)
    learn(pipe, KEY, Deviations(2, 2.0, 4.0))
    pipe.get(KEY)
    assert wire.decode_deviations(pipe.execute()[-1]) == Deviations(2, 2.0, 4.0)


@pytest.mark.parametrize("value", [b"", b"1 2", b"x 1 1", b"1 nan 1", b"1 inf 1", b"0 1 1", b"3 0 1", b"3 1 -1"])
def test_bytes_that_are_none_are_refused(value: bytes) -> None:
    with pytest.raises(MalformedMessage, match="deviations"):
        wire.decode_deviations(value)


@given(st.lists(LESSONS, min_size=2, max_size=BOUNDED_AFTER))
def test_at_first_it_is_the_geometric_mean_over_all_requests(lessons: list[Deviations]) -> None:
    lessons = [Deviations(1, each.logit, each.first_stage) for each in lessons]
    known = lessons[0]
    for lesson in lessons[1:]:
        known = joined(known, lesson)
    assert known.requests == len(lessons)
    assert known.logit == pytest.approx(geometric_mean(each.logit for each in lessons))
    assert known.first_stage == pytest.approx(geometric_mean(each.first_stage for each in lessons))


@pytest.mark.parametrize(
    ("place", "odd"),
    [*((place, odd) for place in (0, 1, 4) for odd in (1e-6, 1e6)), (BOUNDED_AFTER, 1e300), (29, 1e-300)],
)
def test_one_odd_request_among_the_first_does_not_spoil_the_ratio(place: int, odd: float) -> None:
    """By less than two: a weight may be wrong by as much before it costs quality."""
    known = None
    for request in range(TRUSTED_REQUESTS):
        known = joined(known, Deviations(1, 3.0, odd if request == place else 5.0))
    assert known is not None
    assert 5.0 / 2 < known.first_stage < 5.0 * 2


def test_one_odd_request_moves_a_long_mean_by_little() -> None:
    known = Deviations(WINDOW_REQUESTS, 2.0, 4.0)
    for odd in (1e300, 1e-300):
        moved = joined(known, Deviations(1, 2.0, odd)).first_stage
        assert moved == pytest.approx(4.0, rel=0.003)


def test_a_first_stage_that_changes_its_unit_is_learned_anew_in_some_thousands_of_requests() -> None:
    known, requests = Deviations(WINDOW_REQUESTS, 3.0, 5.0), 0
    while known.first_stage > 0.05 * 1.5:
        known, requests = joined(known, Deviations(1, 3.0, 0.05)), requests + 1
    assert 1_000 < requests < 4_000


def test_a_ratio_is_finite() -> None:
    assert Deviations(1, 1e300, 1e-300).ratio < float("inf")
