"""The plain export in a bare ONNX Runtime session, one unpadded pair a run: what a careful user writes by hand."""

from __future__ import annotations

from importlib import import_module

from rerank_dev.bench.engine.child import Arguments, Score, serve

_MAX_LENGTH = 512


def load(arguments: Arguments) -> Score:
    """Open it."""
    numpy, runtime = import_module("numpy"), import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        str(arguments.directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(arguments.directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=_MAX_LENGTH)
    names = [node.name for node in session.get_inputs()]

    def score(query: str, documents: list[str], _: int) -> list[float]:
        scores = []
        for encoding in tokenizer.encode_batch_fast([(query, document) for document in documents]):
            values = {
                "input_ids": encoding.ids,
                "token_type_ids": encoding.type_ids,
                "attention_mask": encoding.attention_mask,
            }
            (logits,) = session.run(None, {name: numpy.array([values[name]], dtype=numpy.int64) for name in names})
            scores.append(float(logits[0, 0]))
        return scores

    return score


if __name__ == "__main__":
    serve(load, ["onnxruntime", "tokenizers"])
