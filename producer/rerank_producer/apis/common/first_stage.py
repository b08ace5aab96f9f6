"""First-stage scores in the bodies of rerank APIs: the fields that ask for fusion, and where scores stand. Pure.

The fields are the fleet's own. No original has them, so clients send them as extra fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, Strict

from rerank_producer.apis.common.call import AskedFusion
from rerank_producer.apis.common.validation import Body
from rerank_shared.contract.schemas import Name, as_score
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import FirstStageOrder, FusionMethod

_Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class FusionOptions(Body):
    """How first-stage scores count in the order."""

    expected: ClassVar[dict[str, str]] = {
        "fusion": "none, weighted, zscore or rrf expected",
        "fusion_weight": "a finite number from 0 expected",
        "fusion_ratio": "a finite number above 0 expected",
        "first_stage": "a name of up to 64 letters, digits, `_`, `.` and `-` expected",
        "first_stage_order": "descending or ascending expected",
    }

    fusion: FusionMethod | None = Field(
        None,
        description="Not of the original: how first-stage scores count in the order. weighted and zscore add them to "
        "the model's logits, rrf fuses ranks, none leaves them out. Without it, as the key or the settings say for "
        "requests that have such scores.",
    )
    fusion_weight: Annotated[_Number, Field(ge=0)] | None = Field(
        None, description="Not of the original: how much the first stage counts against the model. 1: as much."
    )
    fusion_ratio: Annotated[_Number, Field(gt=0)] | None = Field(
        None, description="Not of the original: fixes the factor that `weighted` otherwise learns."
    )
    first_stage: Name | None = Field(
        None, description="Not of the original: name of the first stage, such as bm25. `weighted` learns under it."
    )
    first_stage_order: FirstStageOrder | None = Field(
        None, description="Not of the original: ascending where smaller scores are better, as distances are."
    )


class FirstStageScores(Body):
    """The scores of the first stage, beside the documents."""

    expected: ClassVar[dict[str, str]] = {
        "scores": "a list of numbers expected, one a document, with null where there is none",
        "scores[]": "a finite number or null expected",
    }

    scores: Annotated[list[_Number | None], Field(fail_fast=True)] | None = Field(
        None,
        description="Not of the original: the first-stage scores, one a document, on any scale; null where there is "
        "none. Documents that are objects may have their own `score` instead.",
    )


class FusionFields(FusionOptions, FirstStageScores):
    """Both, for a body that has its documents beside its options."""


def asked_fusion(
    options: FusionOptions, scores: Sequence[float | None] | None, documents: Sequence[Any], name: str = "documents"
) -> AskedFusion:
    """Return how first-stage scores count in a call: those in `scores`, or else the documents' own.

    An object may have a `score` that is no first-stage score. Where the body itself asks for fusion, one that is no
    number is a mistake; else it counts as none. Raises InvalidRequest; documents are called by `name`.
    """
    asked = AskedFusion(
        options.fusion,
        options.fusion_weight,
        options.fusion_ratio,
        options.first_stage or "",
        options.first_stage_order or "descending",
    )
    if scores is not None and len(scores) != len(documents):
        raise InvalidRequest(f"scores: {len(scores)} for {len(documents)} {name}; one for each expected")
    if options.fusion == "none":
        return asked
    strict_name = name if options.fusion is not None else None
    own = [_own_score(each, index, strict_name) for index, each in enumerate(documents)]
    if all(score is None for score in own):
        return replace(asked, scores=scores)
    if scores is not None:
        raise InvalidRequest(f"scores: some {name} have a `score` too; give either")
    return replace(asked, scores=own)


def _own_score(document: Any, index: int, strict_name: str | None) -> float | None:
    """Return the score of a document. One that is no number raises InvalidRequest if there is a `strict_name`."""
    given = document.get("score") if isinstance(document, dict) else None
    if given is None:
        return None
    try:
        return as_score(given)
    except ValueError as error:
        if strict_name is not None:
            raise InvalidRequest(f"{strict_name}.{index}.score: {error}") from None
        return None
