"""Bytes: every message survives the round trip, and no bytes at all raise anything but a WireError."""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

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
    Score,
    ScoringIdentity,
    Stages,
    StoredRequest,
)
from rerank_shared.contract.token_ids import ID_MAX, TokenIds
from rerank_shared.errors import (
    BY_CODE,
    InternalError,
    JobRevoked,
    MalformedMessage,
    Overloaded,
    RerankError,
    UnsupportedVersion,
    WireError,
)
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.settings import load_settings

texts = st.text(max_size=20)
counts = st.integers(0, 2**31)
times = st.floats(0, 1e12)
logits = st.floats(width=32, allow_nan=False, allow_infinity=False)
contents = texts | st.lists(st.integers(0, ID_MAX), max_size=4).map(TokenIds.of)
classes = st.sampled_from(["interactive", "bulk"])

scores = st.builds(Score, logit=logits, tokens=st.integers(0, 0xFFFF), truncated=st.booleans())
identities = st.builds(
    ScoringIdentity,
    model=texts, model_digest=texts, tokenizer_digest=texts, precision=texts, template=texts,
    max_length=counts, truncation=texts, activation=texts,
)  # fmt: skip
jobs = st.builds(
    Job,
    job_id=texts, job_class=classes, model=texts, query=texts,
    documents=st.none() | st.lists(contents, max_size=4).map(tuple),
    max_length=st.none() | counts, enqueued_at=times, deadline_at=times, attempt=counts, tokens=counts,
    tokenizer_digest=st.none() | texts, tenant=texts, partial=st.booleans(), pairs=counts, tokens_longest=counts,
    due_at=times, cache_scope=st.sampled_from(["fleet", "tenant"]),
)  # fmt: skip
ratios = st.floats(0, 1e6)
costs = st.builds(
    CostParameters, run_s=ratios, token_s=ratios, token_longest_s=ratios, error_ratio=ratios,
    p99_ratio=st.floats(1, 1e6), observations=counts,
)  # fmt: skip
outcomes = st.builds(
    Outcome,
    job_id=texts,
    scores=st.lists(st.none() | scores, max_size=5).map(tuple),
    identity=identities,
    worker=texts,
    stages=st.builds(Stages, times, times, times, times),
    batch_pairs=st.lists(counts, max_size=3).map(tuple),
)
heartbeats = st.builds(
    Heartbeat,
    worker_id=texts, model=texts, host=texts, pid=counts, core=st.none() | counts,
    started_at=times, tokens_per_s=times, held_jobs=counts, held_tokens=counts,
    pairs_per_batch=times,
)  # fmt: skip
fusions = st.builds(
    Fusion,
    method=st.sampled_from(["weighted", "zscore", "rrf"]), weight=st.floats(0, math.inf),
    scores=st.lists(st.none() | times, max_size=3).map(tuple),
    order=st.sampled_from(["descending", "ascending"]), ratio=st.none() | times,
    learned_requests=st.none() | counts, first_stage=texts,
)  # fmt: skip
submitted = st.builds(
    StoredRequest,
    job_id=texts, job_class=classes, model=texts,
    ids=st.lists(st.none() | texts, max_size=3).map(tuple),
    hits=st.dictionaries(st.integers(0, 1000), scores, max_size=3),
    misses=st.lists(counts, max_size=3).map(tuple),
    top_n=st.none() | counts, submitted_at=times, deadline_at=times, identity=st.none() | identities,
    tenant=texts, entry=texts, fusion=st.none() | fusions,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of message: how it is made, written and read."""

    values: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _encode_outcome(outcome: Outcome) -> bytes:
    data: bytes = msgpack.packb(wire.outcome_to_plain(outcome))
    return data


KINDS = {
    "job": Kind(jobs, wire.encode_job, wire.decode_job),
    "texts": Kind(st.lists(contents).map(tuple), wire.encode_texts, wire.decode_texts),
    "artefact": Kind(identities, wire.encode_identity, wire.decode_identity),
    "heartbeat": Kind(heartbeats, wire.encode_heartbeat, wire.decode_heartbeat),
    "cost": Kind(costs, wire.encode_cost, wire.decode_cost),
    "claim": Kind(st.builds(PairClaim, texts, times), wire.encode_pair_claim, wire.decode_pair_claim),
    "submitted": Kind(submitted, wire.encode_stored_request, wire.decode_stored_request),
}
ENVELOPED = [name for name in KINDS if name != "texts"]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)

words = st.text(max_size=5)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | words | st.binary(max_size=5)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(words | st.integers(0, 9), inner, max_size=4),
    max_leaves=12,
)


@EVERY_KIND
@given(data=st.data())
def test_messages_survive_the_round_trip(kind: str, data: st.DataObject) -> None:
    value = data.draw(KINDS[kind].values)
    assert KINDS[kind].decode(KINDS[kind].encode(value)) == value


@given(outcomes)
def test_an_outcome_survives_the_result_backend(outcome: Outcome) -> None:
    plain = msgpack.unpackb(_encode_outcome(outcome), strict_map_key=False)
    assert wire.outcome_from_plain(plain) == outcome
    assert plain["complete"] == outcome.complete == (None not in outcome.scores)


IDENTITY = ScoringIdentity("m", "d", "t", "int8", "bert", 512, "longest_first", "sigmoid")
ARTEFACT_FIELDS = ["m", "d", "t", "int8", "bert", 512, "longest_first", "sigmoid"]
JOB_FIELDS: list[Any] = [
    "j", "bulk", "m", "q", ["text", b"\7\0\0\0"], 512, 1.0, 2.5, 2, 70, "t", "own", False, 2, 900, 3.0, "tenant",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (
            "job",
            Job(
                "j", "bulk", "m", "q", ("text", TokenIds.of([7])), 512, 1.0, 2.5, attempt=2, tokens=70,
                tokenizer_digest="t", tenant="own", partial=False, pairs=2, tokens_longest=900, due_at=3.0,
                cache_scope="tenant",
            ),
            [3, "job", JOB_FIELDS],
        ),
        ("texts", ("text", TokenIds.of([7])), [2, "texts", ["text", b"\7\0\0\0"]]),
        ("artefact", IDENTITY, [1, "artefact", ARTEFACT_FIELDS]),
        (
            "heartbeat",
            Heartbeat("w", "m", "h", 7, None, started_at=1.0, tokens_per_s=2.0, held_jobs=3, held_tokens=4,
                      pairs_per_batch=5.0),
            [1, "heartbeat", ["w", "m", "h", 7, None, 1.0, 2.0, 3, 4, 5.0]],
        ),
        (
            "cost",
            CostParameters(run_s=0.5, token_s=0.25, token_longest_s=0.125, error_ratio=0.0, p99_ratio=1.5,
                           observations=9),
            [1, "cost", [0.5, 0.25, 0.125, 0.0, 1.5, 9.0]],
        ),
        ("claim", PairClaim(job_id="j", until=1.5), [1, "claim", ["j", 1.5]]),
        (
            "submitted",
            StoredRequest(
                "j", "bulk", "m", ids=("a", None), hits={0: Score(0.5, 9, True)}, misses=(1,), top_n=None,
                submitted_at=1.0, deadline_at=2.0, identity=IDENTITY, tenant="own", entry="e",
                fusion=Fusion("weighted", 0.5, (7.5, None), "ascending", 0.25, 31, "bm25"),
            ),
            [1, "submitted", ["j", "bulk", "m", ["a", None], [[0, 0.5, 9, True]], [1], None, 1.0, 2.0,
                              ARTEFACT_FIELDS, "own", "e",
                              ["weighted", 0.5, [7.5, None], "ascending", 0.25, 31, "bm25"]]],
        ),
    ],
)  # fmt: skip
def test_bytes_are_what_other_releases_read_and_write(kind: str, value: Any, message: list[Any]) -> None:
    """The dataclass gives the order of the wire, so that a field out of its place would be another message."""
    assert KINDS[kind].encode(value) == msgpack.packb(message)
    assert KINDS[kind].decode(msgpack.packb(message)) == value


@pytest.mark.parametrize(
    ("place", "wrong", "told"),
    [(1, "urgent", "job_class: class 'urgent'"), (5, "7", "max_length: a whole number expected, not str")],
)
def test_what_is_refused_is_named(place: int, wrong: Any, told: str) -> None:
    fields = [*JOB_FIELDS[:place], wrong, *JOB_FIELDS[place + 1 :]]
    with pytest.raises(MalformedMessage, match=f"'job' lacks or garbles a field: {told}"):
        wire.decode_job(msgpack.packb([1, "job", fields]))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(MalformedMessage, match="'enqueued_at' and 'deadline_at'"):
        wire.decode_job(msgpack.packb([1, "job", JOB_FIELDS[:6]]))
    plain = wire.outcome_to_plain(Outcome("j", (), IDENTITY, "w"))
    del plain["worker"]
    with pytest.raises(MalformedMessage, match="worker"):
        wire.outcome_from_plain(plain)


@EVERY_KIND
@given(data=st.data())
def test_a_cut_message_is_malformed(kind: str, data: st.DataObject) -> None:
    whole = KINDS[kind].encode(data.draw(KINDS[kind].values))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(MalformedMessage):
        KINDS[kind].decode(cut)
    with pytest.raises(MalformedMessage):
        KINDS[kind].decode(whole + b"\x00")


@EVERY_KIND
@given(data=st.binary(max_size=60))
def test_random_bytes_are_a_wire_error(kind: str, data: bytes) -> None:
    with pytest.raises(WireError):
        KINDS[kind].decode(data)


@EVERY_KIND
@given(fields=anything)
def test_any_content_in_a_right_envelope_is_read_or_refused(kind: str, fields: Any) -> None:
    try:
        value = KINDS[kind].decode(msgpack.packb([wire.VERSION, kind, fields]))
    except WireError:
        return
    KINDS[kind].encode(value)


@pytest.mark.parametrize("field", [5, 8, 9], ids=["max_length", "attempt", "tokens"])
@pytest.mark.parametrize("wrong", [math.inf, math.nan, 1.5, "7", b"7", [7]])
def test_a_count_is_a_whole_number(field: int, wrong: Any) -> None:
    fields: list[Any] = ["job", "bulk", "model", "query", ["text"], 512, 1.0, 2.0, 1, 7]
    assert wire.decode_job(msgpack.packb([1, "job", fields])).tokens == 7
    fields[field] = wrong
    with pytest.raises(MalformedMessage):
        wire.decode_job(msgpack.packb([1, "job", fields]))


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


@pytest.mark.parametrize("packed", [b"1", b"123", b"12345"])
def test_ids_of_broken_bytes_are_malformed(packed: bytes) -> None:
    with pytest.raises(MalformedMessage, match="token ids"):
        wire.decode_texts(msgpack.packb([2, "texts", ["text", packed]]))


@pytest.mark.parametrize("kind", ENVELOPED)
@given(data=st.data(), wrong=anything)
def test_one_wrong_field_never_gets_inside(kind: str, data: st.DataObject, wrong: Any) -> None:
    version, name, fields = msgpack.unpackb(KINDS[kind].encode(data.draw(KINDS[kind].values)))
    fields[data.draw(st.integers(0, len(fields) - 1))] = wrong
    try:
        value = KINDS[kind].decode(msgpack.packb([version, name, fields]))
    except WireError:
        return
    hints = get_type_hints(type(value))
    for field in type(value).__slots__:
        _assert_is(getattr(value, field), hints[field])


def _assert_is(value: Any, hint: Any) -> None:
    """Hold a value against the annotation of its field, as deep as this module's annotations go."""
    plain = {str: str, int: int, float: float | int, bool: bool}
    if hint in plain:
        assert isinstance(value, plain[hint])
        assert not isinstance(value, float) or math.isfinite(value)
    elif type(None) in getattr(hint, "__args__", ()):
        if value is not None:
            _assert_is(value, hint.__args__[0])
    elif getattr(hint, "__origin__", None) is tuple:
        assert isinstance(value, tuple)
        for item in value:
            _assert_is(item, hint.__args__[0])
    elif getattr(hint, "__origin__", None) is dict:
        for key, item in value.items():
            _assert_is(key, hint.__args__[0])
            _assert_is(item, hint.__args__[1])
    elif hint == str | TokenIds:
        assert isinstance(value, str | TokenIds)
    elif hint is JobClass:
        assert value in ("interactive", "bulk")
    elif hint is CacheScope:
        assert value in ("fleet", "tenant")
    elif hint is FusionMethod:
        assert value in ("none", "weighted", "zscore", "rrf")
    elif hint is FirstStageOrder:
        assert value in ("descending", "ascending")
    elif hint is Fusion:
        # Its weight alone may be infinite.
        assert value.weight >= 0
        for field, inner in get_type_hints(hint).items():
            if field != "weight":
                _assert_is(getattr(value, field), inner)
    else:
        assert isinstance(value, hint)
        for field, inner in get_type_hints(hint).items():
            _assert_is(getattr(value, field), inner)


@EVERY_KIND
@given(data=st.data(), version=st.integers(4, 2**32) | st.none() | st.text())
def test_another_version_is_named(kind: str, data: st.DataObject, version: Any) -> None:
    _, name, fields = msgpack.unpackb(KINDS[kind].encode(data.draw(KINDS[kind].values)))
    with pytest.raises(UnsupportedVersion, match="same release"):
        KINDS[kind].decode(msgpack.packb([version, name, fields]))


@pytest.mark.parametrize("read", KINDS)
@given(data=st.data())
def test_another_kind_is_refused(read: str, data: st.DataObject) -> None:
    written = data.draw(st.sampled_from([kind for kind in KINDS if kind != read]))
    with pytest.raises(MalformedMessage, match=f"kind '{read}', found '{written}'"):
        KINDS[read].decode(KINDS[written].encode(data.draw(KINDS[written].values)))


@pytest.mark.parametrize("kind", ENVELOPED)
@given(data=st.data(), added=anything)
def test_a_field_added_at_the_end_is_passed_over(kind: str, data: st.DataObject, added: Any) -> None:
    value = data.draw(KINDS[kind].values)
    version, name, fields = msgpack.unpackb(KINDS[kind].encode(value))
    assert KINDS[kind].decode(msgpack.packb([version, name, [*fields, added]])) == value


@given(outcomes, anything)
def test_fields_added_to_an_outcome_are_passed_over(outcome: Outcome, added: Any) -> None:
    plain = wire.outcome_to_plain(outcome)
    plain |= {"added": added, "artefact": [*plain["artefact"], added], "stages_ms": [*plain["stages_ms"], added]}
    assert wire.outcome_from_plain(plain) == outcome


@EVERY_KIND
@given(content=anything, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_pickle_is_malformed(kind: str, content: Any, protocol: int) -> None:
    with pytest.raises(MalformedMessage):
        KINDS[kind].decode(pickle.dumps(["pickle", content], protocol))


@given(outcomes, st.data(), anything)
def test_a_wrong_field_of_an_outcome_never_gets_inside(outcome: Outcome, data: st.DataObject, wrong: Any) -> None:
    plain = wire.outcome_to_plain(outcome)
    plain[data.draw(st.sampled_from(sorted(plain)))] = wrong
    try:
        read = wire.outcome_from_plain(plain)
    except WireError:
        return
    hints = get_type_hints(Outcome)
    for field in Outcome.__slots__:
        if field != "scores":
            _assert_is(getattr(read, field), hints[field])
    for score in read.scores:
        _assert_is(score, Score | None)


@given(anything)
def test_an_outcome_of_anything_is_a_wire_error(plain: Any) -> None:
    with pytest.raises(WireError):
        wire.outcome_from_plain(plain)


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
