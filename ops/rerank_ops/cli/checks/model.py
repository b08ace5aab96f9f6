"""The model: that its files are there and are the right ones, and that this installation can run it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rerank_ops.cli.checks.finding import Finding
from rerank_ops.cli.extras import WORKER, WORKER_HINT, missing
from rerank_shared.catalogue import CATALOGUE, ModelFiles, load_files
from rerank_shared.errors import RerankError
from rerank_shared.settings import Settings

_QUERY = "what does a reranker do?"
_DOCUMENT = "It reads a query and a document together and tells how well the one answers the other."


def check_model(settings: Settings) -> Iterator[Finding]:
    """Yield one finding on the files and one on running them."""
    files: ModelFiles | None = None
    try:
        files = load_files(settings.model, settings.model_digest, settings.activation)
    except RerankError as error:
        yield Finding("model", "fail", error.message)
    else:
        yield _described(files, settings)
    if lacking := missing(WORKER):
        yield Finding("engine", "fail", f"{', '.join(lacking)} not installed: no worker can run here", WORKER_HINT)
    elif files is not None:
        yield _try_engine(files, settings)


def _described(files: ModelFiles, settings: Settings) -> Finding:
    megabytes = files.model_path.stat().st_size / 1e6
    message = f"{files.name}, {megabytes:.0f} MB, SHA-256 {files.model_digest[:12]}… in {_short(files.model_path)}"
    if settings.model_digest or settings.model in CATALOGUE:
        return Finding("model", "ok", f"{message}, as expected")
    return Finding("model", "warn", f"{message}, not pinned", f"set RERANK_MODEL_DIGEST={files.model_digest}")


def _try_engine(files: ModelFiles, settings: Settings) -> Finding:
    from rerank_worker.engine import OnnxEngine, artefact_of
    from rerank_worker.tokenizing import PairTokenizer

    started = time.perf_counter()
    try:
        tokenizer = PairTokenizer(files.tokenizer_path)
        engine = OnnxEngine(files.model_path, settings.plan)
        artefact = artefact_of(files, tokenizer, settings.plan)
        loaded = time.perf_counter()
        (pair,) = tokenizer.encode(_QUERY, [_DOCUMENT], artefact.max_length)
        engine.score([pair])
    except RerankError as error:
        return Finding("engine", "fail", error.message)
    ran_ms = (time.perf_counter() - loaded) * 1000
    if artefact.max_length > settings.budget_tokens:
        return Finding(
            "engine",
            "fail",
            f"a pair of this model may have {artefact.max_length} tokens, a batch only {settings.budget_tokens}",
            f"set RERANK_BUDGET_TOKENS to {artefact.max_length} or more",
        )
    return Finding(
        "engine",
        "ok",
        f"{artefact.precision}, up to {artefact.max_length} tokens; loads in {loaded - started:.2f} s, "
        f"first pair of {pair.tokens} tokens in {ran_ms:.1f} ms",
    )


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
