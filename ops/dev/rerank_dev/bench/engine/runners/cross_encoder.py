"""sentence-transformers' CrossEncoder, on torch or on its ONNX backend. A batch size of 0 is its own default."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rerank_dev.bench.engine.child import Arguments, Score, serve


def load(arguments: Arguments) -> Score:
    """Open it; logits are asked for, since probabilities near 1 hide differences."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    model_class = import_module("sentence_transformers").CrossEncoder
    backend = arguments.options["backend"]
    options: dict[str, Any] = {}
    if backend == "onnx":
        runtime = import_module("onnxruntime")
        session = runtime.SessionOptions()
        session.intra_op_num_threads = session.inter_op_num_threads = 1
        options["model_kwargs"] = {
            "file_name": "model.onnx",
            "provider": "CPUExecutionProvider",
            "session_options": session,
        }
    model = model_class(str(arguments.directory), device="cpu", backend=backend, **options)
    logits = torch.nn.Identity()

    def score(query: str, documents: list[str], batch_size: int) -> Sequence[float]:
        chosen = {"batch_size": batch_size} if batch_size else {}
        pairs = [(query, document) for document in documents]
        scores: Sequence[float] = model.predict(pairs, activation_fn=logits, show_progress_bar=False, **chosen).tolist()
        return scores

    return score


if __name__ == "__main__":
    serve(load, ["sentence-transformers", "torch", "transformers", "onnxruntime", "optimum-onnx", "tokenizers"])
