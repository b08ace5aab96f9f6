"""The published model as what an export must equal: its logits, and the comparison of a graph with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rerank_ops.export.plain import first_line
from rerank_ops.export.reference import Score
from rerank_ops.quality.agreement import Scores
from rerank_shared.errors import ConfigurationError
from rerank_worker.tokenizing import EncodedPair

#: Largest difference from the published model in fp32: absolute, and as a share of the logit.
TOLERANCE = 1e-4
OURS_DIFFERS = (
    "its config.json is another model's, or it is a variant of its architecture that is not known here; --plain "
    "exports the model's own graph"
)


def published_logits(model: str, reference: Score, pairs: Sequence[EncodedPair]) -> Scores:
    """Return the logits that `reference` gives `pairs`, [pairs]; `model` is its name in errors.

    Raises ConfigurationError where it can't score ordinary text, or gives no finite number.
    """
    logits, longest = np.empty(len(pairs), dtype=np.float32), 0
    for index, pair in sorted(enumerate(pairs), key=lambda item: item[1].tokens):
        try:
            logits[index] = reference([pair])[0]
        except Exception as error:
            # Each runtime has its own errors, mostly for ids or positions beyond the end of a table.
            why = "its tokenizer may be another model's"
            if longest:
                why = f"it scored {longest}, so it may have fewer positions than its configs say, or {why}"
            raise ConfigurationError(
                f"{model} can't score ordinary text of {pair.tokens} tokens ({first_line(error)}): {why}"
            ) from None
        longest = pair.tokens
    if not np.isfinite(logits).all():
        raise ConfigurationError(f"{model} gives nan or inf for ordinary text: its weights are damaged")
    return logits


def check_equal(found: Scores, expected: Scores, graph: str, model: str, why: str) -> None:
    """Raise ConfigurationError where logits `found` by `graph` differ from those expected; `why`: the likely cause."""
    if not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise ConfigurationError(
            f"the fp32 graph {graph} differs from {model} by up to {np.abs(found - expected).max():.2g} in a logit: "
            f"{why}"
        )
