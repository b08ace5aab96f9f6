"""The worst queries on a real server: the lowest are kept, each once, and only so many."""

from __future__ import annotations

import random
from typing import Any

import redis

from rerank_shared.drift.worst import KEEP_WORST, KEPT, WorstQuery, keep_call, read_worst, worst_of
from rerank_shared.keys import SHADOW_TTL_S, Keys


def query(name: int, rank: float, **fields: Any) -> WorstQuery:
    shown = {"query_digest": f"{name:x}", "live": "a", "shadow": "b", "rank": rank, "documents": 3, "at": 1.0}
    return WorstQuery(**(shown | {"overlap": 1.0, "spearman": 0.0, "mean_difference": 0.1} | fields))


def keep(client: redis.Redis, keys: Keys, *queries: WorstQuery) -> list[WorstQuery]:
    key = keys.shadow_worst("search", 1)
    KEEP_WORST(client, [key], *keep_call(queries))
    answer: Any = client.hgetall(key)
    return read_worst(answer)


def test_the_lowest_are_kept_whoever_tells_of_them(client: redis.Redis, keys: Keys) -> None:
    queries = [query(number, rank=number / 100) for number in range(3 * KEPT)]
    random.Random(5).shuffle(queries)
    for start in range(0, len(queries), 40):
        found = keep(client, keys, *queries[start : start + 40])
    assert [each.rank for each in found] == [number / 100 for number in range(KEPT)]
    assert 0 < client.ttl(keys.shadow_worst("search", 1)) <= SHADOW_TTL_S


def test_a_query_is_kept_once_as_it_was_at_its_worst(client: redis.Redis, keys: Keys) -> None:
    keep(client, keys, query(1, 0.5, documents=5), query(1, 0.5, shadow="c"))
    keep(client, keys, query(1, 0.9, documents=9))
    found = keep(client, keys, query(1, 0.25, documents=2))
    assert [(each.shadow, each.documents) for each in found] == [("b", 2), ("c", 3)]


def test_texts_come_back_and_what_is_unreadable_goes_first(client: redis.Redis, keys: Keys) -> None:
    client.hset(keys.shadow_worst("search", 1), "odd", "no rank at all")
    found = keep(client, keys, *(query(number, 0.5, query="wo | ist\n es?") for number in range(KEPT)))
    assert {each.query for each in found} == {"wo | ist\n es?"}
    assert not client.hexists(keys.shadow_worst("search", 1), "odd")


def test_a_measure_that_is_no_number_counts_as_unreadable() -> None:
    text = query(1, 0.5).model_dump_json()
    assert len(read_worst({b"q": f"0.5|{text}".encode()})) == 1
    assert read_worst({b"q": f"0.5|{text.replace('0.1', 'NaN')}".encode()}) == []


def test_a_process_tells_each_query_once() -> None:
    assert [each.rank for each in worst_of([query(1, 0.5), query(2, 0.4), query(1, 0.3)])] == [0.3, 0.4]
    assert len(worst_of(query(number, 0.5) for number in range(2 * KEPT))) == KEPT
