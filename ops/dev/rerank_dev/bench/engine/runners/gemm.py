"""What the matrix products of a model's linear layers reach alone on this core: the floor that no engine goes under.

Answers the rate of each shape, in 1e9 multiplications and additions a second, best of many runs and of two row counts.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from rerank_dev.bench.engine.child import Answer, Arguments, Message, serve_answers
from rerank_dev.bench.engine.floor import linear_shapes, read_shape

#: One pair of this mix, and a batch of eight.
ROWS = (96, 768)
RUNS = 30
Array = npt.NDArray[np.generic]


def product(kind: str, inner: int, outer: int) -> onnxruntime.InferenceSession:
    """Return a session of one product with fixed weights. Activations are unsigned: signed ones take a slow kernel."""
    random = np.random.default_rng(0)
    if kind == "int8":
        weight: Array = random.integers(-127, 128, (inner, outer)).astype(np.int8)
        zeros: list[Array] = [np.array(128, dtype=np.uint8), np.zeros(outer, dtype=np.int8)]
        node = helper.make_node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])
        types = TensorProto.UINT8, TensorProto.INT32
    else:
        weight, zeros = random.standard_normal((inner, outer)).astype(np.float32), []
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        types = TensorProto.FLOAT, TensorProto.FLOAT
    names = ["w", "xz", "wz"]
    stored = [numpy_helper.from_array(array, name) for array, name in zip([weight, *zeros], names, strict=False)]
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", types[0], ["rows", inner])],
        [helper.make_tensor_value_info("y", types[1], ["rows", outer])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def rate(session: onnxruntime.InferenceSession, kind: str, rows: int, inner: int, outer: int) -> float:
    """Return the best rate of one product; its output buffer is made once, as an arena does."""
    random = np.random.default_rng(1)
    x: Array = random.standard_normal((rows, inner)).astype(np.float32)
    if kind == "int8":
        x = random.integers(0, 256, (rows, inner)).astype(np.uint8)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    best = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run_with_iobinding(binding)
        best = min(best, time.perf_counter() - started)
    return 2e-9 * rows * inner * outer / best


def load(arguments: Arguments) -> Answer:
    """Build the products of the model's own shapes."""
    shapes = linear_shapes(read_shape(arguments.directory))
    sessions = {(kind, *shape): product(kind, *shape) for kind in ("int8", "fp32") for shape in shapes}

    def answer(_: Message) -> Message:
        started = time.perf_counter()
        rates: dict[str, dict[str, dict[str, float]]] = {"int8": {}, "fp32": {}}
        for (kind, inner, outer), session in sessions.items():
            rates[kind][f"{inner}x{outer}"] = {str(m): rate(session, kind, m, inner, outer) for m in ROWS}
        return {"seconds": time.perf_counter() - started, "cpu_s": 0.0, "scores": [], "rates": rates}

    return answer


if __name__ == "__main__":
    serve_answers(load, ["onnxruntime"])
