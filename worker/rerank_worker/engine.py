"""The ONNX Runtime session and the two shapes it is run in.

`single` runs one pair at a time, unpadded: fastest on CPU, and with dynamic int8 (one activation scale over the whole
tensor, microsoft/onnxruntime#10111) the only shape in which a score depends on its pair alone. `padded` runs a
length-sorted batch padded to its longest pair, for devices where a run has a fixed cost.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from rerank_shared.catalogue import ModelFiles
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.messages import Artefact
from rerank_worker.tokenizing import TRUNCATION, EncodedPair, PairTokenizer

Plan = Literal["single", "padded"]
_DEFAULT_MAX_LENGTH = 512
#: Operators that only a quantised graph has, by the name that stands in the file.
_INT8_OPERATORS = (b"MatMulInteger", b"DynamicQuantizeMatMul", b"QAttention")


class Engine(Protocol):
    """Anything that scores encoded pairs. Called from one thread only."""

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return how a batch is split into runs, as ranges of its indices in order."""
        ...

    def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        """Return the logit of each pair, shape [pairs], in one run."""
        ...


class OnnxEngine:
    """One session on one thread; processes, not threads, make the fleet parallel."""

    def __init__(self, path: Path, plan: Plan = "single") -> None:
        options = onnxruntime.SessionOptions()
        # Two processes of one thread give 1.5 times the throughput of one of two, and without a pool nothing spins.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # A pattern is kept for each input shape for ever, and unpadded pairs come in hundreds of shapes.
        options.enable_mem_pattern = False
        # A failing run raises, and the scorer logs it; the runtime need not print it as well.
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime's exceptions share no base class below Exception.
            raise ModelDamaged(f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__}: {error}") from None
        self.plan = plan
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._output = self._find_output()

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return one run a pair, or one for the batch."""
        if self.plan == "single":
            return [range(i, i + 1) for i in range(len(pairs))]
        return [range(len(pairs))]

    def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        """Return the logit of each pair, shape [pairs]; raises whatever ONNX Runtime raises."""
        longest = max(pair.tokens for pair in pairs)
        shape = (len(pairs), longest)
        feeds = {name: np.zeros(shape, dtype=np.int64) for name in self._inputs}
        for row, pair in enumerate(pairs):
            for name, values in self._feed(pair):
                feeds[name][row, : pair.tokens] = values
        (logits,) = self._session.run([self._output], feeds)
        flat: npt.NDArray[np.float32] = np.asarray(logits, dtype=np.float32).reshape(len(pairs))
        return flat

    def _feed(self, pair: EncodedPair) -> list[tuple[str, npt.ArrayLike]]:
        values: dict[str, npt.ArrayLike] = {
            "input_ids": pair.ids,
            "token_type_ids": pair.type_ids,
            "attention_mask": 1,
        }
        return [(name, values[name]) for name in self._inputs]

    def _find_output(self) -> str:
        unknown = self._inputs - {"input_ids", "token_type_ids", "attention_mask"}
        if unknown or "input_ids" not in self._inputs:
            raise ConfigurationError(
                f"the model has inputs {sorted(self._inputs)}; a cross-encoder has input_ids, attention_mask, "
                "token_type_ids"
            )
        output = self._session.get_outputs()[0]
        labels = output.shape[-1] if output.shape else None
        if isinstance(labels, int) and labels != 1:
            raise ConfigurationError(
                f"the model's output {output.name!r} has shape {output.shape}: a reranker has one logit a pair"
            )
        name: str = output.name
        return name


def precision_of(path: Path, plan: Plan) -> str:
    """Return the precision that stands in cache keys: fp32, int8, or int8-padded where scores vary with the batch."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        int8 = any(data.find(name) >= 0 for name in _INT8_OPERATORS)
    if not int8:
        return "fp32"
    return "int8" if plan == "single" else "int8-padded"


def artefact_of(files: ModelFiles, tokenizer: PairTokenizer, plan: Plan, limit: int | None = None) -> Artefact:
    """Return the identity under which a model's scores are cached and announced; `limit` lowers its max_length."""
    max_length = files.max_length or _DEFAULT_MAX_LENGTH
    return Artefact(
        model=files.name,
        model_digest=files.model_digest,
        tokenizer_digest=files.tokenizer_digest,
        precision=precision_of(files.model_path, plan),
        template=str(tokenizer.template),
        max_length=min(limit or max_length, max_length),
        truncation=TRUNCATION,
        activation=files.activation,
    )
