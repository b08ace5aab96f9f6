"""Probe: one fp32 run of a whole model gives its logit, and what a head would read after each of its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rerank_ops.export.depth.head import Floats
from rerank_ops.export.graph.architecture import AnyBody, body_graph, tail_graph
from rerank_ops.export.graph.arithmetic import Full
from rerank_ops.export.graph.encoder import state_output
from rerank_ops.export.graph.store import save_graphs
from rerank_worker.engine.session import open_session
from rerank_worker.tokenizing import EncodedPair

_WHOLE, _TAIL = "whole.onnx", "tail.onnx"


@dataclass(frozen=True, slots=True)
class Probed:
    """The whole model's logit of each pair, [pairs], and by number of layers the states, each [pairs, hidden]."""

    logits: Floats
    states: Mapping[int, Floats]


@dataclass(frozen=True, slots=True)
class Probe:
    """A whole model in fp32, of so many `layers`. It runs one pair at a time, unpadded."""

    layers: int
    body: Any
    tail: Any

    @classmethod
    def of(cls, body: AnyBody, directory: Path, threads: int) -> Probe:
        """Return the probe of a body; its graphs are written into `directory`."""
        save_graphs(directory, {_WHOLE: body_graph(body, "unpadded", Full(), states=True), _TAIL: tail_graph(body)})
        whole, tail = (open_session(directory / name, optimise=False, threads=threads) for name in (_WHOLE, _TAIL))
        return cls(len(body.layers), whole, tail)

    def run(self, pairs: Sequence[EncodedPair], done: Callable[[int], None] = lambda _: None) -> Probed:
        """Return what the model says of each pair; `done` is called with the number of pairs so far."""
        inputs = {node.name for node in self.body.get_inputs()}
        shorter = range(1, self.layers)
        outputs = ["rows", *(state_output(kept) for kept in shorter)]
        found = []
        for index, pair in enumerate(pairs, start=1):
            feeds = {"input_ids": pair.ids[None], "token_type_ids": pair.type_ids[None]}
            found.append(self.body.run(outputs, {name: feeds[name] for name in inputs}))
            done(index)
        rows, *states = (np.concatenate(each) for each in zip(*found, strict=True))
        (logits,) = self.tail.run(["logits"], {"rows": rows})
        return Probed(logits[:, 0], dict(zip(shorter, states, strict=True)))
