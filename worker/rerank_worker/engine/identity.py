"""Scoring identity: all that the scores of a loaded model depend on, for the cache and for announcements."""

from __future__ import annotations

import mmap
from pathlib import Path

from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.config_files import DEFAULT_MAX_LENGTH
from rerank_shared.models.onnx_outline import BFLOAT16, FLOAT16, read_outline
from rerank_shared.models.precision import LayoutName, PrecisionName, score_precision
from rerank_worker.engine.kernels.prepared import PreparedKernel
from rerank_worker.tokenizing import TRUNCATION, PairTokenizer

#: Names of operators that only a quantised graph has, as they stand in the file.
_INT8_OPERATORS = (b"MatMulInteger", b"DynamicQuantizeMatMul", b"QAttention")


def identity_of(
    files: ModelFiles,
    tokenizer: PairTokenizer,
    layout: LayoutName,
    limit: int | None = None,
    kernel: PreparedKernel | None = None,
) -> ScoringIdentity:
    """Return the scoring identity of a model in a layout; `limit` (tokens) lowers its max_length.

    A `kernel` names the precision itself: its scores are the same in every layout.
    """
    max_length = files.max_length or DEFAULT_MAX_LENGTH
    return ScoringIdentity(
        model=files.name,
        model_digest=files.model_digest,
        tokenizer_digest=files.tokenizer_digest,
        precision=kernel.kernel.precision if kernel else score_precision(model_precision(files), layout),
        template=str(tokenizer.template),
        max_length=min(limit or max_length, max_length),
        truncation=TRUNCATION,
        activation=files.activation,
    )


def run_precision(files: ModelFiles, kernel: PreparedKernel | None) -> PrecisionName:
    """Return the precision in which a model runs: the kernels' where one runs its layers, else its own."""
    return "int8-row" if kernel else model_precision(files)


def model_precision(files: ModelFiles) -> PrecisionName:
    """Return the precision of a model: from its manifest, else from its ONNX file."""
    return files.manifest.precision if files.manifest else precision_of(files.model_path)


def precision_of(path: Path) -> PrecisionName:
    """Return the precision of a plain ONNX file: int8 if it has an operator of dynamic quantisation.

    Otherwise it is the precision of most weights.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if any(data.find(name) >= 0 for name in _INT8_OPERATORS):
            return "int8"
    outline = read_outline(path)
    if outline.most_weights_are(FLOAT16):
        return "fp16"
    return "bf16" if outline.most_weights_are(BFLOAT16) else "fp32"
