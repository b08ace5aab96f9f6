"""Messages of every kind, made up by hypothesis, and how each is written and read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import strategies as st

from rerank_shared.contract import wire
from rerank_shared.contract.messages import (
    Feedback,
    Fusion,
    Heartbeat,
    Job,
    Outcome,
    PairClaim,
    RouteRecord,
    Score,
    ScoringIdentity,
    Stages,
    StoredRequest,
)
from rerank_shared.contract.token_ids import ID_MAX, TokenIds
from rerank_shared.scheduling.cost import CostParameters, SharedCost

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
    SharedCost,
    st.builds(
        CostParameters, run_s=ratios, token_s=ratios, token_longest_s=ratios, error_ratio=ratios,
    p99_ratio=st.floats(1, 1e6), observations=counts,
    ),
    shared_at=times,
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
    learned_requests=st.none() | counts, first_stage=texts, learned_under=texts,
)  # fmt: skip
submitted = st.builds(
    StoredRequest,
    job_id=texts, job_class=classes, model=texts,
    ids=st.lists(st.none() | texts, max_size=3).map(tuple),
    hits=st.dictionaries(st.integers(0, 1000), scores, max_size=3),
    misses=st.lists(counts, max_size=3).map(tuple),
    top_n=st.none() | counts, submitted_at=times, deadline_at=times, identity=st.none() | identities,
    tenant=texts, entry=texts, fusion=st.none() | fusions,
    route=st.none() | texts, route_version=st.none() | counts,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of message: how it is made, written and read."""

    values: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def encode_outcome(outcome: Outcome) -> bytes:
    data: bytes = msgpack.packb(wire.outcome_to_plain(outcome))
    return data


told = st.lists(texts, max_size=3).flatmap(
    lambda shown: st.builds(
        Feedback,
        request_id=texts, shown=st.just(tuple(shown)),
        clicked=st.lists(st.integers(1, len(shown)), max_size=2).map(tuple) if shown else st.just(()),
        tenant=texts, query_id=st.none() | texts, query_digest=texts, swapped_rank=st.integers(0, 9),
        query=st.none() | texts, texts=st.just(()) | st.just((None,) * len(shown)),
    )
)  # fmt: skip
route_records = st.builds(RouteRecord, texts, counts, texts, texts, texts, times, texts)

KINDS = {
    "job": Kind(jobs, wire.encode_job, wire.decode_job),
    "texts": Kind(st.lists(contents).map(tuple), wire.encode_texts, wire.decode_texts),
    "artefact": Kind(identities, wire.encode_identity, wire.decode_identity),
    "heartbeat": Kind(heartbeats, wire.encode_heartbeat, wire.decode_heartbeat),
    "cost": Kind(costs, wire.encode_cost, wire.decode_cost),
    "claim": Kind(st.builds(PairClaim, texts, times), wire.encode_pair_claim, wire.decode_pair_claim),
    "submitted": Kind(submitted, wire.encode_stored_request, wire.decode_stored_request),
    "route": Kind(route_records, wire.encode_route, wire.decode_route),
    "feedback": Kind(told, wire.encode_feedback, wire.decode_feedback),
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

#: A scoring identity, and its fields on the wire.
IDENTITY = ScoringIdentity("m", "d", "t", "int8", "bert", 512, "longest_first", "sigmoid")
ARTEFACT_FIELDS = ["m", "d", "t", "int8", "bert", 512, "longest_first", "sigmoid"]
#: The fields of a job on the wire.
JOB_FIELDS: list[Any] = [
    "j", "bulk", "m", "q", ["text", b"\7\0\0\0"], 512, 1.0, 2.5, 2, 70, "t", "own", False, 2, 900, 3.0, "tenant", "ab",
]  # fmt: skip
