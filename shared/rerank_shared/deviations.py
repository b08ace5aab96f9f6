"""Mean deviations of logits and first-stage scores, learned from requests and kept in Redis with the cost model.

Their ratio brings first-stage scores to the scale of logits. They are kept for each scoring identity and each named
first stage. Means are geometric, so that one request with huge scores moves them by little, and old requests fade out.
"""

from __future__ import annotations

import math
from typing import Any

from rerank_shared.contract.messages import Deviations
from rerank_shared.keys import COST_TTL_S
from rerank_shared.redis.scripts import Script

#: Requests over which the means are taken. A first stage that changes under its name is learned anew in some thousands.
WINDOW_REQUESTS = 1_000
#: Requests that a mean needs before orders rest on it. It is then right within a fifth or so (docs/fusion.md has what
#: was measured), and a weight may be wrong by half before it costs quality.
TRUSTED_REQUESTS = 30
#: After `BOUNDED_AFTER` requests one lesson counts as this many times the mean at most, and as that part at least.
LARGEST_FACTOR = 10.0
BOUNDED_AFTER = 5

LEARN = Script("learn_deviations.lua")


def learn(pipe: Any, key: str, lesson: Deviations) -> None:
    """Queue on a pipeline the lesson of some requests; `key` is `Keys.deviations`. A full server leaves it out."""
    words = (lesson.requests, repr(lesson.logit), repr(lesson.first_stage))
    LEARN.queue_on(pipe, [key], *words, WINDOW_REQUESTS, BOUNDED_AFTER, LARGEST_FACTOR, COST_TTL_S)


def joined(known: Deviations | None, lesson: Deviations) -> Deviations:
    """Return the means with the lesson of some requests in them, as the script computes them."""
    if known is None:
        return lesson
    requests = known.requests + lesson.requests
    share = lesson.requests / max(lesson.requests, min(requests, WINDOW_REQUESTS))

    def mean(old: float, new: float) -> float:
        step = math.log(new) - math.log(old)
        if known.requests >= BOUNDED_AFTER:
            largest = math.log(LARGEST_FACTOR)
            step = max(-largest, min(largest, step))
        return old * math.exp(step * share)

    return Deviations(requests, mean(known.logit, lesson.logit), mean(known.first_stage, lesson.first_stage))
