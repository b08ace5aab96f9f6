"""The token cache by itself: what it holds, what it lets go, and what it never answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_worker.tokenizing.cache import ENTRY_BYTES, TokenCache, key_of
from rerank_worker.tokenizing.tokens import Tokens

ROOM = 100


def tokens(count: int, *, whole: bool = True, first: int = 0) -> Tokens:
    return Tokens(np.arange(first, first + count, dtype=np.int32), whole)


def size(count: int) -> int:
    return ENTRY_BYTES + 2 * count


def held(cache: TokenCache, names: str) -> str:
    """Return which of the names the cache knows."""
    return "".join(name for name in names if cache.get([name.encode()], ROOM) != [None])


def test_the_one_not_used_for_longest_goes_first() -> None:
    cache = TokenCache(3 * size(10))
    for name in "abc":
        cache.put([name.encode()], [tokens(10)])
    assert held(cache, "a") == "a"
    cache.put([b"d"], [tokens(10)])
    assert held(cache, "abcd") == "acd"
    cache.put([b"e", b"f"], [tokens(10), tokens(10)])
    assert held(cache, "abcdef") == "def"


def test_a_large_one_sends_several_away_and_one_over_the_limit_none() -> None:
    cache = TokenCache(4 * size(10))
    cache.put([b"a", b"b", b"c", b"d"], [tokens(10)] * 4)
    cache.put([b"x"], [tokens(4_000)])
    assert held(cache, "abcdx") == "abcd"
    cache.put([b"y"], [tokens(10 + (size(10) + 1) // 2)])
    assert held(cache, "abcdy") == "cdy"


def test_what_is_replaced_does_not_count_twice() -> None:
    cache = TokenCache(1_000_000)
    for count in (10, 500, 20):
        cache.put([b"a"], [tokens(count)])
        assert (len(cache), cache.held_bytes) == (1, size(count))
    # What it was replaced by is too large to store; the old one may be what could not serve.
    small = TokenCache(size(20))
    small.put([b"a"], [tokens(10, whole=False)])
    small.put([b"a"], [tokens(1_000)])
    assert (len(small), small.held_bytes) == (0, 0)


@given(
    st.integers(0, 6 * size(20)),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 80), st.booleans(), st.integers(1, 80)), max_size=40),
)
def test_it_is_never_over_its_limit_and_never_answers_too_little(
    limit: int, steps: list[tuple[int, int, bool, int]]
) -> None:
    cache, last = TokenCache(limit), dict[bytes, Tokens]()
    for number, count, whole, room in steps:
        key = b"%d" % number
        (found,) = cache.get([key], room)
        if found is not None:
            assert found.ids.tolist() == last[key].ids.tolist()
            assert found.whole == last[key].whole
            assert found.whole or len(found.ids) > room
        last[key] = tokens(count, whole=whole, first=number)
        cache.put([key], [last[key]])
        assert cache.held_bytes <= limit
        known = [found for found in cache.get(list(last), 0) if found is not None]
        assert sum(ENTRY_BYTES + found.ids.nbytes for found in known) <= cache.held_bytes
        if size(count) <= limit and (whole or count > room):
            assert cache.get([key], room) != [None]


@pytest.mark.parametrize(("count", "room", "serves"), [(10, 9, True), (10, 10, False), (10, 11, False), (10, 1, True)])
def test_a_head_serves_rooms_that_are_smaller_than_it(count: int, room: int, serves: bool) -> None:
    cache = TokenCache(10_000)
    cache.put([b"head", b"whole"], [tokens(count, whole=False), tokens(count)])
    head, whole = cache.get([b"head", b"whole"], room)
    assert (head is not None) == serves
    assert whole is not None


@pytest.mark.parametrize(("largest", "bytes_an_id"), [(0, 2), (65_535, 2), (65_536, 4), (2**31 - 1, 4)])
def test_ids_are_kept_small_and_whole(largest: int, bytes_an_id: int) -> None:
    cache = TokenCache(10_000)
    given_ids = np.array([1, largest, 2], dtype=np.int32)
    cache.put([b"a"], [Tokens(given_ids, whole=True)])
    given_ids[:] = 0
    (found,) = cache.get([b"a"], ROOM)
    assert found is not None
    assert found.ids.tolist() == [1, largest, 2]
    assert found.ids.itemsize == bytes_an_id
    with pytest.raises(ValueError, match="read-only"):
        found.ids[0] = 5


@given(st.lists(st.text(max_size=4), max_size=6, unique=True))
def test_different_texts_have_different_keys(texts: list[str]) -> None:
    assert len({key_of(text) for text in texts}) == len(texts)
    assert [key_of(text) for text in texts] == [key_of(str(text)) for text in texts]
    assert all(len(key_of(text)) == 16 for text in texts)


def test_threads_share_it_and_its_count_stays_right() -> None:
    cache = TokenCache(20 * size(15))

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(300):
            numbers = random.integers(0, 60, 5).tolist()
            keys = [b"%d" % number for number in numbers]
            for number, found in zip(numbers, cache.get(keys, 5), strict=True):
                assert found is None or found.ids.tolist() == list(range(number, number + 15 + number % 7))
            cache.put(keys, [tokens(15 + number % 7, first=number) for number in numbers])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    entries = [found for found in cache.get([b"%d" % number for number in range(60)], 0) if found is not None]
    assert len(entries) == len(cache) > 5
    assert cache.held_bytes == sum(ENTRY_BYTES + found.ids.nbytes for found in entries) <= cache.limit_bytes
