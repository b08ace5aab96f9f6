"""Bytes: every message survives the round trip, and other releases read and write the same."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgpack
import pytest
from celery.exceptions import TaskRevokedError
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.contract import wire
from rerank_shared.contract.messages import (
    Fusion,
    Heartbeat,
    Job,
    Outcome,
    PairClaim,
    RouteRecord,
    Score,
    StoredRequest,
)
from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import (
    BY_CODE,
    InternalError,
    JobRevoked,
    MalformedMessage,
    Overloaded,
    RerankError,
    UnsupportedVersion,
)
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import load_settings
from support.messages import (
    ARTEFACT_FIELDS,
    EVERY_KIND,
    IDENTITY,
    JOB_FIELDS,
    KINDS,
    anything,
    encode_outcome,
    jobs,
    logits,
    outcomes,
    scores,
)


@EVERY_KIND
@given(data=st.data())
def test_messages_survive_the_round_trip(kind: str, data: st.DataObject) -> None:
    value = data.draw(KINDS[kind].values)
    assert KINDS[kind].decode(KINDS[kind].encode(value)) == value


def test_a_request_that_an_earlier_release_submitted_came_by_no_route() -> None:
    fields = ["j", "bulk", "m", ["a"], [], [0], None, 1.0, 2.0, ARTEFACT_FIELDS, "own", "e", None]
    found = wire.decode_stored_request(msgpack.packb([1, "submitted", fields]))
    assert (found.route, found.route_version) == (None, None)


@given(outcomes)
def test_an_outcome_survives_the_result_backend(outcome: Outcome) -> None:
    plain = msgpack.unpackb(encode_outcome(outcome), strict_map_key=False)
    assert wire.outcome_from_plain(plain) == outcome
    assert plain["complete"] == outcome.complete == (None not in outcome.scores)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (
            "job",
            Job(
                "j", "bulk", "m", "q", ("text", TokenIds.of([7])), 512, 1.0, 2.5, attempt=2, tokens=70,
                tokenizer_digest="t", tenant="own", partial=False, pairs=2, tokens_longest=900, due_at=3.0,
                cache_scope="tenant", pool="ab",
            ),
            [3, "job", JOB_FIELDS],
        ),
        ("texts", ("text", TokenIds.of([7])), [2, "texts", ["text", b"\7\0\0\0"]]),
        ("artefact", IDENTITY, [1, "artefact", ARTEFACT_FIELDS]),
        (
            "heartbeat",
            Heartbeat("w", "m", "h", 7, None, started_at=1.0, tokens_per_s=2.0, held_jobs=3, held_tokens=4,
                      pairs_per_batch=5.0, pools=("ab", "cd")),
            [1, "heartbeat", ["w", "m", "h", 7, None, 1.0, 2.0, 3, 4, 5.0, ["ab", "cd"]]],
        ),
        (
            "cost",
            SharedCost(CostParameters(run_s=0.5, token_s=0.25, token_longest_s=0.125, error_ratio=0.0, p99_ratio=1.5,
                                      observations=9), shared_at=12.5),
            [1, "cost", [0.5, 0.25, 0.125, 0.0, 1.5, 9.0, 12.5]],
        ),
        ("claim", PairClaim(job_id="j", until=1.5), [1, "claim", ["j", 1.5]]),
        (
            "submitted",
            StoredRequest(
                "j", "bulk", "m", ids=("a", None), hits={0: Score(0.5, 9, True)}, misses=(1,), top_n=None,
                submitted_at=1.0, deadline_at=2.0, identity=IDENTITY, tenant="own", entry="e",
                fusion=Fusion("weighted", 0.5, (7.5, None), "ascending", 0.25, 31, "bm25", "key"),
                route="search", route_version=3, pool="ab",
            ),
            [4, "submitted", ["j", "bulk", "m", ["a", None], [[0, 0.5, 9, True]], [1], None, 1.0, 2.0,
                              ARTEFACT_FIELDS, "own", "e",
                              ["weighted", 0.5, [7.5, None], "ascending", 0.25, 31, "bm25", "key"], "search", 3, "ab"]],
        ),
        (
            "route",
            RouteRecord("search", 3, '{"shares": {"m": 1.0}}', "file", "host", 1.5, "digest"),
            [1, "route", ["search", 3, '{"shares": {"m": 1.0}}', "file", "host", 1.5, "digest"]],
        ),
    ],
)  # fmt: skip
def test_bytes_are_what_other_releases_read_and_write(kind: str, value: Any, message: list[Any]) -> None:
    """The dataclass gives the order of the wire, so that a field out of its place would be another message."""
    assert KINDS[kind].encode(value) == msgpack.packb(message)
    assert KINDS[kind].decode(msgpack.packb(message)) == value


@given(jobs)
def test_only_what_needs_a_newer_version_is_written_in_it(job: Job) -> None:
    documents = job.documents or ()
    newest = 2 if any(isinstance(document, TokenIds) for document in documents) else 1
    assert msgpack.unpackb(wire.encode_texts(documents))[0] == newest
    # A worker that does not know whose scores are whose must not score it.
    assert msgpack.unpackb(wire.encode_job(job))[0] == (3 if job.cache_scope == "tenant" else newest)
    assert msgpack.unpackb(wire.encode_heartbeat(Heartbeat("", "", "", 1, None, 0.0, 0.0, 0, 0)))[0] == 1


def test_a_heartbeat_written_before_batches_were_counted_is_read() -> None:
    fields: list[Any] = ["w", "org/name", "host", 7, None, 1.0, 2.0, 3, 4]
    beat = wire.decode_heartbeat(msgpack.packb([1, "heartbeat", fields]))
    assert beat == Heartbeat("w", "org/name", "host", 7, None, 1.0, 2.0, 3, 4, pairs_per_batch=0.0)


def test_a_job_written_before_ids_could_be_documents_is_read() -> None:
    fields: list[Any] = ["job", "bulk", "model", "query", ["text"], 512, 1.0, 2.0, 1, 7]
    job = wire.decode_job(msgpack.packb([1, "job", fields]))
    assert (job.documents, job.tokenizer_digest) == (("text",), None)


class TestRecords:
    """What the result backend stores, made by the real backend without a server."""

    @staticmethod
    def record(result: Any, state: str, job_id: str = "job-1") -> bytes:
        backend = make_celery(load_settings()).backend
        result = backend.encode_result(result, state)
        meta = backend._get_result_meta(result=result, state=state, traceback="tb", request=None)
        data = backend.encode(meta | {"task_id": job_id})
        return data if isinstance(data, bytes) else data.encode()

    @given(outcomes)
    def test_success(self, outcome: Outcome) -> None:
        record = self.record(wire.outcome_to_plain(outcome), "SUCCESS")
        assert wire.decode_record(record) == ("job-1", outcome)

    @pytest.mark.parametrize("cls", BY_CODE.values())
    def test_failure_keeps_class_and_message(self, cls: type[RerankError]) -> None:
        job_id, error = wire.decode_record(self.record(cls("max_length: zu groß"), "FAILURE"))
        assert job_id == "job-1"
        assert type(error) is cls
        assert error.message == "max_length: zu groß"

    def test_an_error_of_anybody_else_is_internal(self) -> None:
        _, error = wire.decode_record(self.record(KeyError("token_ids"), "FAILURE"))
        assert type(error) is InternalError
        assert "KeyError" in error.message
        assert "token_ids" in error.message

    def test_revoked(self) -> None:
        _, error = wire.decode_record(self.record(TaskRevokedError("terminated"), "REVOKED"))
        assert type(error) is JobRevoked

    def test_success_without_an_outcome_is_told_to_the_job(self) -> None:
        job_id, error = wire.decode_record(self.record({"version": 99}, "SUCCESS"))
        assert job_id == "job-1"
        assert type(error) is UnsupportedVersion

    @given(st.binary(max_size=60) | anything.map(msgpack.packb))
    def test_garbage_is_malformed(self, data: bytes) -> None:
        with pytest.raises(MalformedMessage):
            wire.decode_record(data)

    @given(anything, anything, anything)
    def test_garbage_in_a_record_reaches_its_job_as_an_error(self, job_id: Any, status: Any, result: Any) -> None:
        data = msgpack.packb({"task_id": job_id, "status": status, "result": result})
        if not isinstance(job_id, str):
            with pytest.raises(MalformedMessage):
                wire.decode_record(data)
            return
        for record in (data, msgpack.packb({"task_id": job_id, "status": "SUCCESS", "result": result})):
            found, error = wire.decode_record(record)
            assert found == job_id
            assert isinstance(error, RerankError)


class TestScores:
    """The seven bytes in the cache."""

    @given(scores)
    def test_float32_is_exact(self, score: Score) -> None:
        data = wire.encode_score(score)
        assert len(data) == 7
        assert wire.decode_score(data) == score

    @given(logits, st.integers(0x10000, 2**40), st.booleans())
    def test_tokens_saturate(self, logit: float, tokens: int, truncated: bool) -> None:
        assert wire.decode_score(wire.encode_score(Score(logit, tokens, truncated))) == Score(logit, 0xFFFF, truncated)

    @given(st.sampled_from([math.nan, math.inf, -math.inf]))
    def test_what_is_no_number_is_a_miss(self, logit: float) -> None:
        assert wire.decode_score(struct.pack("<fHB", logit, 1, 0)) is None

    @given(st.binary(max_size=12))
    def test_other_bytes_are_a_miss_or_a_finite_score(self, data: bytes) -> None:
        score = wire.decode_score(data)
        assert (score is None) or (len(data) == 7 and math.isfinite(score.logit))


class TestRefusals:
    def read(self, parts: Any) -> RerankError | Outcome:
        result = {"exc_type": "Overloaded", "exc_message": parts, "exc_module": "rerank_shared.errors"}
        return wire.decode_record(msgpack.packb({"task_id": "a", "status": "FAILURE", "result": result}))[1]

    def test_a_refusal_keeps_its_figures(self) -> None:
        error = self.read(list(Overloaded("busy", 1_500.0, 2.5).args))
        assert isinstance(error, Overloaded)
        assert (str(error), error.message) == ("busy", "busy")
        assert (error.predicted_wait_ms, error.retry_after_s) == (1_500.0, 2.5)

    @pytest.mark.parametrize("parts", [[], ["busy"], ["busy", "long", 1.0], [1, 2.0, 3.0], ["busy", math.inf, 1.0]])
    def test_a_garbled_refusal_is_told_as_one(self, parts: list[Any]) -> None:
        assert isinstance(self.read(parts), MalformedMessage)
