"""The plain export: any sequence classifier that optimum knows, as one graph from padded ids to logits.

For families without a graph of ours, and the reference of those that have one. Offline throughout. torch, transformers
and optimum are imported only where a function here needs them.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from rerank_ops.export.missing import export_extra
from rerank_shared.errors import ConfigurationError
from rerank_shared.precision import PrecisionName

MODEL_FILE, DATA_FILE = "model.onnx", "weights.bin"
_TASK = "text-classification"
#: Smaller tensors stay in the graph: shapes, axes and scalars.
_EXTERNAL_BYTES = 1024
_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


def load_classifier(directory: Path) -> Any:
    """Return transformers' model of a directory in float32, in its plainest attention, ready to be called.

    Raises ConfigurationError where weights are missing, which transformers would replace by random ones.
    """
    try:
        import torch
        from transformers import AutoModelForSequenceClassification
    except ImportError as error:
        raise export_extra(error.name or "transformers") from None
    with _quiet():
        try:
            model, found = AutoModelForSequenceClassification.from_pretrained(
                directory,
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigurationError(f"transformers can't load {directory}: {_first_line(error)}") from None
    if missing := sorted(found["missing_keys"]):
        raise ConfigurationError(
            f"the weights in {directory} lack {', '.join(missing[:3])}: they are no whole reranker"
        )
    return model.eval()


def export_plain(directory: Path, output: Path) -> Path:
    """Write the fp32 graph of a directory of weights as `output`/model.onnx, as optimum traces it; return its path.

    Raises ConfigurationError for families that optimum can't export.
    """
    model = load_classifier(directory)
    try:
        from optimum.exporters.onnx import onnx_export_from_model
    except ImportError as error:
        raise export_extra(f"optimum-onnx ({error.name})") from None
    with _quiet():
        try:
            onnx_export_from_model(model, output, task=_TASK, do_validation=False, device="cpu")
        except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
            raise ConfigurationError(
                f"optimum can't export model_type {model.config.model_type!r}: {_first_line(error)}. Export it to ONNX "
                "by other means and give the ONNX file"
            ) from None
    return output / MODEL_FILE


def check_signature(model: onnx.ModelProto) -> None:
    """Raise ConfigurationError unless a graph takes what a cross-encoder takes and gives one logit a pair."""
    names = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    if not {"input_ids"} <= names <= _INPUTS:
        raise ConfigurationError(f"the graph takes {sorted(names)}; a cross-encoder takes {', '.join(sorted(_INPUTS))}")
    shape = model.graph.output[0].type.tensor_type.shape.dim
    if len(model.graph.output) != 1 or len(shape) != 2 or shape[1].dim_value not in (0, 1):
        raise ConfigurationError(
            "the graph's output is not logits of shape [batch, 1]: a reranker has one logit a pair"
        )


def quantise_plain(fp32: Path, output: Path, *, reduced_range: bool = False) -> Path:
    """Write the dynamic int8 form of a graph into `output` and return its path: linear layers only, weights by channel.

    `reduced_range` keeps weights to 7 bits, for CPUs on which 8 would saturate.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = output / MODEL_FILE
    with _quiet():
        quantize_dynamic(
            fp32,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=reduced_range,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
            # Shapes behind control flow can't be inferred, and an unknown type would leave its product unquantised.
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    return path


def optimise_plain(graph: Path, output: Path) -> list[str]:
    """Write `graph` as ONNX Runtime runs it, fused, with its weights in a file that processes share; name the files.

    Up to the extended level, whose result does not depend on the CPU at hand.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(output / MODEL_FILE)
    options.log_severity_level = 3
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", DATA_FILE)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(_EXTERNAL_BYTES)
    )
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return [MODEL_FILE, DATA_FILE]


def plain_files(fp32: Path, output: Path, precision: PrecisionName, *, reduced_range: bool = False) -> list[str]:
    """Write the servable graph of an fp32 one in `precision` into `output` and return the names of its files."""
    check_signature(onnx.load(fp32, load_external_data=False))
    if precision == "fp32":
        return optimise_plain(fp32, output)
    if precision == "int8":
        with tempfile.TemporaryDirectory(dir=output) as scratch:
            return optimise_plain(quantise_plain(fp32, Path(scratch), reduced_range=reduced_range), output)
    raise ConfigurationError(f"the plain export has no {precision}: it makes fp32 and int8")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tracing's warnings and log lines from the user: they are about code that is not theirs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
