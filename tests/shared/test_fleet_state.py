"""The state of a fleet: what is read of it, as a whole and by pool."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.fleet_state import Backlog, FleetState, PoolState, StateQuestions, read_state
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.backlog import sums_of
from rerank_shared.scheduling.cost import CostParameters, SharedCost, Work
from support.pools import IDENTITY

KEYS = Keys("fleet")


def heartbeat(rate: float, worker_id: str = "w", *pools: str) -> Heartbeat:
    return Heartbeat(worker_id, "org/name", "host", 1, None, 0.0, rate, 0, 0, pools=pools)


def queue(pool: str, workers: int, tokens: dict[JobClass, int], token_s: float | None = None) -> PoolState:
    backlog = {each: Backlog(bool(tokens.get(each)), Work(tokens=tokens.get(each, 0)), 0) for each in JOB_CLASSES}
    cost = None if token_s is None else CostParameters(0.0, token_s, 0.0)
    return PoolState(pool, (heartbeat(1_000.0),) * workers, backlog, cost)


def state(workers: int, tokens: dict[JobClass, int], token_s: float | None = None) -> FleetState:
    common = queue("", workers, tokens, token_s)
    return FleetState(common.workers, (common,))


@pytest.mark.parametrize(
    ("workers", "tokens", "token_s", "seconds"),
    [
        (0, {"interactive": 0, "bulk": 0}, None, 0.0),
        (2, {"interactive": 2_000, "bulk": 6_000}, 0.001, 4.0),
        # No process alive: what one would need, by the last measurement.
        (0, {"interactive": 1_000, "bulk": 0}, 0.002, 2.0),
        (0, {"interactive": 1, "bulk": 0}, None, math.inf),
    ],
)
def test_predicted_drain(workers: int, tokens: dict[JobClass, int], token_s: float | None, seconds: float) -> None:
    assert state(workers, tokens, token_s).predicted_drain_s == pytest.approx(seconds)


def test_drain_of_one_class() -> None:
    assert state(1, {"interactive": 2_000, "bulk": 6_000}, 0.001).drain_s("interactive") == pytest.approx(2.0)


class TestPools:
    def test_they_drain_side_by_side(self) -> None:
        fast, slow = queue("fa", 2, {"interactive": 8_000}, 0.001), queue("51", 1, {"bulk": 1_000}, 0.009)
        common = queue("", 3, {"interactive": 600}, 0.001)
        found = FleetState(common.workers, (common, fast, slow))
        assert found.predicted_drain_s == pytest.approx(9.0 + 0.2)
        assert found.drain_s("interactive") == pytest.approx(4.0 + 0.2)
        assert found.work_s("interactive", "bulk") == pytest.approx(8.0 + 9.0 + 0.6)

    def test_an_idle_one_does_not_wait_for_a_busy_one(self) -> None:
        """A fast model beside a slow one that is behind: each has a drain of its own."""
        fast, slow = queue("fa", 1, {}, 0.001), queue("51", 1, {"bulk": 60_000}, 0.001)
        assert fast.drain_s(*JOB_CLASSES) == 0.0
        assert slow.drain_s(*JOB_CLASSES) == pytest.approx(60.0)

    def test_the_backlog_of_all_is_their_sum(self) -> None:
        parts = (queue("", 0, {"bulk": 5}), queue("a", 0, {"bulk": 7}), queue("b", 0, {"interactive": 1}))
        backlog = FleetState((), parts).backlog
        assert {each: (found.jobs, found.tokens) for each, found in backlog.items()} == {
            "interactive": (1, 1),
            "bulk": (2, 12),
        }

    def test_those_without_processes_and_work_are_not_shown(self) -> None:
        over, waiting, alive = queue("a", 0, {}), queue("b", 0, {"bulk": 1}), queue("c", 1, {})
        assert FleetState((), (queue("", 1, {}), over, waiting, alive)).pools == (waiting, alive)


@given(st.integers(0, 100), st.integers(0, 100))
def test_jobs_are_queued_or_held(jobs: int, queued: int) -> None:
    backlog = Backlog(jobs=jobs, work=Work(), queued_jobs=queued)
    assert backlog.held_jobs >= 0
    assert backlog.held_jobs + min(queued, jobs) == jobs


class TestReading:
    @staticmethod
    def read(
        *interactive: bytes,
        lines: dict[bytes, bytes] | None = None,
        alive: tuple[bytes | None, ...] = (),
        costs: Any = None,
        announced: dict[str, dict[bytes, bytes]] | None = None,
    ) -> FleetState:
        """The state of a fleet whose common queue and pool `ab` have these entries of class interactive, or `lines`."""
        queue = [1, 0, sums_of(interactive) if lines is None else lines, {}]
        told = announced or {}
        answers = [*alive, *told.values(), costs or {}, *queue, {}, *queue]
        first = ([b"w"] * len(alive), [b"ab"], [name.encode() for name in told])
        return StateQuestions(KEYS, "org/name", 0.0).read(first, answers)

    def test_every_question_has_its_answer(self) -> None:
        pipe = redis.Redis().pipeline(transaction=False)
        StateQuestions(KEYS, "org/name", 7.0).ask(pipe, ([b"w"], [b"ab"], [b"org/name"]))
        names = [str(args[3] if args[0] == "EVAL" else args[1]) for args, _ in pipe.command_stack]
        assert names[:3] == [KEYS.worker("w"), KEYS.pools_of("org/name"), KEYS.cost("org/name")]
        assert len(names) == 2 + 2 * 5
        assert all(KEYS.of("ab").queue("interactive")[5:] in name for name in names[8:] if "interactive" in name)
        assert names[7] == KEYS.cost("ab")

    def test_the_oldest_job_is_the_one_enqueued_first(self) -> None:
        found = self.read(b"a|@50.000|1|1|1|9", b"b|@40.000|1|1|1|9", b"older|1|1|1|9")
        assert found.backlog["interactive"].oldest_at == 40.0
        assert found.backlog["interactive"].oldest_age_s(now=100.0) == 60.0
        # Another host's clock may be ahead.
        assert found.backlog["interactive"].oldest_age_s(now=39.0) == 0.0
        assert found.backlog["bulk"].oldest_age_s(now=100.0) is None

    def test_jobs_that_do_not_say_since_when_have_no_age(self) -> None:
        (backlog,) = (each.backlog["interactive"] for each in self.read(b"older|70|1|1|9").pools)
        assert (backlog.jobs, backlog.tokens, backlog.oldest_at) == (1, 70, None)

    def test_a_worker_whose_record_has_run_out_is_not_alive(self) -> None:
        found = self.read(alive=(wire.encode_heartbeat(heartbeat(5.0)), None))
        assert found.workers == (heartbeat(5.0),)

    def test_a_worker_is_in_its_pools(self) -> None:
        mine, other = heartbeat(5.0, "w", "ab"), heartbeat(5.0, "v", "cd")
        found = self.read(alive=(wire.encode_heartbeat(mine), wire.encode_heartbeat(other)))
        assert [(each.id, each.workers) for each in found.queues] == [("", (mine, other)), ("ab", (mine,))]

    def test_a_pool_has_the_name_of_its_model_and_not_of_its_process(self) -> None:
        """A process of several models tells one name, that of the first."""
        beat = replace(heartbeat(5.0, "w", "ab"), model="org/first")
        small = replace(IDENTITY, model="org/small")
        announced = {
            "org/name": {b"cd": wire.encode_identity(IDENTITY)},
            "org/small": {b"ab": wire.encode_identity(small)},
        }
        found = self.read(alive=(wire.encode_heartbeat(beat),), announced=announced)
        assert [(each.model, each.identity) for each in found.queues] == [(None, None), ("org/small", small)]

    def test_of_two_exports_of_one_model_each_has_a_name_of_its_own(self) -> None:
        mine, other = (wire.encode_identity(replace(IDENTITY, precision=each)) for each in ("fp32", "int8"))
        announced = {"org/name": {b"cd": other}, "file:int8": {b"cd": other}, "file:fp32": {b"ab": mine}}
        assert self.read(announced=announced).queues[1].model == "file:fp32"

    @pytest.mark.parametrize("announced", [{}, {"m": {}}, {"m": {b"ab": b"rubbish"}}])
    def test_a_pool_that_is_not_announced_has_no_name(self, announced: dict[str, dict[bytes, bytes]]) -> None:
        assert [each.model for each in self.read(announced=announced).queues] == [None, None]

    def test_a_pool_that_has_measured_nothing_costs_what_its_name_costs(self) -> None:
        cost = SharedCost(CostParameters(0.5, 0.25, 0.125), 12.5)
        found = self.read(costs={b"int8|host": wire.encode_cost(cost)})
        assert [each.cost for each in found.queues] == [cost.parameters] * 2

    def test_what_cannot_be_read_hides_nothing_else(self) -> None:
        garbled = (
            b"rubbish",
            b"\xff\xfe",
            b"1|nan|1|1|1|9|9",
            b"1|1|inf|1|1|9|9",
            b"1|-5|1|1|1|9|9",
            b"x|y|z|rubbish|",
        )
        lines = {b"9": b"1|1|70|1|0|9|9"} | {b"%d" % number: line for number, line in enumerate(garbled)}
        alive = (wire.encode_heartbeat(heartbeat(5.0)), b"rubbish")
        found = self.read(lines=lines, alive=alive, costs={b"int8|host": b"rubbish"})
        assert found.workers == (heartbeat(5.0),)
        # They are jobs all the same, and nobody knows of how much work.
        backlog = found.pools[0].backlog["interactive"]
        assert (backlog.jobs, backlog.tokens) == (1 + len(garbled), 70)
        assert (found.cost, found.predicted_drain_s) == (None, math.inf)

    def test_an_empty_server_has_no_fleet(self, client: redis.Redis, keys: Keys) -> None:
        found = read_state(client, keys, "org/name")
        assert (found.workers, found.pools, found.predicted_drain_s) == ((), (), 0.0)
