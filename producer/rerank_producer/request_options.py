"""The options of a request, as both clients take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass


class RequestOptions(TypedDict, total=False):
    """Options of a request; each may be left out. An unknown one raises InvalidRequest.

    - `top_n`: number of results, best first (default: all). All documents are scored.
    - `max_length`: most tokens of query and document together before text is cut (8 at least; default: the model's).
    - `deadline_ms`: milliseconds from now (default: by settings, for each class).
    - `job_class`: work of the class "interactive" (default) goes before "bulk".
    - `model`: a name that the fleet serves (default: by settings).
    - `stages`: several models in the place of `model`, each a mapping of `model` and `keep`. The first scores all
      documents, each later one the best `keep` of the order so far: a number, "auto" (as many as it can score in
      time), or all. docs/cascade.md.
    - `tenant`: tenants share the fleet by tokens.
    - `tokenizer_digest`: SHA-256 of the tokenizer.json that made the documents' `token_ids`; needed where one has some.
      The ids of another tokenizer than the served model's raise InvalidRequest.
    - `cache_scope`: with "tenant" scores are looked up, kept and shared in flight for `tenant` alone: no other tenant
      learns its requests, and each pays for its own pairs.
    - `fusion`: how first-stage scores count in the order: "weighted", "zscore", "rrf", or "none" (default: by
      settings). docs/fusion.md says what each is good for.
    - `fusion_weight`: how much the first stage counts against the model, 0 at least (default: by settings, 1).
    - `scores`: the first-stage scores, one a document, None where there is none. Documents may have their own `score`
      instead.
    - `first_stage`: name of the first stage, such as "bm25". What "weighted" learns is kept under it.
    - `first_stage_order`: "ascending" where smaller scores are better, as distances are.
    - `fusion_ratio`: fixes the factor that "weighted" otherwise learns, so that answers can be reproduced.
    """

    top_n: int | None
    max_length: int | None
    deadline_ms: float | None
    job_class: JobClass
    model: str | None
    stages: Sequence[Mapping[str, Any]] | None
    tenant: str
    tokenizer_digest: str | None
    cache_scope: CacheScope
    fusion: FusionMethod | None
    fusion_weight: float | None
    scores: Sequence[float | None] | None
    first_stage: str
    first_stage_order: FirstStageOrder
    fusion_ratio: float | None
