"""fastembed's TextCrossEncoder on local files; a batch size of 0 is its own default."""

from __future__ import annotations

from importlib import import_module

from rerank_dev.bench.engine.child import Arguments, Score, serve

_NAME = "bench/cross-encoder"


def load(arguments: Arguments) -> Score:
    """Open it, with the files registered as a model of its own."""
    encoder = import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
    source = import_module("fastembed.common.model_description").ModelSource
    encoder.add_custom_model(model=_NAME, sources=source(hf=_NAME), model_file="model.onnx")
    model = encoder(_NAME, threads=1, providers=["CPUExecutionProvider"], specific_model_path=str(arguments.directory))

    def score(query: str, documents: list[str], batch_size: int) -> list[float]:
        chosen = {"batch_size": batch_size} if batch_size else {}
        return list(model.rerank(query, documents, **chosen))

    return score


if __name__ == "__main__":
    serve(load, ["fastembed", "onnxruntime", "tokenizers"])
