"""What the fleet says of itself, as far as no server is needed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.errors import UnknownModel
from rerank_shared.fleet import (
    STATE_ANSWERS,
    Backlog,
    FleetState,
    cost_field,
    read_costs,
    read_identity,
    share_cost,
    stale_costs,
    state_of,
)
from rerank_shared.keys import (
    COST_KEPT_S,
    COST_TTL_S,
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_TTL_S,
    IDENTITY_TTL_S,
    JobClass,
    Keys,
)
from rerank_shared.scheduling.cost import CostParameters, SharedCost, Work

KEYS = Keys("fleet")
IDENTITY = ScoringIdentity("org/name", "aa", "bb", "int8", "t", 512, "longest_first", "sigmoid")


def heartbeat(rate: float, worker_id: str = "w") -> Heartbeat:
    return Heartbeat(worker_id, "org/name", "host", 1, None, 0.0, rate, 0, 0)


def state(workers: int, tokens: dict[JobClass, int], token_s: float | None = None) -> FleetState:
    backlog = {job_class: Backlog(1, Work(tokens=count), 0) for job_class, count in tokens.items()}
    cost = None if token_s is None else CostParameters(0.0, token_s, 0.0)
    return FleetState((heartbeat(1_000.0),) * workers, backlog, cost)


def commands(pipe: redis.client.Pipeline) -> list[tuple[Any, ...]]:
    return [args for args, _ in pipe.command_stack]


@pytest.fixture
def pipe() -> redis.client.Pipeline:
    """A real pipeline; it connects when it is executed, which no test here does."""
    return redis.Redis().pipeline(transaction=False)


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


@given(st.integers(0, 100), st.integers(0, 100))
def test_jobs_are_queued_or_held(jobs: int, queued: int) -> None:
    backlog = Backlog(jobs=jobs, work=Work(), queued_jobs=queued)
    assert backlog.held_jobs >= 0
    assert backlog.held_jobs + min(queued, jobs) == jobs


class TestArtefacts:
    def test_what_is_announced_is_read(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, IDENTITY, now=100.0)
        (_, key, record, *life), (_, models, until, model), sweep = commands(pipe)
        assert sweep == ("ZREMRANGEBYSCORE", KEYS.models, "-inf", 100.0)
        assert (key, models) == (KEYS.identity("org/name"), KEYS.models)
        assert life == ["EX", IDENTITY_TTL_S]
        assert (until, model) == (100.0 + IDENTITY_TTL_S, "org/name")
        assert read_identity([record, [b"org/name"]], "org/name") == IDENTITY

    def test_a_model_with_two_names_is_found_under_both(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, IDENTITY, 100.0, {IDENTITY.model, "file:/dir"})
        records = {command[1]: command[2] for command in commands(pipe) if command[0] == "SET"}
        assert set(records) == {KEYS.identity("org/name"), KEYS.identity("file:/dir")}
        assert {wire.decode_identity(record) for record in records.values()} == {IDENTITY}
        assert {command[3] for command in commands(pipe) if command[0] == "ZADD"} == {"org/name", "file:/dir"}

    def test_a_model_that_nobody_serves_is_told_with_those_that_are(self) -> None:
        with pytest.raises(UnknownModel, match=r"'org/name'.*serves a/b, c/d"):
            read_identity([None, [b"c/d", b"a/b"]], "org/name")
        with pytest.raises(UnknownModel, match=r"serves org/main, org/other; did you mean org/main\?$"):
            read_identity([None, [b"org/other", b"org/main"]], "org/mian")

    def test_an_empty_fleet_is_no_mistake(self) -> None:
        assert read_identity([None, []], "org/name") is None

    def test_an_announcement_that_a_full_server_evicted_is_no_other_model(self) -> None:
        assert read_identity([None, [b"c/d", b"org/name"]], "org/name") is None

    def test_questions_come_in_the_order_of_their_answers(self, pipe: redis.client.Pipeline) -> None:
        fleet.ask_identity(pipe, KEYS, "org/name", now=7.0)
        (get, *_), (served, *_) = (command for command in commands(pipe))
        assert (get, served) == ("GET", "ZRANGEBYSCORE")
        assert 7.0 in commands(pipe)[1]


class TestHeartbeats:
    def test_a_beat_outlives_several_of_its_intervals(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(0.0), now=100.0)
        (_, lifetimes, ends, ending), (_, key, record), (_, workers, until, worker_id), (sweep, *_) = commands(pipe)
        assert (key, workers, lifetimes) == (KEYS.worker("w"), KEYS.workers, KEYS.lifetimes)
        assert (until, worker_id) == (100.0 + HEARTBEAT_TTL_S, "w")
        assert (ends, ending) == (until, key)
        assert sweep == "ZREMRANGEBYSCORE"
        assert wire.decode_heartbeat(record) == heartbeat(0.0)
        assert HEARTBEAT_TTL_S >= 3 * HEARTBEAT_INTERVAL_S

    def test_a_farewell_leaves_nothing(self, pipe: redis.client.Pipeline) -> None:
        fleet.deregister(pipe, KEYS, "w")
        assert {command[1] for command in commands(pipe)} == {KEYS.worker("w"), KEYS.workers, KEYS.lifetimes}


class TestState:
    @staticmethod
    def answers(*interactive: bytes, alive: tuple[bytes, ...] = ()) -> list[Any]:
        return [list(alive), {}, 1, 0, 0, list(interactive), 0, []]

    def test_every_question_has_its_answer(self, pipe: redis.client.Pipeline) -> None:
        fleet.ask_state(pipe, KEYS, "org/name", now=7.0)
        assert len(commands(pipe)) == STATE_ANSWERS == len(self.answers())

    def test_the_oldest_job_is_the_one_enqueued_first(self) -> None:
        found = state_of(self.answers(b"a|@50.000|1|1|1|9", b"b|@40.000|1|1|1|9", b"older|1|1|1|9"), [], 0.0)
        assert found.backlog["interactive"].oldest_at == 40.0
        assert found.backlog["interactive"].oldest_age_s(now=100.0) == 60.0
        # Another host's clock may be ahead.
        assert found.backlog["interactive"].oldest_age_s(now=39.0) == 0.0
        assert found.backlog["bulk"].oldest_age_s(now=100.0) is None

    def test_jobs_that_do_not_say_since_when_have_no_age(self) -> None:
        backlog = state_of(self.answers(b"older|70|1|1|9", b"oldest|70"), [], 0.0).backlog["interactive"]
        assert (backlog.jobs, backlog.tokens, backlog.oldest_at) == (2, 140, None)

    def test_a_worker_whose_record_has_run_out_is_not_alive(self) -> None:
        answers = self.answers(alive=(b"w", b"gone"))
        assert fleet.heartbeat_keys(KEYS, answers) == [KEYS.worker("w"), KEYS.worker("gone")]
        assert state_of(answers, [wire.encode_heartbeat(heartbeat(5.0)), None], 0.0).workers == (heartbeat(5.0),)

    def test_what_cannot_be_read_hides_nothing_else(self) -> None:
        garbled = (b"rubbish", b"\xff\xfe", b"a|nan|1|1|9", b"a|@1.000|1|inf|1|9", b"a|-5|1|1|9", b"x|y|z|rubbish|")
        answers = self.answers(b"good|70|1|1|9", *garbled, alive=(b"w", b"\xff"))
        answers[1] = {b"int8|host": b"rubbish"}
        found = state_of(answers, [wire.encode_heartbeat(heartbeat(5.0)), b"rubbish"], 0.0)
        assert found.workers == (heartbeat(5.0),)
        # They are jobs all the same, and nobody knows of how much work.
        assert (found.backlog["interactive"].jobs, found.backlog["interactive"].tokens) == (1 + len(garbled), 70)
        assert (found.cost, found.predicted_drain_s) == (None, math.inf)
