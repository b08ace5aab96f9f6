"""The head of a shortened model: what it learns, its shape, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from rerank_ops.export.depth.head import SPREAD, Floats, fit_head
from rerank_shared.errors import ConfigurationError

HIDDEN = 16


def states(pairs: int, seed: int) -> Floats:
    """Return hidden states as of an early layer: each number with a mean and a small spread of its own."""
    random = np.random.default_rng(seed)
    spread = np.random.default_rng(1).uniform(0.002, 0.02, HIDDEN)
    return (random.normal(size=(pairs, HIDDEN)) * spread + np.linspace(-1, 1, HIDDEN)).astype(np.float32)


def line(cls: Floats) -> Floats:
    """Return logits that are a line of the states."""
    weight = np.random.default_rng(2).normal(size=HIDDEN) * 100
    return (cls.astype(np.float64) @ weight + 3).astype(np.float32)


def test_a_head_learns_a_line_and_keeps_it_on_pairs_it_has_not_seen() -> None:
    head = fit_head(states(1000, 3), line(states(1000, 3)))
    unseen = states(300, 4)
    assert np.corrcoef(head.logits(unseen), line(unseen))[0, 1] > 0.99


def test_a_head_has_berts_shapes_and_the_pooler_scales_alone() -> None:
    cls = states(200, 3)
    head = fit_head(cls, line(cls))
    shapes = [w.shape for w in (head.pooler_weight, head.pooler_bias, head.classifier_weight, head.classifier_bias)]
    assert shapes == [(HIDDEN, HIDDEN), (HIDDEN,), (1, HIDDEN), (1,)]
    assert {w.dtype.name for w in (head.pooler_weight, head.pooler_bias, head.classifier_weight)} == {"float32"}
    assert np.count_nonzero(head.pooler_weight) == HIDDEN
    before_tanh = cls @ head.pooler_weight.T + head.pooler_bias
    assert np.allclose(before_tanh.std(axis=0), SPREAD, rtol=1e-2)
    assert np.allclose(before_tanh.mean(axis=0), 0, atol=1e-3)


def test_a_heads_mean_is_the_logits_mean_and_a_strong_ridge_leaves_that_alone() -> None:
    cls = states(200, 3)
    assert fit_head(cls, line(cls)).logits(cls).mean() == pytest.approx(line(cls).mean(), rel=1e-4)
    flat = fit_head(cls, line(cls), ridge=1e12).logits(cls)
    assert np.allclose(flat, line(cls).mean(), rtol=1e-3)


def test_more_numbers_than_pairs_still_have_one_answer() -> None:
    head = fit_head(states(8, 3), line(states(8, 3)))
    assert np.isfinite(head.logits(states(50, 4))).all()


def test_a_number_that_does_not_vary_counts_for_nothing() -> None:
    cls = states(200, 3)
    cls[:, 5] = 0.7
    head = fit_head(cls, line(cls))
    assert head.pooler_weight[5, 5] == 0
    other = cls.copy()
    other[:, 5] = 9.0
    assert np.array_equal(head.logits(cls), head.logits(other))


@pytest.mark.parametrize(
    ("cls", "logits", "why"),
    [
        (states(1, 3), line(states(1, 3)), "two pairs or more"),
        (states(5, 3), line(states(4, 3)), "a logit each"),
        (states(5, 3) * np.float32(np.nan), line(states(5, 3)), "nan or inf"),
        (states(5, 3), line(states(5, 3)) * np.float32(np.inf), "nan or inf"),
        (np.ones((5, HIDDEN), np.float32), line(states(5, 3)), "the same hidden state"),
        (states(5, 3), np.ones(5, np.float32), "the same logit"),
    ],
)
def test_what_no_head_can_be_fitted_on_is_refused(cls: Floats, logits: Floats, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        fit_head(cls, logits)
