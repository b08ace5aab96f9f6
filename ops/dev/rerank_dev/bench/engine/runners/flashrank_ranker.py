"""FlashRank's Ranker on an ONNX file of its directory layout, without its download: one batch padded to the longest."""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from typing import Any

from rerank_dev.bench.engine.child import Arguments, Score, serve


def load(arguments: Arguments) -> Score:
    """Open it. Its sessions take every core, and it has no option for that, so its session is bound to one thread."""
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    runtime.InferenceSession = partial(runtime.InferenceSession, sess_options=options)
    directory = arguments.directory
    import_module("flashrank.Config").model_file_map[directory.name] = "model.onnx"
    library = import_module("flashrank")
    ranker = library.Ranker(model_name=directory.name, cache_dir=str(directory.parent), log_level="WARNING")

    def score(query: str, documents: list[str], _: int) -> list[float]:
        passages = [{"id": i, "text": document} for i, document in enumerate(documents)]
        ranked = ranker.rerank(library.RerankRequest(query=query, passages=passages))
        scores = [0.0] * len(documents)
        for passage in ranked:
            scores[passage["id"]] = _logit(float(passage["score"]))
        return scores

    return score


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(inside / (1 - inside))


if __name__ == "__main__":
    serve(load, ["flashrank", "onnxruntime", "tokenizers"])
