"""Headers of requests and answers: the request's id, its limits, the time of each stage, the counts of its pairs."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping, Sequence

from rerank_producer.apis.common.call import Problem, RerankReply
from rerank_producer.apis.common.problems import Refused
from rerank_shared.contract.schemas import FusionInfo

REQUEST_ID = "x-request-id"
DEADLINE = "x-rerank-deadline-ms"
PARTIAL = "x-rerank-partial"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UNSAFE = re.compile(r"[^\x21-\x7e]+")
#: Ids of the calls of one request that are told; a header has its bounds.
_MOST_IDS = 32
_STAGES = ("cache", "enqueue", "queue", "tokenize", "batch", "run", "fuse")


def request_id(headers: Mapping[str, str]) -> str:
    """Return the caller's own id where it is harmless in logs and headers, else a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def deadline_ms(headers: Mapping[str, str]) -> float | None:
    """Return the deadline that the caller sets, milliseconds from now, None where it sets none. Raises Refused."""
    given = headers.get(DEADLINE)
    if given is None:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise _wrong(DEADLINE, "milliseconds from now expected, as a number above 0")
    return value


def takes_partial(headers: Mapping[str, str]) -> bool:
    """Return whether the caller takes a partial answer, the default. Raises Refused."""
    given = headers.get(PARTIAL, "true").strip().lower()
    if given not in ("true", "false", "1", "0"):
        raise _wrong(PARTIAL, "true or false expected")
    return given in ("true", "1")


def answer_headers(replies: Sequence[RerankReply], total_ms: float) -> dict[str, str]:
    """Return the headers of an answer: time by stage (the longest of several calls), counts of pairs, and limits."""
    responses = [reply.response for reply in replies]
    results = [result for response in responses for result in response.results]
    stages = {name: max((getattr(each.timings, f"{name}_ms") for each in responses), default=0.0) for name in _STAGES}
    timing = ", ".join(f"{name};dur={spent_ms:.3f}" for name, spent_ms in (*stages.items(), ("total", total_ms)))
    headers = {
        "server-timing": timing,
        "x-rerank-complete": _flag(all(response.complete for response in responses)),
        "x-rerank-cached": str(sum(response.usage.pairs_cached for response in responses)),
        "x-rerank-truncated": str(sum(result.truncated for result in results)),
    }
    if responses:
        headers["x-rerank-model"] = printable(responses[0].model.name)
        # By these ids feedback names the answers: the request's own id is the caller's to choose.
        headers["x-rerank-id"] = ",".join(response.id for response in responses[:_MOST_IDS])
    if routed := next((response for response in responses if response.route), None):
        headers["x-rerank-route"] = f"{printable(routed.route or '')}; version={routed.route_version}"
    if experiment := next((response.experiment for response in responses if response.experiment), None):
        headers["x-rerank-experiment"] = f"{experiment.kind}; ranks={experiment.ranks[0]},{experiment.ranks[1]}"
    if upstream := next((reply.upstream for reply in replies if reply.upstream), None):
        headers["x-rerank-overflow"] = printable(upstream)
    if fusion := next((response.fusion for response in responses if response.fusion), None):
        headers["x-rerank-fusion"] = _fusion(fusion)
    # The last reply has the newest level of the key's bucket.
    return headers | dict(replies[-1].rate_headers) if replies else headers


def _fusion(fusion: FusionInfo) -> str:
    """Return the method that was applied, with what it worked with."""
    parts = [fusion.applied, f"weight={fusion.weight:g}"]
    if fusion.ratio is not None:
        parts.append(f"ratio={fusion.ratio:.4g}")
    if fusion.learned_requests is not None:
        parts.append(f"requests={fusion.learned_requests}")
    return "; ".join(parts)


def tei_headers(replies: Sequence[RerankReply], total_ms: float) -> dict[str, str]:
    """Return the same times by the names of Text Embeddings Inference, in whole milliseconds."""
    timings = [reply.response.timings for reply in replies]
    texts = [text for reply in replies for each in reply.call.documents for text in (reply.call.query, each)]
    return {
        "x-compute-type": "cpu",
        "x-compute-time": f"{total_ms:.0f}",
        "x-compute-characters": str(sum(map(len, texts))),
        "x-compute-tokens": str(sum(reply.response.usage.tokens for reply in replies)),
        "x-total-time": f"{total_ms:.0f}",
        "x-tokenization-time": f"{max((each.tokenize_ms for each in timings), default=0.0):.0f}",
        "x-queue-time": f"{max((each.queue_ms + each.batch_ms for each in timings), default=0.0):.0f}",
        "x-inference-time": f"{max((each.run_ms for each in timings), default=0.0):.0f}",
    }


def problem_headers(problem: Problem) -> dict[str, str]:
    """Return the headers of an error."""
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(problem.retry_after_s)))
    return headers


def printable(text: str) -> str:
    """Return text as a header can carry it: a question mark replaces all but visible ASCII."""
    return _UNSAFE.sub("?", text)[:256]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _wrong(header: str, expected: str) -> Refused:
    return Refused(Problem(400, "invalid_request", f"header {header}: {expected}"))
