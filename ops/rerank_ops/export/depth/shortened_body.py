"""The shortened model's weights: the first layers of a body, and the head that was fitted on them. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rerank_ops.export.depth.head import Floats, Head
from rerank_ops.export.graph.architecture import AnyBody
from rerank_ops.export.graph.bodies.body import Dense, Step
from rerank_ops.export.graph.bodies.deberta import DebertaBody
from rerank_ops.export.graph.bodies.modern import ModernBody
from rerank_shared.errors import ConfigurationError


def shortened_body(body: AnyBody, kept: int, head: Head) -> AnyBody:
    """Return the body of the first `kept` layers with a fitted head in place of its own, whatever form that had."""
    pooler = Step(_dense("shortened.pooler", head.pooler_weight, head.pooler_bias), "tanh")
    classifier = _dense("shortened.classifier", head.classifier_weight, head.classifier_bias)
    if isinstance(body, ModernBody):
        return replace(body, layers=body.layers[:kept], head=pooler, head_norm=None, classifier=classifier)
    steps = (pooler, Step(classifier, "none"))
    if isinstance(body, DebertaBody):
        return replace(body, layers=body.layers[:kept], distances=body.distances[:kept], head=steps)
    return replace(body, layers=body.layers[:kept], head=steps)


def check_depth(body: AnyBody, kept: int) -> None:
    """Raise ConfigurationError unless at least one layer is kept, and one is left out."""
    layers = len(body.layers)
    if layers < 2:
        raise ConfigurationError("the model has one layer: it can't be shortened")
    if not 0 < kept < layers:
        raise ConfigurationError(f"--depth {kept}: the model has {layers} layers; keep 1 to {layers - 1} of them")


def _dense(name: str, weight: Floats, bias: Floats) -> Dense:
    """Return a layer of weights [out, in], as Hugging Face stores them."""
    return Dense(name, np.ascontiguousarray(weight.T), bias)
