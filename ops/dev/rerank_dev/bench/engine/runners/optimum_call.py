"""optimum as its introductions show it: the whole request in one call, padded to its longest pair."""

from __future__ import annotations

from importlib import import_module

from rerank_dev.bench.engine.child import Arguments, Score, serve


def load(arguments: Arguments) -> Score:
    """Open it."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    directory = str(arguments.directory)
    tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(directory)
    model = import_module("optimum.onnxruntime").ORTModelForSequenceClassification.from_pretrained(
        directory, provider="CPUExecutionProvider", session_options=options
    )

    def score(query: str, documents: list[str], _: int) -> list[float]:
        inputs = tokenizer([query] * len(documents), documents, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            scores: list[float] = model(**inputs).logits.squeeze(-1).tolist()
        return scores

    return score


if __name__ == "__main__":
    serve(load, ["optimum", "optimum-onnx", "transformers", "torch", "onnxruntime", "tokenizers"])
