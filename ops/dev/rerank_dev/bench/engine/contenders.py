"""Who takes part: a name, how it is run, on which files, and what our int8 engine is to reach against it."""

from __future__ import annotations

from dataclasses import dataclass

from rerank_shared.models.precision import LayoutName, PrecisionName

BATCH_SIZES = (1, 2, 4, 8, 16)
#: Pairs a run of our layouts other than unpadded, whose runs share nothing but the tail.
RUN_PAIRS = (2, 4, 8, 16)
#: The engine that all others are held against: the default on CPU.
HEADLINE = "ours-int8-unpadded"
#: Whose scores are taken as right.
REFERENCE = "st-torch"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to score a request. `files` is a folder beside the model's own; `batch_sizes` are tried, the best stays.

    `at_least`: how many times as fast our int8 engine is to be.
    """

    name: str
    label: str
    precision: str
    runner: str
    files: str
    options: tuple[tuple[str, str], ...] = ()
    batch_sizes: tuple[int, ...] = ()
    at_least: float | None = None

    @property
    def ours(self) -> bool:
        """Whether this is our engine, which runs in our environment; peers run in theirs."""
        return self.runner == "ours"


def _ours(precision: PrecisionName, layout: LayoutName) -> Contender:
    name, files = f"ours-{precision}-{layout}", f"ours-{precision}"
    sizes = () if layout == "unpadded" else RUN_PAIRS
    return Contender(name, f"Rerank Fleet, {layout}", precision, "ours", files, (("layout", layout),), sizes)


OURS = (
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
    Contender(
        "plain-int8", "plain export, one pair a run", "int8", "plain_session", "plain-int8", at_least=1.4
    ),
    Contender("plain-fp32", "plain export, one pair a run", "fp32", "plain_session", "plain"),
    Contender(
        "openvino-int8", "OpenVINO, best batch", "int8-static", "openvino_model", "openvino-int8",
        (("precision", "int8"),), BATCH_SIZES, at_least=1.0,
    ),
    Contender(
        "openvino-fp32", "OpenVINO, best batch", "fp32", "openvino_model", "openvino",
        (("precision", "fp32"),), BATCH_SIZES,
    ),
    Contender("flashrank", "FlashRank", "int8", "flashrank_ranker", "plain-int8", at_least=4.5),
    Contender("st-torch", "sentence-transformers, default", "fp32", "cross_encoder", "hf", _TORCH, at_least=6.0),
    Contender(
        "st-torch-best", "sentence-transformers, best batch", "fp32", "cross_encoder", "hf",
        _TORCH, BATCH_SIZES, at_least=3.5,
    ),
    Contender("st-onnx", "sentence-transformers, ONNX backend", "fp32", "cross_encoder", "plain", _ONNX),
    Contender("fastembed", "fastembed", "fp32", "fastembed_encoder", "plain"),
    Contender("optimum", "optimum, one padded call", "fp32", "optimum_call", "plain"),
)  # fmt: skip
CONTENDERS = (*OURS, *PEERS)
