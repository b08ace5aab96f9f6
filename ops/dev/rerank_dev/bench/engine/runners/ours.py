"""Our engine, opened as a worker opens it: warmed up over its lengths, pairs sorted by length, split as it asks.

`open_ours` is the one place of this benchmark that knows how an engine is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rerank_dev.bench.engine.child import Arguments, Score, serve
from rerank_dev.bench.engine.lineup.contenders import OPERATORS
from rerank_shared.models.catalogue import load_files
from rerank_shared.scheduling.runs import SHARED_ROWS, RunShape
from rerank_shared.settings import load_settings
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import Engine, PackedWeights, kernel_for, open_engine
from rerank_worker.engine.providers import ON_CPU
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from rerank_worker.warmup import warm_up

MAX_LENGTH = 512
#: As a worker's batches are bounded.
BUDGET_TOKENS = 2048


def open_ours(
    directory: Path, layout: str, pairs: int = SHARED_ROWS, kernel: str = OPERATORS
) -> tuple[PairTokenizer, Engine]:
    """Open the model of a directory under a layout, with at most so many pairs a run; `kernel` as RERANK_KERNEL.

    Whether it passed its quality gate does not matter to speed: the head of one of the models is random. Raises
    ConfigurationError if the kernel can't be had.
    """
    files = load_files(f"file:{directory}", unsafe=True)
    settings = load_settings(packed_dir=str(directory.parent / "packed"), layout=layout, kernel=kernel, unsafe=True)
    packed = PackedWeights.of(settings, files.model_digest)
    prepared = kernel_for(settings, files, ON_CPU, packed)
    engine = open_engine(files, RunShape(settings.layout, pairs=pairs), packed=packed, kernel=prepared)
    return PairTokenizer.of(files), engine


def score_pairs(engine: Engine, pairs: Sequence[EncodedPair]) -> list[float]:
    """Return the logit of each pair, in order, run as the scorer runs a batch."""
    logits: list[float] = run_engine(engine, pairs).tolist()
    return logits


def load(arguments: Arguments) -> Score:
    """Return a scorer that is as ready as a worker that says so; an engine for each batch size that is asked for."""
    layout, kernel = arguments.options["layout"], arguments.options["kernel"]
    tokenizer, engine = open_ours(arguments.directory, layout, kernel=kernel)
    warm_up(engine, tokenizer, RunCost(), MAX_LENGTH, BUDGET_TOKENS)
    engines = {0: engine, SHARED_ROWS: engine}

    def score(query: str, documents: list[str], batch_size: int) -> list[float]:
        if batch_size not in engines:
            _, engines[batch_size] = open_ours(arguments.directory, layout, batch_size, kernel)
        return score_pairs(engines[batch_size], tokenizer.encode(query, documents, MAX_LENGTH))

    return score


if __name__ == "__main__":
    serve(load, ["onnxruntime", "rerank-fleet-kernels", "tokenizers", "numpy"])
