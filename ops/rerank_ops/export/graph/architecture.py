"""Choice of the architecture: reads a model's weights into a body and builds its graphs by the body's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx

from rerank_ops.export.graph.arithmetic import Arithmetic
from rerank_ops.export.graph.bodies import naming
from rerank_ops.export.graph.bodies.body import Body, Floats
from rerank_ops.export.graph.bodies.deberta import FAMILY as DEBERTA
from rerank_ops.export.graph.bodies.deberta import DebertaBody, read_deberta, refuses_deberta
from rerank_ops.export.graph.bodies.modern import FAMILY as MODERN
from rerank_ops.export.graph.bodies.modern import ModernBody, read_modern, refuses_modern
from rerank_ops.export.graph.deberta import build_deberta_encoder, build_deberta_tail
from rerank_ops.export.graph.encoder import build_encoder
from rerank_ops.export.graph.modern import build_modern_encoder, build_modern_tail
from rerank_ops.export.graph.tail import build_tail
from rerank_shared.models.precision import LayoutName

AnyBody = Body | ModernBody | DebertaBody
#: Families for which graphs are built, by model_type; all others get a plain export.
SURGERY = frozenset({*naming.NAMES, MODERN, DEBERTA})
_READ = {MODERN: read_modern, DEBERTA: read_deberta}
_REFUSES = {MODERN: refuses_modern, DEBERTA: refuses_deberta}


def read_body(config: Mapping[str, Any], tensors: Mapping[str, Floats]) -> AnyBody:
    """Return the body of a model with its Hugging Face `config` and `tensors` (weights [out, in]).

    Raises ConfigurationError where the family is unknown, has a variant that is not built here, has more than one
    label, or lacks a weight.
    """
    read: Callable[..., AnyBody] = _READ.get(str(config.get("model_type")), naming.read_body)
    return read(config, tensors)


def refuses(config: Mapping[str, Any]) -> str | None:
    """Return why no graph is built for a model, or None where one is."""
    return _REFUSES.get(str(config.get("model_type")), naming.refuses)(config)


def body_graph(
    body: AnyBody, layout_name: LayoutName, arithmetic: Arithmetic, *, states: bool = False
) -> onnx.ModelProto:
    """Return the graph of a layout, from token ids to one row a pair.

    With `states`, what a head would read after each layer but the last is an output too, by `state_output`.
    """
    if isinstance(body, ModernBody):
        return build_modern_encoder(body, layout_name, arithmetic, states=states)
    if isinstance(body, DebertaBody):
        return build_deberta_encoder(body, layout_name, arithmetic, states=states)
    return build_encoder(body, layout_name, arithmetic, states=states)


def tail_graph(body: AnyBody) -> onnx.ModelProto:
    """Return the graph from rows to logits [pairs, 1]."""
    if isinstance(body, ModernBody):
        return build_modern_tail(body)
    return build_deberta_tail(body) if isinstance(body, DebertaBody) else build_tail(body)
