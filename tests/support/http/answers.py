"""Answers as the gateway's APIs get them to write, and any JSON that they may be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from rerank_producer.apis.common.call import Api, Parsed, RerankCall, RerankReply
from rerank_producer.fusion.methods import fused_order
from rerank_shared.contract.activation import sigmoid
from rerank_shared.contract.messages import Fusion
from rerank_shared.contract.schemas import FusionInfo, ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import InvalidRequest

#: Tokens of every pair, so that sums can be told at a glance.
PAIR_TOKENS = 10
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
LOGITS = st.lists(st.none() | st.floats(-30.0, 30.0), min_size=1, max_size=12).filter(
    lambda logits: any(logit is not None for logit in logits)
)


def answer(
    call: RerankCall, logits: Sequence[float | None], *, cached: Iterable[int] = (), warnings: tuple[str, ...] = ()
) -> RerankReply:
    """Return the answer that has this logit for each document of `ask`, None for one that was not scored in time."""
    known = set(cached)
    order = sorted(range(len(logits)), key=lambda index: (logits[index] is None, -(logits[index] or 0.0), index))
    results = [_result(index, logits[index], index in known) for index in order]
    run = [result for result in results if result.scored and not result.cached]
    response = RerankResponse(
        id="job-1",
        results=results[: call.top_n],
        complete=None not in logits,
        model=ModelInfo(name="ms-marco-minilm-l6", activation="sigmoid"),
        timings=Timings(),
        usage=Usage(tokens=PAIR_TOKENS * len(run), pairs_run=len(run), pairs_cached=len(known)),
    )
    return RerankReply(call, response, warnings)


def fused(scored: RerankReply, fusion: Fusion) -> RerankReply:
    """Return an answer to all documents of a call as it is with that fusion."""
    response = scored.response
    by_index = {result.index: result for result in response.results}
    order = fused_order([by_index[index].logit for index in range(len(by_index))], fusion)
    results = [
        by_index[index].model_copy(
            update={
                "first_stage_score": fusion.scores[index] if fusion.scores else None,
                "fused_score": order.scores[index],
            }
        )
        for index in order.order
    ]
    info = FusionInfo(method=fusion.method, applied=order.applied, weight=fusion.weight, ratio=order.ratio)
    return replace(scored, response=response.model_copy(update={"results": results, "fusion": info}))


def parse(api: Api, body: Any) -> Parsed | None:
    """Return what an API makes of a body, None where it says what is wrong with it; other errors are raised."""
    try:
        return api.parse(body)
    except InvalidRequest as error:
        if not error.message:
            raise
        return None


def texts(parsed: Parsed) -> list[Any]:
    """Return all that is asked to be compared."""
    return [text for call in parsed.calls for text in (call.query, *call.documents)]


def render(parsed: Parsed, logits: Sequence[float | None], **options: Any) -> Any:
    """Return what an API writes for a body of one ask."""
    (call,) = parsed.calls
    return parsed.render("req-1", [answer(call, logits, **options)])


def identity_scored(scored: RerankReply) -> RerankReply:
    """Return the same answer of a model whose scores are its logits."""
    results = [result.model_copy(update={"relevance_score": result.logit}) for result in scored.response.results]
    model = scored.response.model.model_copy(update={"activation": "identity"})
    return RerankReply(scored.call, scored.response.model_copy(update={"results": results, "model": model}))


def _result(index: int, logit: float | None, cached: bool) -> Result:
    if logit is None:
        return Result(index=index, scored=False)
    return Result(index=index, relevance_score=sigmoid(logit), logit=logit, tokens=PAIR_TOKENS, cached=cached)
