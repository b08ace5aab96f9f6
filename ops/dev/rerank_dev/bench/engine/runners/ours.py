"""Our scorer, opened as a worker opens it: warmed up over its lengths, pairs in the batches and runs of a worker.

`open_ours` is the one place of this benchmark that knows how a scorer is opened.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import inf
from pathlib import Path

from rerank_dev.bench.engine.child import Arguments, Score, serve
from rerank_dev.bench.engine.lineup.contenders import OPERATORS
from rerank_shared.models.catalogue import load_files
from rerank_shared.scheduling.runs import SHARED_ROWS, RunShape
from rerank_shared.settings import load_settings
from rerank_worker.batching.batch_runs import batch_runs
from rerank_worker.batching.batcher import Batch, Batcher, WaitingPair
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import PackedWeights, identity_of, kernel_for, open_engine
from rerank_worker.engine.providers import ON_CPU
from rerank_worker.scorers.pair_classifier import PairClassifier
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from rerank_worker.warmup import warm_up

MAX_LENGTH = 512
#: As a worker's batches are bounded.
BUDGET_TOKENS = 2048


def open_ours(directory: Path, layout: str, pairs: int = SHARED_ROWS, kernel: str = OPERATORS) -> PairClassifier:
    """Open the model of a directory under a layout, with at most so many pairs a run; `kernel` as RERANK_KERNEL.

    Whether it passed its quality gate does not matter to speed: the head of one of the models is random. Raises
    ConfigurationError if the kernel can't be had.
    """
    files = load_files(f"file:{directory}", unsafe=True)
    settings = load_settings(packed_dir=str(directory.parent / "packed"), layout=layout, kernel=kernel, unsafe=True)
    packed = PackedWeights.of(settings, files.model_digest)
    prepared = kernel_for(settings, files, ON_CPU, packed)
    tokenizer, shape = PairTokenizer.of(files), RunShape(settings.layout, pairs=pairs)
    engine = open_engine(files, shape, packed=packed, kernel=prepared)
    identity = identity_of(files, tokenizer, settings.layout, MAX_LENGTH, prepared)
    return PairClassifier(tokenizer, engine, shape, identity)


def score_pairs(scorer: PairClassifier, pairs: Sequence[EncodedPair], run_cost: RunCost) -> list[float]:
    """Return the logit of each pair, in order, in the batches and runs of a worker that has these pairs alone.

    `run_cost` learns from each run, and bounds the later ones.
    """
    work = run_cost.work
    batcher = Batcher(
        budget_tokens=BUDGET_TOKENS,
        max_wait_s=0.0,
        predict_s=run_cost.cost.predict_s,
        layout=work.layout,
        work_of=work.pair_work,
        most_pairs=work.batch_pairs,
    )
    for index, pair in enumerate(pairs):
        batcher.add(WaitingPair(index.to_bytes(8, "big"), pair.tokens, 0.0, inf, 0.0, index))
    logits = [0.0] * len(pairs)

    def tokens(indices: Sequence[int]) -> list[int]:
        return [pairs[index].tokens for index in indices]

    while isinstance(batch := batcher.next(0.0), Batch):
        for run in batch_runs(
            [candidate.sequence for candidate in batch.candidates],
            lambda indices: scorer.runs([pairs[index] for index in indices]),
            lambda indices: run_cost.predict_s(tokens(indices)),
            joins=scorer.joins_runs,
        ):
            begun = time.perf_counter()
            found = scorer.score([pairs[index] for index in run.pairs])
            run_cost.observe(tokens(run.pairs), time.perf_counter() - begun)
            for index, logit in zip(run.pairs, found.tolist(), strict=True):
                logits[index] = logit
    return logits


def load(arguments: Arguments) -> Score:
    """Return a function that is as ready as a worker that says so; a scorer for each batch size that is asked for."""
    layout, kernel = arguments.options["layout"], arguments.options["kernel"]
    scorer = open_ours(arguments.directory, layout, kernel=kernel)
    run_cost = RunCost(scorer.work)
    warm_up(scorer, run_cost, BUDGET_TOKENS)
    sizes = {0: (scorer, run_cost), SHARED_ROWS: (scorer, run_cost)}

    def score(query: str, documents: list[str], batch_size: int) -> list[float]:
        if batch_size not in sizes:
            sized = open_ours(arguments.directory, layout, batch_size, kernel)
            sizes[batch_size] = sized, RunCost(sized.work)
        sized, learned = sizes[batch_size]
        return score_pairs(sized, scorer.encode(query, documents, MAX_LENGTH), learned)

    return score


if __name__ == "__main__":
    serve(load, ["onnxruntime", "rerank-fleet-kernels", "tokenizers", "numpy"])
