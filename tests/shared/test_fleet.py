"""What the fleet says of itself, as far as no server is needed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared import fleet, wire
from rerank_shared.errors import UnknownModel
from rerank_shared.fleet import Backlog, FleetState, ledger_member, read_artefact
from rerank_shared.keys import ARTEFACT_TTL_S, HEARTBEAT_INTERVAL_S, HEARTBEAT_TTL_S, RATE_TTL_S, JobClass, Keys
from rerank_shared.messages import Artefact, Heartbeat

KEYS = Keys("fleet")
ARTEFACT = Artefact("org/name", "aa", "bb", "int8", "t", 512, "longest_first", "sigmoid")


def heartbeat(rate: float, worker_id: str = "w") -> Heartbeat:
    return Heartbeat(worker_id, "org/name", "host", 1, None, 0.0, rate, 0, 0)


def state(rates: list[float], tokens: dict[JobClass, int], single_rate: float = 0.0) -> FleetState:
    backlog = {job_class: Backlog(jobs=1, tokens=count, queued_jobs=0) for job_class, count in tokens.items()}
    return FleetState(tuple(map(heartbeat, rates)), backlog, single_rate)


def commands(pipe: redis.client.Pipeline) -> list[tuple[Any, ...]]:
    return [args for args, _ in pipe.command_stack]


@pytest.fixture
def pipe() -> redis.client.Pipeline:
    """A real pipeline; it connects when it is executed, which no test here does."""
    return redis.Redis().pipeline(transaction=False)


@pytest.mark.parametrize(
    ("rates", "tokens", "single_rate", "seconds"),
    [
        ([], {"interactive": 0, "bulk": 0}, 0.0, 0.0),
        ([1000.0, 3000.0], {"interactive": 2000, "bulk": 6000}, 500.0, 2.0),
        # No process alive: what one would need, by the last measurement.
        ([], {"interactive": 1000, "bulk": 0}, 500.0, 2.0),
        ([], {"interactive": 1, "bulk": 0}, 0.0, math.inf),
        # Alive, and has measured nothing yet.
        ([0.0], {"interactive": 1000, "bulk": 0}, 500.0, 2.0),
    ],
)
def test_predicted_drain(rates: list[float], tokens: dict[JobClass, int], single_rate: float, seconds: float) -> None:
    assert state(rates, tokens, single_rate).predicted_drain_s == seconds


@given(st.integers(0, 100), st.integers(0, 100))
def test_jobs_are_queued_or_held(jobs: int, queued: int) -> None:
    backlog = Backlog(jobs=jobs, tokens=0, queued_jobs=queued)
    assert backlog.held_jobs >= 0
    assert backlog.held_jobs + min(queued, jobs) == jobs


@given(st.text(), st.integers(0, 10**9))
def test_a_job_s_tokens_are_read_from_its_entry(job_id: str, tokens: int) -> None:
    assert ledger_member(job_id, tokens).rpartition("|")[::2] == (job_id, str(tokens))


class TestArtefacts:
    def test_what_is_announced_is_read(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, ARTEFACT, now=100.0)
        (_, key, record, *life), (_, models, until, model) = commands(pipe)
        assert (key, models) == (KEYS.artefact("org/name"), KEYS.models)
        assert life == ["EX", ARTEFACT_TTL_S]
        assert (until, model) == (100.0 + ARTEFACT_TTL_S, "org/name")
        assert read_artefact([record, [b"org/name"]], "org/name") == ARTEFACT

    def test_a_model_with_two_names_is_found_under_both(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, ARTEFACT, 100.0, "file:/dir")
        records = {command[1]: command[2] for command in commands(pipe) if command[0] == "SET"}
        assert set(records) == {KEYS.artefact("org/name"), KEYS.artefact("file:/dir")}
        assert {wire.decode_artefact(record) for record in records.values()} == {ARTEFACT}
        assert {command[3] for command in commands(pipe) if command[0] == "ZADD"} == {"org/name", "file:/dir"}

    def test_an_alias_that_is_the_name_is_said_once(self, pipe: redis.client.Pipeline) -> None:
        fleet.announce(pipe, KEYS, ARTEFACT, 100.0, ARTEFACT.model)
        assert len(commands(pipe)) == 2

    def test_a_model_that_nobody_serves_is_told_with_those_that_are(self) -> None:
        with pytest.raises(UnknownModel, match=r"'org/name'.*serves a/b, c/d"):
            read_artefact([None, [b"c/d", b"a/b"]], "org/name")

    def test_an_empty_fleet_is_no_mistake(self) -> None:
        assert read_artefact([None, []], "org/name") is None

    def test_questions_come_in_the_order_of_their_answers(self, pipe: redis.client.Pipeline) -> None:
        fleet.ask_artefact(pipe, KEYS, "org/name", now=7.0)
        (get, *_), (served, *_) = (command for command in commands(pipe))
        assert (get, served) == ("GET", "ZRANGEBYSCORE")
        assert 7.0 in commands(pipe)[1]


class TestHeartbeats:
    def test_a_beat_outlives_several_of_its_intervals(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(0.0), now=100.0)
        (_, key, record, *life), (_, workers, until, worker_id), (sweep, *_) = commands(pipe)
        assert (key, workers) == (KEYS.worker("w"), KEYS.workers)
        assert life == ["EX", HEARTBEAT_TTL_S]
        assert (until, worker_id) == (100.0 + HEARTBEAT_TTL_S, "w")
        assert sweep == "ZREMRANGEBYSCORE"
        assert wire.decode_heartbeat(record) == heartbeat(0.0)
        assert HEARTBEAT_TTL_S >= 3 * HEARTBEAT_INTERVAL_S

    def test_only_a_measured_rate_is_kept(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(0.0), now=0.0)
        assert not any(KEYS.rate("org/name") in command for command in commands(pipe))
        fleet.beat(pipe, KEYS, heartbeat(1234.5), now=0.0)
        assert ("SET", KEYS.rate("org/name"), 1234.5, "EX", RATE_TTL_S) in commands(pipe)

    def test_the_rate_is_kept_under_both_names(self, pipe: redis.client.Pipeline) -> None:
        fleet.beat(pipe, KEYS, heartbeat(1234.5), 0.0, "file:/dir")
        for name in ("org/name", "file:/dir"):
            assert ("SET", KEYS.rate(name), 1234.5, "EX", RATE_TTL_S) in commands(pipe)

    def test_a_farewell_leaves_nothing(self, pipe: redis.client.Pipeline) -> None:
        fleet.retire(pipe, KEYS, "w")
        assert {command[1] for command in commands(pipe)} == {KEYS.worker("w"), KEYS.workers}
