"""Pools: which of them answers a query, and how they are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.errors import UnknownModel, UnsupportedVersion
from rerank_shared.keys import Keys, queue_parts
from rerank_shared.pools import Pool, largest, pool_for, read_pools
from support.pools import IDENTITY, announce

OLD = IDENTITY
NEW = replace(OLD, model_digest="cc")
NOW = 100.0


def pools(**processes: int) -> list[Pool]:
    return [Pool(name, OLD, count) for name, count in processes.items()]


class TestIds:
    @pytest.mark.parametrize("field", ["model_digest", "tokenizer_digest", "precision", "template", "truncation"])
    def test_what_changes_a_score_makes_another_pool(self, field: str) -> None:
        changed: dict[str, Any] = {field: "other"}
        assert pool_id(replace(OLD, **changed)) != pool_id(OLD)

    def test_what_an_answer_shows_makes_another_pool(self) -> None:
        assert (
            len({pool_id(OLD), pool_id(replace(OLD, activation="identity")), pool_id(replace(OLD, max_length=9))}) == 3
        )

    def test_a_name_does_not(self) -> None:
        assert pool_id(replace(OLD, model="another/name")) == pool_id(OLD)

    def test_the_name_of_a_queue_spells_them(self) -> None:
        queue = Keys("fleet").of(pool_id(OLD)).queue("bulk")
        assert queue_parts(queue) == ("bulk", pool_id(OLD))
        assert queue_parts(Keys("fleet").queue("interactive")) == ("interactive", "")

    @pytest.mark.parametrize("name", ["celery", "jobs.other", "jobs.bulk@", "jobs.bulk@XY", "jobs.bulk.ab"])
    def test_the_queues_of_others_are_none(self, name: str) -> None:
        assert queue_parts(name) is None


class TestChoice:
    def test_of_one_there_is_none(self) -> None:
        (only,) = pools(a=3)
        assert pool_for([only], "any") is only
        assert pool_for([], "any") is None

    def test_live_ones_come_before_all_others(self) -> None:
        assert {pool_for(pools(a=0, b=1, c=0), str(number)) for number in range(50)} == set(pools(b=1))

    def test_without_a_live_one_the_first_waits_for_workers(self) -> None:
        first, *_ = found = pools(a=0, b=0)
        assert {pool_for(found, str(number)) for number in range(50)} == {first}

    @given(st.text(), st.permutations(["a", "b", "c"]))
    def test_the_order_does_not_count(self, query: str, order: list[str]) -> None:
        found = {pool.id: pool for pool in pools(a=1, b=2, c=3)}
        assert pool_for([found[name] for name in order], query) == pool_for(list(found.values()), query)

    def test_queries_are_shared_by_live_processes(self) -> None:
        won = Counter(getattr(pool_for(pools(a=1, b=3), f"query {number}"), "id", None) for number in range(4_000))
        # Four standard deviations around 3,000.
        assert abs(won["b"] - 3_000) < 110

    @given(st.text(), st.integers(1, 50))
    def test_a_pool_that_grows_takes_queries_and_loses_none(self, query: str, more: int) -> None:
        before, after = pool_for(pools(a=4, b=2, c=3), query), pool_for(pools(a=4, b=2 + more, c=3), query)
        assert before is not None
        assert after is not None
        assert after.id in {before.id, "b"}

    def test_the_largest_is_the_first_of_equals(self) -> None:
        assert largest(pools(a=1, b=2, c=2)) == Pool("b", OLD, 2)
        assert largest([]) is None


class TestReading:
    def test_each_pool_with_its_live_processes(self, client: redis.Redis, keys: Keys) -> None:
        old = announce(client, keys, OLD, "w-1", "w-2", now=NOW)
        new = announce(client, keys, NEW, "w-3", now=NOW + 1.0)
        assert read_pools(client, keys, "org/name", NOW + 1.0) == (Pool(new, NEW, 1), Pool(old, OLD, 2))

    def test_processes_that_fell_silent_count_no_more(self, client: redis.Redis, keys: Keys) -> None:
        pool = announce(client, keys, OLD, "w-1", now=NOW)
        assert read_pools(client, keys, "org/name", NOW + 60.0) == (Pool(pool, OLD, 0),)

    def test_an_announcement_that_is_over_counts_no_more(self, client: redis.Redis, keys: Keys) -> None:
        announce(client, keys, OLD, "w-1", now=NOW)
        new = announce(client, keys, NEW, now=NOW + 80_000.0)
        assert read_pools(client, keys, "org/name", NOW + 90_000.0) == (Pool(new, NEW, 0),)

    def test_workers_of_earlier_releases_have_the_common_queue(self, client: redis.Redis, keys: Keys) -> None:
        pool = announce(client, keys, OLD, "w-1", now=NOW)
        pipe = client.pipeline()
        fleet.beat(pipe, keys, Heartbeat("older", "org/name", "host", 1, None, 0.0, 0.0, 0, 0), NOW)
        pipe.execute()
        assert read_pools(client, keys, "org/name", NOW) == (Pool(pool, OLD, 1), Pool("", OLD, 1))

    def test_a_fleet_of_an_earlier_release_has_no_other(self, client: redis.Redis, keys: Keys) -> None:
        announce(client, keys, OLD, now=NOW)
        client.delete(keys.pools, keys.pools_of("org/name"))
        assert read_pools(client, keys, "org/name", NOW) == (Pool("", OLD, 0),)

    def test_an_empty_server_has_none(self, client: redis.Redis, keys: Keys) -> None:
        assert read_pools(client, keys, "org/name", NOW) == ()

    def test_an_announcement_that_a_full_server_evicted_is_no_other_model(
        self, client: redis.Redis, keys: Keys
    ) -> None:
        announce(client, keys, OLD, now=NOW)
        client.delete(keys.identity("org/name"), keys.pools_of("org/name"))
        assert read_pools(client, keys, "org/name", NOW) == ()

    def test_a_model_that_nobody_serves_is_told_with_those_that_are(self, client: redis.Redis, keys: Keys) -> None:
        announce(client, keys, replace(OLD, model="org/other"), now=NOW)
        announce(client, keys, replace(OLD, model="org/main"), now=NOW)
        with pytest.raises(UnknownModel, match=r"'x/y'.*knows org/main, org/other; ask"):
            read_pools(client, keys, "x/y", NOW)
        with pytest.raises(UnknownModel, match=r"knows org/main, org/other; did you mean org/main\?$"):
            read_pools(client, keys, "org/mian", NOW)

    def test_what_cannot_be_read_hides_no_other_pool(self, client: redis.Redis, keys: Keys) -> None:
        old = announce(client, keys, OLD, "w-1", now=NOW)
        broken = announce(client, keys, NEW, now=NOW)
        client.hset(keys.pools_of("org/name"), broken, b"rubbish")
        assert read_pools(client, keys, "org/name", NOW) == (Pool(old, OLD, 1),)

    def test_a_newer_release_alone_is_refused_by_its_version(self, client: redis.Redis, keys: Keys) -> None:
        announce(client, keys, OLD, now=NOW)
        client.delete(keys.pools_of("org/name"))
        client.set(keys.identity("org/name"), b"\x93\x63\xa8artefact\x90")
        with pytest.raises(UnsupportedVersion, match="version 99"):
            read_pools(client, keys, "org/name", NOW)
