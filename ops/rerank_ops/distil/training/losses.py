"""Losses of a list: how far the student's differences between documents are from the teacher's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from rerank_ops.distil.recipe import Loss


def margin_mse(logits: Any, targets: Any) -> Any:
    """Return the mean squared error of all differences between two documents of a list, both [documents].

    What a list's scores have in common counts for nothing, as it changes no order.
    """
    error = logits - targets
    return (error[:, None] - error[None, :]).pow(2).mean()


def mse(logits: Any, targets: Any) -> Any:
    """Return the mean squared error of the scores themselves, both [documents]."""
    return (logits - targets).pow(2).mean()


def label_loss(logits: Any, grades: Any) -> Any:
    """Return the cross entropy between the softmax of a list's logits and its grades, both [documents]."""
    return -(grades / grades.sum() * torch.log_softmax(logits, dim=0)).sum()


LOSSES: Mapping[Loss, Callable[[Any, Any], Any]] = {"margin-mse": margin_mse, "mse": mse}
