"""What workers tell of themselves, as far as no server is needed."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.fleet import cost_field, read_costs, share_cost, stale_costs
from rerank_shared.keys import (
    COST_KEPT_S,
    COST_TTL_S,
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_TTL_S,
    IDENTITY_TTL_S,
    Keys,
)
from rerank_shared.scheduling.cost import CostParameters, SharedCost

KEYS = Keys("fleet")
IDENTITY = ScoringIdentity("org/name", "aa", "bb", "int8", "t", 512, "longest_first", "sigmoid")
POOL = pool_id(IDENTITY)


def heartbeat(rate: float, worker_id: str = "w", pools: tuple[str, ...] = (POOL,)) -> Heartbeat:
    return Heartbeat(worker_id, "org/name", "host", 1, None, 0.0, rate, 0, 0, pools=pools)


def commands(pipe: redis.client.Pipeline) -> list[tuple[Any, ...]]:
    return [args for args, _ in pipe.command_stack]


@pytest.fixture
def pipe() -> redis.client.Pipeline:
    """A real pipeline; it connects when it is executed, which no test here does."""
    return redis.Redis().pipeline(transaction=False)


class TestCosts:
    def test_what_is_shared_is_read(self, pipe: redis.client.Pipeline) -> None:
        cost = SharedCost(CostParameters(0.5, 0.25, 0.125, 0.1, 1.5, 7), shared_at=12.5)
        share_cost(pipe, KEYS, {"org/name", "alias"}, cost_field("int8", "host"), cost)
        written = {command[1]: (command[2], command[3]) for command in commands(pipe) if command[0] == "HSET"}
        assert set(written) == {KEYS.cost("org/name"), KEYS.cost("alias")}
        for field, value in written.values():
            assert read_costs({field.encode(): value}) == {"int8|host": cost}
        assert {command[1:] for command in commands(pipe) if command[0] == "EXPIRE"} == {
            (key, COST_TTL_S) for key in written
        }

    def test_what_cannot_be_read_is_left_out(self, caplog: pytest.LogCaptureFixture) -> None:
        """One field of another release must not hide what all other hosts have measured."""
        cost = SharedCost(CostParameters(0.5, 0.25, 0.125), 12.5)
        record = {b"int8|a": b"rubbish", b"int8|b": wire.encode_cost(cost), b"\xff": b"", b"int8|c": b"\x93\x09"}
        assert read_costs(record) == {"int8|b": cost}

    def test_hosts_that_are_gone_are_dropped(self, pipe: redis.client.Pipeline) -> None:
        """Pods come under new names for ever."""
        cost = CostParameters(0.5, 0.25, 0.125)
        at = {b"alive": 9_999.0, b"away for a while": 10_000.0 - COST_KEPT_S, b"gone": 9_999.0 - COST_KEPT_S}
        # The server's clock has been set back meanwhile.
        at[b"of the future"] = 10_001.0 + COST_KEPT_S
        record = {host: wire.encode_cost(SharedCost(cost, shared_at)) for host, shared_at in at.items()}
        stale = stale_costs(record | {b"rubbish \xff": b"rubbish"}, now=10_000.0)
        assert sorted(stale) == [b"gone", b"of the future", b"rubbish \xff"]
        share_cost(pipe, KEYS, {"org/name", "alias"}, "int8|host", SharedCost(cost, 10_000.0), stale)
        assert {command for command in commands(pipe) if command[0] == "HDEL"} == {
            ("HDEL", KEYS.cost(name), *stale) for name in ("org/name", "alias")
        }


class TestAnnouncements:
    def test_a_pool_is_announced_under_its_models_name(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, IDENTITY, now=100.0)
        told, until = commands(pipe), 100.0 + IDENTITY_TTL_S
        record = wire.encode_identity(IDENTITY)
        assert ("SET", KEYS.identity("org/name"), record, "EX", IDENTITY_TTL_S) in told
        assert ("HSET", KEYS.pools_of("org/name"), POOL, record) in told
        assert ("EXPIRE", KEYS.pools_of("org/name"), IDENTITY_TTL_S) in told
        assert [command for command in told if command[0] == "ZADD"] == [
            ("ZADD", KEYS.models, until, "org/name"),
            ("ZADD", KEYS.pools, until, POOL),
        ]
        assert [command for command in told if command[0] == "ZREMRANGEBYSCORE"] == [
            ("ZREMRANGEBYSCORE", key, "-inf", 100.0) for key in (KEYS.models, KEYS.pools)
        ]

    def test_a_model_with_two_names_is_found_under_both(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, IDENTITY, 100.0, {IDENTITY.model, "file:/dir"})
        records = {command[1]: command[2] for command in commands(pipe) if command[0] == "SET"}
        assert set(records) == {KEYS.identity("org/name"), KEYS.identity("file:/dir")}
        assert {wire.decode_identity(record) for record in records.values()} == {IDENTITY}
        pools = {command[1] for command in commands(pipe) if command[0] == "HSET"}
        assert pools == {KEYS.pools_of("org/name"), KEYS.pools_of("file:/dir")}
        assert {command[3] for command in commands(pipe) if command[0] == "ZADD"} == {"org/name", "file:/dir", POOL}


class TestHeartbeats:
    def test_a_beat_outlives_several_of_its_intervals(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(0.0), now=100.0)
        (_, lifetimes, ends, ending), (_, key, record), *sets = commands(pipe)
        until = 100.0 + HEARTBEAT_TTL_S
        assert (key, lifetimes, ends, ending) == (KEYS.worker("w"), KEYS.lifetimes, until, key)
        alive = {command[1]: command[2:] for command in sets if command[0] == "ZADD" and command[1] != KEYS.lifetimes}
        assert alive == dict.fromkeys((KEYS.workers, KEYS.pooled, KEYS.of(POOL).workers), (until, "w"))
        assert {command[1] for command in sets if command[0] == "ZREMRANGEBYSCORE"} == set(alive)
        assert wire.decode_heartbeat(record) == heartbeat(0.0)
        assert HEARTBEAT_TTL_S >= 3 * HEARTBEAT_INTERVAL_S

    def test_the_members_of_a_pool_that_is_over_end_and_can_not_be_evicted(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(0.0), now=100.0)
        ends = {command[3]: command[2] for command in commands(pipe)[2:] if command[1] == KEYS.lifetimes}
        assert ends == dict.fromkeys((KEYS.pooled, KEYS.of(POOL).workers), 100.0 + IDENTITY_TTL_S)
        assert "EXPIRE" not in {command[0] for command in commands(pipe)}

    def test_a_worker_without_pools_counts_in_none(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(0.0, pools=()), now=100.0)
        assert {command[1] for command in commands(pipe)} == {KEYS.worker("w"), KEYS.workers, KEYS.lifetimes}

    def test_a_farewell_leaves_nothing(self, pipe: redis.client.Pipeline) -> None:
        fleet.deregister(pipe, KEYS, "w", (POOL,))
        alive = {KEYS.workers, KEYS.pooled, KEYS.of(POOL).workers}
        assert {command[1] for command in commands(pipe)} == {KEYS.worker("w"), KEYS.lifetimes, *alive}

    def test_a_dead_worker_leaves_its_pools_too(self, client: redis.Redis, keys: Keys) -> None:
        fleet.beat(told := client.pipeline(), keys, heartbeat(0.0, "dead"), now=100.0)
        fleet.beat(told, keys, heartbeat(0.0, "alive"), now=100.0)
        told.execute()
        fleet.deregister_dead(client, keys, "dead")
        for alive in (keys.workers, keys.pooled, keys.of(POOL).workers):
            assert client.zrange(alive, 0, -1) == [b"alive"]
        assert client.get(keys.worker("dead")) is None

    @pytest.mark.parametrize("record", [None, b"rubbish"])
    def test_a_dead_worker_whose_record_says_nothing_is_alive_no_more(
        self, client: redis.Redis, keys: Keys, record: bytes | None
    ) -> None:
        fleet.beat(told := client.pipeline(), keys, heartbeat(0.0, "dead"), now=100.0)
        told.execute()
        client.delete(keys.worker("dead"))
        if record is not None:
            client.set(keys.worker("dead"), record)
        fleet.deregister_dead(client, keys, "dead")
        assert client.zrange(keys.workers, 0, -1) == []
