"""Mean deviations of logits and first-stage scores, learned from requests and kept in Redis with the cost model.

Their ratio brings first-stage scores to the scale of logits. They are kept for each scoring identity and each named
first stage. Old requests fade out, and one odd request moves a mean by little: a mean neither freezes nor jumps.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from rerank_shared.contract.messages import Deviations
from rerank_shared.keys import COST_TTL_S

#: Requests over which the means are taken: a first stage that changes under its name is learned anew in about so many.
WINDOW_REQUESTS = 1_000
#: Requests that a mean needs before orders rest on it. Deviations differ between requests by a third to a half of their
#: mean, so that of this many the mean is right within a tenth; a weight may be wrong by half before it costs quality.
TRUSTED_REQUESTS = 30
#: From then on one lesson counts as this many times the mean at most, and as that part of it at least.
LARGEST_FACTOR = 10.0

LEARN = resources.files("rerank_shared").joinpath("lua/learn_deviations.lua").read_text()


def learn(pipe: Any, key: str, lesson: Deviations) -> None:
    """Queue on a pipeline the lesson of some requests; `key` is `Keys.deviations`. A full server leaves it out."""
    words = (lesson.requests, repr(lesson.logit), repr(lesson.first_stage))
    pipe.eval(LEARN, 1, key, *words, WINDOW_REQUESTS, TRUSTED_REQUESTS, LARGEST_FACTOR, COST_TTL_S)


def joined(known: Deviations | None, lesson: Deviations) -> Deviations:
    """Return the means with the lesson of some requests in them, as the script computes them."""
    if known is None:
        return lesson
    requests = known.requests + lesson.requests
    share = lesson.requests / max(lesson.requests, min(requests, WINDOW_REQUESTS))

    def mean(old: float, new: float) -> float:
        if known.requests >= TRUSTED_REQUESTS:
            new = max(old / LARGEST_FACTOR, min(old * LARGEST_FACTOR, new))
        return old + (new - old) * share

    return Deviations(requests, mean(known.logit, lesson.logit), mean(known.first_stage, lesson.first_stage))
