"""OpenVINO on its own format: pairs sorted by length, in batches padded to their longest."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rerank_dev.bench.engine.child import Arguments, Score, serve

_MAX_LENGTH = 512
_DEFAULT_BATCH = 8


def load(arguments: Arguments) -> Score:
    """Open it. fp32 is asked for by name, since it would take bf16 where the CPU has it; int8 may choose the rest."""
    numpy, openvino = import_module("numpy"), import_module("openvino")
    config: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Its own pinning would leave the core that all contenders share.
        "ENABLE_CPU_PINNING": False,
    }
    if arguments.options["precision"] == "fp32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(str(arguments.directory / "model.xml"), "CPU", config)
    names = [port.get_any_name() for port in compiled.inputs]
    infer = compiled.create_infer_request()
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(arguments.directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=_MAX_LENGTH)

    def run(encodings: list[Any]) -> list[float]:
        longest = max(len(encoding.ids) for encoding in encodings)
        feeds = {name: numpy.zeros((len(encodings), longest), dtype=numpy.int64) for name in names}
        for row, encoding in enumerate(encodings):
            values = {
                "input_ids": encoding.ids,
                "token_type_ids": encoding.type_ids,
                "attention_mask": encoding.attention_mask,
            }
            for name in names:
                feeds[name][row, : len(encoding.ids)] = values[name]
        logits: list[float] = infer.infer(feeds)[0].reshape(-1).tolist()
        return logits

    def score(query: str, documents: list[str], batch_size: int) -> list[float]:
        encodings = tokenizer.encode_batch_fast([(query, document) for document in documents])
        order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
        size, scores = batch_size or _DEFAULT_BATCH, [0.0] * len(encodings)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            for i, logit in zip(batch, run([encodings[i] for i in batch]), strict=True):
                scores[i] = logit
        return scores

    return score


if __name__ == "__main__":
    serve(load, ["openvino", "nncf", "tokenizers"])
