"""Embedder: a text's vector, from ONNX Runtime on one thread.

Texts run one at a time, unpadded: on CPUs this is the fastest layout, and an int8 model scales its activations by all
texts of a run, so that a vector would otherwise depend on its company and could not be kept by its text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rerank_ops.dense.embedder_files import EmbedderFiles
from rerank_ops.dense.pooling import Vector, of_length_one, pooled
from rerank_shared.errors import ModelDamaged
from rerank_worker.engine.session import open_session
from rerank_worker.tokenizing.texts import open_tokenizer

#: The output of graphs that do the pooling themselves.
_POOLED = "sentence_embedding"
_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
#: Characters a token, beyond which a text is cut before it is tokenized: a megabyte would take half a second.
_CHARS_PER_TOKEN = 64


class Embedder:
    """Makes vectors of shape [width], by the rule of its files. Any number of threads may call it."""

    def __init__(self, files: EmbedderFiles) -> None:
        """Open the model. Raises ModelDamaged."""
        self.files = files
        self._session = open_session(files.model_path, optimise=True)
        self._tokenizer = open_tokenizer(files.tokenizer_path)
        self._tokenizer.enable_truncation(files.rule.max_tokens)
        self._inputs = [each.name for each in self._session.get_inputs()]
        if unknown := sorted(set(self._inputs) - _INPUTS):
            raise ModelDamaged(f"{files.model_path} wants inputs that are not known: {', '.join(unknown)}")
        self._output = self._output_of({each.name: len(each.shape) for each in self._session.get_outputs()})
        self.width = len(self.vector("a"))

    def vector(self, text: str) -> Vector:
        """Return the vector of a text that has its prompt. Raises ModelDamaged where the model gives no numbers."""
        rule = self.files.rule
        encoded = self._tokenizer.encode(text[: rule.max_tokens * _CHARS_PER_TOKEN])
        given = {
            "input_ids": encoded.ids, "attention_mask": [1] * len(encoded.ids), "token_type_ids": encoded.type_ids,
        }  # fmt: skip
        states = self._run({name: np.array([given[name]], dtype=np.int64) for name in self._inputs})
        vector = pooled(states, rule.pooling) if states.ndim == 2 else np.asarray(states, dtype=np.float32)
        if not np.isfinite(vector).all():
            raise ModelDamaged(f"{self.files.model_path} gives no numbers for the text {text[:40]!r}")
        return of_length_one(vector) if rule.normalised else vector

    def _run(self, inputs: dict[str, Any]) -> Any:
        try:
            (states,) = self._session.run([self._output], inputs)
        except Exception as error:
            # onnxruntime's exceptions share no base class below Exception.
            raise ModelDamaged(f"{self.files.model_path} can't run: {error}") from None
        return states[0]

    def _output_of(self, ranks: dict[str, int]) -> str:
        """Return the output to read: a pooled one, else the first that has a state for each token."""
        if ranks.get(_POOLED) == 2:
            return _POOLED
        states = [name for name, rank in ranks.items() if rank == 3]
        if not states:
            raise ModelDamaged(f"{self.files.model_path} is no embedder: no output has a state for each token")
        return states[0]
