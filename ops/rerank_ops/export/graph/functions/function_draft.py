"""Draft of a model-local function: operators that a graph calls by one name, with its weights as inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
from onnx import helper, numpy_helper

from rerank_ops.export.graph.draft import DOMAIN, MICROSOFT, OPSET, Array, Draft

_RESULT = "result"


class FunctionDraft(Draft):
    """The body of a function under construction.

    Weights go into the graph that calls it, and have the names of `formal` inside; constants stay inside. Values of the
    calling graph that the body names become inputs of their own.
    """

    def __init__(self, caller: Draft, formal: Mapping[str, str]) -> None:
        super().__init__("function", caller.floats)
        self._caller = caller
        self._formal = formal

    def weight(self, name: str, array: Array) -> str:
        """Add a weight to the calling graph, or a constant here, and return its name here."""
        if name in self._formal:
            self._caller.weight(name, array)
            return self._formal[name]
        if name not in self._weights:
            self._weights[name] = numpy_helper.from_array(array, name)
            self._nodes.append(helper.make_node("Constant", [], [name], value=self._weights[name]))
        return name

    def free(self, formal: Sequence[str]) -> list[str]:
        """Return the values that the body takes beside the `formal` ones, in the order of their first use."""
        made = {name for node in self._nodes for name in node.output}
        taken = (name for node in self._nodes for name in node.input)
        return list(dict.fromkeys(name for name in taken if name and name not in made and name not in formal))

    def function(
        self, operator: str, inputs: Sequence[str], value: str, attributes: Sequence[str]
    ) -> onnx.FunctionProto:
        """Return the function that computes `value` of these `inputs`."""
        nodes = [*self._nodes, helper.make_node("Identity", [value], [_RESULT])]
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_function(DOMAIN, operator, inputs, [_RESULT], nodes, opsets, attributes=list(attributes))


def call(
    draft: Draft,
    operator: str,
    x: str,
    weights: Mapping[str, str],
    build: Callable[[FunctionDraft], str],
    lengths: str,
    **attributes: Any,
) -> str:
    """Add a call of `operator`, whose body `build` makes of x and of `weights` (names in the graph, names in the body).

    The inputs are x, the weights in their order, `lengths` unless '', and what else the body takes. `attributes` are
    for the kernel: the body has them as constants. Return the name of the output.
    """
    body = FunctionDraft(draft, weights)
    value = build(body)
    known = ["x", *weights.values(), *([lengths] if lengths else [])]
    free = body.free(known)
    function = body.function(operator, [*known, *free], value, sorted(attributes))
    given = [x, *weights, *known[1 + len(weights) :], *free]
    return draft.call(function, given, **attributes)
