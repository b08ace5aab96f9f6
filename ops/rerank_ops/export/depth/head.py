"""Head of a shortened model: ridge regression from the hidden state of a layer to the whole model's logits. Pure.

It has the shape of BertForSequenceClassification's head: a pooler with tanh, then a classifier. The pooler scales each
number of the state to a small standard deviation, where tanh is nearly straight, so the head is nearly linear and any
reader of such a head can run it. A published pooler is of no use here: it saturates on the states of early layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rerank_shared.errors import ConfigurationError

Floats = npt.NDArray[np.float32]

#: Standard deviation of what the pooler hands to tanh.
SPREAD = 0.3
#: Weight of the ridge, for states of standard deviation 1. 100 to 300 were found equally good with 1,000 pairs.
RIDGE = 100.0
#: Numbers that vary less than this share of the widest one carry rounding alone.
_STILL = 1e-6


@dataclass(frozen=True, slots=True)
class Head:
    """Weights as Hugging Face stores them, all float32.

    `pooler_weight` [hidden, hidden], `pooler_bias` [hidden], `classifier_weight` [1, hidden], `classifier_bias` [1].
    """

    pooler_weight: Floats
    pooler_bias: Floats
    classifier_weight: Floats
    classifier_bias: Floats

    def logits(self, cls: Floats) -> Floats:
        """Return the logit of each pair, [pairs], from hidden states [pairs, hidden]."""
        pooled = np.tanh(cls @ self.pooler_weight.T + self.pooler_bias)
        logits: Floats = (pooled @ self.classifier_weight.T + self.classifier_bias)[:, 0].astype(np.float32)
        return logits


def fit_head(cls: Floats, logits: Floats, ridge: float = RIDGE) -> Head:
    """Return the head that takes hidden states `cls`, [pairs, hidden], nearest to `logits`, [pairs].

    Raises ConfigurationError for fewer than two pairs, for values not finite, and where states or logits do not vary.
    """
    if len(cls) < 2 or cls.shape[0] != logits.shape[0]:
        raise ConfigurationError(f"a head is fitted on two pairs or more, with a logit each; got {len(cls)}")
    states, wanted = cls.astype(np.float64), logits.astype(np.float64)
    if not (np.isfinite(states).all() and np.isfinite(wanted).all()):
        raise ConfigurationError("a head can't be fitted: hidden states or logits hold nan or inf")
    mean, deviation = states.mean(axis=0), states.std(axis=0)
    varies = deviation > _STILL * deviation.max()
    if not varies.any() or not wanted.std():
        raise ConfigurationError("a head can't be fitted: all pairs have the same hidden state, or the same logit")
    scale = np.divide(SPREAD, deviation, out=np.zeros_like(deviation), where=varies)
    pooler_weight, pooler_bias = np.diag(scale).astype(np.float32), (-scale * mean).astype(np.float32)
    # In the weights' own precision, so that the classifier is fitted to what the pooler will hand it.
    pooled = np.tanh(cls @ pooler_weight.T + pooler_bias).astype(np.float64)
    centre = pooled.mean(axis=0)
    weight = _ridge(pooled - centre, wanted - wanted.mean(), ridge * SPREAD**2)
    bias = wanted.mean() - centre @ weight
    return Head(pooler_weight, pooler_bias, weight[None].astype(np.float32), np.array([bias], dtype=np.float32))


def _ridge(features: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], ridge: float) -> npt.NDArray[np.float64]:
    """Return the weights, [features], of centred features [pairs, features] and centred targets [pairs]."""
    gram = features.T @ features + ridge * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, features.T @ wanted), dtype=np.float64)
