"""Activations against an oracle of 60 decimal digits."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rerank_shared.contract.activation import ACTIVATIONS, identity, sigmoid

logits = st.floats(-1e4, 1e4, allow_nan=False)


def oracle(logit: float) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return 1 / (1 + (-Decimal(logit)).exp())


@given(st.floats(-700, 1e4))
@example(0.0)
@example(-1e-17)
@example(9.4506)
@example(-11.1605)
def test_sigmoid_is_right_to_the_last_digits(logit: float) -> None:
    exact = oracle(logit)
    assert abs(Decimal(sigmoid(logit)) - exact) <= exact * Decimal(2) ** -51


@pytest.mark.parametrize(("logit", "score"), [(-1e4, 0.0), (1e4, 1.0), (-1e308, 0.0), (1e308, 1.0), (0.0, 0.5)])
def test_sigmoid_does_not_overflow(logit: float, score: float) -> None:
    assert sigmoid(logit) == score


def test_logits_that_float32_would_round_to_one_stay_apart() -> None:
    assert sigmoid(17.5) < sigmoid(18.0) < sigmoid(30.0) < 1.0


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(one=logits, other=logits)
def test_activations_keep_the_order(name: str, one: float, other: float) -> None:
    low, high = sorted((ACTIVATIONS[name](one), ACTIVATIONS[name](other)))
    if abs(one - other) > 1e-12 * max(abs(one), abs(other), 1.0):
        assert (low, high) == (ACTIVATIONS[name](min(one, other)), ACTIVATIONS[name](max(one, other)))


@given(logits)
def test_sigmoid_is_symmetric_and_between_its_bounds(logit: float) -> None:
    assert 0.0 <= sigmoid(logit) <= 1.0
    assert math.isclose(sigmoid(logit) + sigmoid(-logit), 1.0, abs_tol=1e-15)


@given(logits)
def test_identity_changes_nothing(logit: float) -> None:
    assert identity(logit) == logit
