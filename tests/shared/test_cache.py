"""The score cache without its server: what is asked, what is written, and what is counted."""

from __future__ import annotations

import struct

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.cache import STORE_SCORES, LookupCounter, ScoreWrites
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Score
from rerank_shared.keys import Keys

KEYS = Keys("fleet")
digests = st.binary(min_size=16, max_size=16)
scores = st.builds(Score, logit=st.floats(-20, 20, width=32), tokens=st.integers(3, 512), truncated=st.booleans())


@pytest.fixture
def pipe() -> redis.client.Pipeline:
    """A real pipeline; it connects when it is executed, which no test here does."""
    return redis.Redis().pipeline(transaction=False)


def commands(pipe: redis.client.Pipeline) -> list[tuple[object, ...]]:
    return [args for args, _ in pipe.command_stack]


@given(st.dictionaries(digests, scores, max_size=8), st.integers(1, 10**6))
def test_scores_are_written_in_one_call_with_their_life_time(values: dict[bytes, Score], ttl_s: int) -> None:
    pipe = redis.Redis().pipeline(transaction=False)
    ScoreWrites(values, ttl_s).add_to(pipe, KEYS)
    if not values:
        assert commands(pipe) == []
        return
    ((name, script, count, *rest),) = commands(pipe)
    names, written = rest[: len(values)], rest[len(values) + 1 :]
    assert (name, script, count, rest[len(values)]) == ("EVAL", STORE_SCORES.text, len(values), ttl_s)
    decoded = [wire.decode_score(value) for value in written if isinstance(value, bytes)]
    assert dict(zip(names, decoded, strict=True)) == {KEYS.score(d): s for d, s in values.items()}


def test_many_scores_are_written_in_calls_that_do_not_block_the_server_long(pipe: redis.client.Pipeline) -> None:
    values = {index.to_bytes(16, "big"): Score(0.0, 3, False) for index in range(2_500)}
    ScoreWrites(values, 60).add_to(pipe, KEYS)
    counts = [command[2] for command in commands(pipe)]
    assert counts == [1_000, 1_000, 500]
    assert len({name for command in commands(pipe) for name in command[3 : 3 + int(str(command[2]))]}) == 2_500


def test_the_script_gives_every_score_a_life_time() -> None:
    assert "'EX', ARGV[1]" in STORE_SCORES.text
    assert STORE_SCORES.text.count("redis.pcall(") == 1


@given(st.lists(st.none() | scores, max_size=8))
def test_answers_keep_their_order_and_are_counted(values: list[Score | None]) -> None:
    counter = LookupCounter(KEYS)
    assert counter.read([None if s is None else wire.encode_score(s) for s in values]) == values
    assert (counter.hits, counter.misses) == (len(values) - values.count(None), values.count(None))


@pytest.mark.parametrize("value", [b"", b"123456", b"12345678", struct.pack("<fHB", float("nan"), 3, 0)])
def test_what_is_no_score_is_a_miss(value: bytes) -> None:
    counter = LookupCounter(KEYS)
    assert counter.read([value]) == [None]
    assert (counter.hits, counter.misses) == (0, 1)


def test_counts_are_handed_over_once(pipe: redis.client.Pipeline) -> None:
    counter = LookupCounter(KEYS)
    counter.add_to(pipe)
    assert commands(pipe) == []
    counter.read([wire.encode_score(Score(1.0, 3, False)), None, None])
    counter.add_to(pipe)
    counter.add_to(pipe)
    key = KEYS.cache_counters
    ((_, _, _, _, _, *words),) = commands(pipe)
    assert words == [4, "HINCRBY", key, "hits", 1, 4, "HINCRBY", key, "misses", 2]


def test_look_ups_of_one_second_write_their_counts_once(pipe: redis.client.Pipeline) -> None:
    now = [100.0]
    counter = LookupCounter(KEYS, clock=lambda: now[0])
    for at in (100.0, 100.0, 100.9, 101.0):
        now[0] = at
        counter.read([None])
        counter.add_when_due(pipe)
    (*_, first), (*_, later) = commands(pipe)
    assert (first, later) == (1, 3)


def test_where_nothing_was_counted_the_next_count_need_not_wait(pipe: redis.client.Pipeline) -> None:
    counter = LookupCounter(KEYS, clock=lambda: 100.0)
    counter.add_when_due(pipe)
    counter.read([None])
    counter.add_when_due(pipe)
    assert len(commands(pipe)) == 1
