"""Who takes part: a name, how it is run, and on which files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rerank_shared.models.precision import LayoutName, PrecisionName

BATCH_SIZES = (1, 2, 4, 8, 16)
#: Pairs a run of our layouts other than unpadded, whose runs are as long as a worker makes them by itself.
RUN_PAIRS = (2, 4, 8, 16)
#: Our int8 engine by a kernel: what all others are held against where one runs.
BY_KERNEL = "ours-int8-row-unpadded"
#: The same files by ONNX Runtime's operators: the headline where no kernel runs.
BY_OPERATORS = "ours-int8-unpadded"
#: Whose scores are taken as right.
REFERENCE = "st-torch"
#: Values of our runner's option `kernel`: the best one here, in whose place its name is put, and none.
BEST, OPERATORS = "best", "onnxruntime"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to score a request. `files` is a folder beside the model's own; `batch_sizes` are tried, the best stays.

    Ours in int8 and in int8-row open the same files; the option `kernel` says what runs their layers.
    """

    name: str
    label: str
    precision: str
    runner: str
    files: str
    options: tuple[tuple[str, str], ...] = ()
    batch_sizes: tuple[int, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether this is our engine, which runs in our environment; peers run in theirs."""
        return self.runner == "ours"

    @property
    def by_kernel(self) -> bool:
        """Whether a kernel is needed."""
        return ("kernel", BEST) in self.options


def _ours(precision: PrecisionName, layout: LayoutName) -> Contender:
    by_kernel = precision == "int8-row"
    files = "ours-int8" if by_kernel else f"ours-{precision}"
    options = (("layout", layout), ("kernel", BEST if by_kernel else OPERATORS))
    sizes = () if layout == "unpadded" else RUN_PAIRS
    return Contender(f"ours-{precision}-{layout}", f"Rerank Fleet, {layout}", precision, "ours", files, options, sizes)


OURS = (
    _ours("int8-row", "unpadded"),
    _ours("int8-row", "padded"),
    _ours("int8-row", "varlen"),
    _ours("int8-row", "packed"),
    _ours("int8", "unpadded"),
    _ours("int8", "padded"),
    _ours("int8", "varlen"),
    _ours("int8", "packed"),
    _ours("int8-static", "unpadded"),
    _ours("int8-static", "padded"),
    _ours("fp32", "unpadded"),
    _ours("fp32", "padded"),
    _ours("fp32", "varlen"),
    _ours("fp32", "packed"),
)
_TORCH, _ONNX = (("backend", "torch"),), (("backend", "onnx"),)
PEERS = (
    Contender("plain-int8", "plain export, one pair a run", "int8", "plain_session", "plain-int8"),
    Contender("plain-fp32", "plain export, one pair a run", "fp32", "plain_session", "plain"),
    Contender(
        "openvino-int8", "OpenVINO, best batch", "int8-static", "openvino_model", "openvino-int8",
        (("precision", "int8"),), BATCH_SIZES,
    ),
    Contender(
        "openvino-fp32", "OpenVINO, best batch", "fp32", "openvino_model", "openvino",
        (("precision", "fp32"),), BATCH_SIZES,
    ),
    Contender("flashrank", "FlashRank", "int8", "flashrank_ranker", "plain-int8"),
    Contender("st-torch", "sentence-transformers, default", "fp32", "cross_encoder", "hf", _TORCH),
    Contender("st-torch-best", "sentence-transformers, best batch", "fp32", "cross_encoder", "hf", _TORCH, BATCH_SIZES),
    Contender("st-onnx", "sentence-transformers, ONNX backend", "fp32", "cross_encoder", "plain", _ONNX),
    Contender("fastembed", "fastembed", "fp32", "fastembed_encoder", "plain"),
    Contender("optimum", "optimum, one padded call", "fp32", "optimum_call", "plain"),
)  # fmt: skip
CONTENDERS = (*OURS, *PEERS)
NAMES = tuple(contender.name for contender in CONTENDERS)


def taking_part(kernel: str | None, names: Sequence[str]) -> list[Contender]:
    """Return the contenders of these names; `kernel` is the best one here, None: those that need one are left out."""
    chosen = [contender for contender in CONTENDERS if contender.name in names and (kernel or not contender.by_kernel)]
    return [replace(contender, options=_options(contender, kernel)) for contender in chosen]


def headline(kernel: str | None) -> str:
    """Return the name of the contender that all others are held against."""
    return BY_KERNEL if kernel else BY_OPERATORS


def _options(contender: Contender, kernel: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, kernel if kernel and value == BEST else value) for name, value in contender.options)
