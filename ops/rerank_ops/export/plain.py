"""Plain export: writes any sequence classifier that optimum knows as one graph from padded ids to logits.

It serves families for which no graph is built, and is the reference for the others. It never uses the network. torch,
transformers and optimum are imported only in the functions that need them.
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
from rerank_shared.models.precision import PrecisionName

MODEL_FILE, DATA_FILE = "model.onnx", "weights.bin"
_TASK = "text-classification"
#: Tensors smaller than this stay in the graph: shapes, axes and scalars.
_EXTERNAL_BYTES = 1024


def load_classifier(directory: Path) -> Any:
    """Return transformers' model of a directory in float32, in its plainest attention, ready to be called.

    Raises ConfigurationError where weights are missing; transformers would replace them by random ones.
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
                # A config may leave it out, and transformers would then assume two.
                num_labels=1,
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
                # Without it, transformers asks on the terminal.
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:
            # Each family's own code runs here, on any config, so any error is possible.
            raise ConfigurationError(f"transformers can't load {directory}: {first_line(error)}") from None
    if missing := sorted(found["missing_keys"]):
        raise ConfigurationError(
            f"the weights in {directory} lack {', '.join(missing[:3])}: they are no whole reranker"
        )
    return model.eval()


def export_plain(directory: Path, output: Path) -> Path:
    """Trace a directory of weights by optimum, write the fp32 graph as `output`/model.onnx, and return its path.

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
        except Exception as error:
            # Tracing runs the model's code on made-up inputs, so any error is possible.
            raise _untraceable(model.config.model_type, first_line(error)) from None
    return output / MODEL_FILE


def check_traceable(config: dict[str, Any]) -> None:
    """Raise ConfigurationError for a model_type that optimum can't trace; no weights are read."""
    try:
        import optimum.exporters.onnx.model_configs  # noqa: F401 (registers what it knows)
        from optimum.exporters.tasks import TasksManager
    except ImportError as error:
        raise export_extra(f"optimum-onnx ({error.name})") from None
    family = str(config.get("model_type"))
    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(family, "onnx", library_name="transformers")
    except KeyError as error:
        raise _untraceable(family, first_line(error)) from None
    if _TASK not in tasks:
        raise _untraceable(family, f"it knows no {_TASK} for it")


def _untraceable(family: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"optimum can't export model_type {family!r}: {why}. Export it to ONNX by other means and give the ONNX file"
    )


def quantise_plain(fp32: Path, output: Path, *, reduced_range: bool = False) -> Path:
    """Write the dynamic int8 form of a graph into `output` and return its path: linear layers only, weights by channel.

    `reduced_range` limits weights to 7 bits, for CPUs on which 8 bits saturate.
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
    """Write `graph` as fused by ONNX Runtime, with its weights in a file that processes share; return the file names.

    It fuses up to the extended level, whose result does not depend on this machine's CPU.
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
    """Write the graph of an fp32 one in `precision` into `output` and return its file names.

    Raises ConfigurationError for a precision other than fp32 and int8.
    """
    if precision == "fp32":
        return optimise_plain(fp32, output)
    if precision == "int8":
        with tempfile.TemporaryDirectory(dir=output) as scratch:
            return optimise_plain(quantise_plain(fp32, Path(scratch), reduced_range=reduced_range), output)
    raise ConfigurationError(f"the plain export has no {precision}: it makes fp32 and int8")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide tracing's warnings and log lines: they are about code that is not the user's."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: Exception) -> str:
    """Return an error's message in one line: its first line, and the next if the first ends with a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    # The text of a KeyError or IndexError alone may be a single number.
    return said if " " in said else f"{type(error).__name__}: {said}"
