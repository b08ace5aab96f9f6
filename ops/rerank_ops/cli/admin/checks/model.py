"""Check of the model: its files exist and are the expected ones, and this installation can run it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.extras import WORKER, WORKER_HINT, missing
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import RerankError
from rerank_shared.models.catalogue import CATALOGUE, ModelFiles, configured_files
from rerank_shared.models.exported import bounds_of, check_template, refusal
from rerank_shared.models.manifest import Manifest
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import entry_of
from rerank_shared.settings.model_entries import ModelEntry

_QUERY = "what does a reranker do?"
_DOCUMENT = "It reads a query and a document together and tells how well the one answers the other."


def check_models(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on each model that workers with these settings serve."""
    for model in settings.served_models:
        yield from _check_model(settings.model_copy(update={"model": model}))


def _check_model(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on the model's files, its quality gate, its device and a trial run."""
    files: ModelFiles | None = None
    try:
        files = configured_files(settings)
    except RerankError as error:
        yield Finding("model", "fail", error.message)
    else:
        yield _described(files, settings)
        if files.manifest is not None:
            yield _gate(files.manifest, settings)
    if lacking := missing(WORKER):
        yield Finding("engine", "fail", f"{', '.join(lacking)} not installed: no worker can run here", WORKER_HINT)
    elif files is not None:
        yield check_device(files, settings)
        yield check_kernel(files, settings)
        yield _try_engine(files, settings)


def _described(files: ModelFiles, settings: Settings) -> Finding:
    megabytes = sum(path.stat().st_size for path in files.weights) / 1e6
    entry = entry_of(settings.model, settings)
    message = (
        f"{_named(entry, files)}, {megabytes:.0f} MB, SHA-256 {files.model_digest[:12]}… in {_short(files.model_path)}"
    )
    if entry.digest or settings.model_digest or entry.source in CATALOGUE:
        return Finding("model", "ok", f"{message}, as expected")
    if files.manifest is not None and not settings.unsafe:
        return Finding("model", "ok", f"{message}, as its manifest says")
    pin = f"set RERANK_MODEL_DIGEST={files.model_digest}"
    if len(settings.served_models) > 1:
        pin = (
            f'name a commit: hf:org/name@COMMIT, or set digest = "{files.model_digest}" in its [[models]] of fleet.toml'
        )
    return Finding("model", "warn", f"{message}, not pinned", pin)


def _named(entry: ModelEntry, files: ModelFiles) -> str:
    """Return the model's name, and behind it what fleet.toml says of it."""
    also = [f"also {', '.join(entry.aliases)}"] if entry.aliases else []
    also += [] if entry.share is None else [f"share {entry.share:g}"]
    told = f"{entry.name} ({', '.join(also)})" if also else entry.name
    return files.name if told in (name_of(entry.source), files.name) else f"{told}: {files.name}"


def _gate(manifest: Manifest, settings: Settings) -> Finding:
    quality, reason = manifest.quality, refusal(manifest, bounds_of(settings))
    if quality is None or reason is not None:
        return Finding("quality", "warn", f"served all the same, since RERANK_UNSAFE is set: {reason}")
    means = [f"nDCG@10 on {c.name} {c.ndcg_10:.3f} (fp32 {c.ndcg_10_fp32:.3f})" for c in quality.collections]
    told = [f"Spearman {quality.spearman:.4f} over {quality.pairs} pairs against fp32", *means]
    return Finding("quality", "ok", f"{manifest.precision}: {', '.join(told)}")


def check_device(files: ModelFiles, settings: Settings) -> Finding:
    """Return the device that the model runs on here, and why; warn of settings that leave a GPU idle."""
    from rerank_worker.engine import model_precision, providers_for

    try:
        providers = providers_for(settings, model_precision(files))
    except RerankError as error:
        return Finding("device", "fail", error.message)
    message = f"{', '.join(providers.names)}: {providers.reason}"
    if providers.device != "cpu" and (advice := gpu_advice(settings)):
        return Finding("device", "warn", f"{message}; the settings are a CPU's", "; ".join(advice))
    return Finding("device", "ok", message)


def check_kernel(files: ModelFiles, settings: Settings) -> Finding:
    """Return what runs the model's layers here, a kernel or ONNX Runtime's operators, and why."""
    from rerank_worker.engine import choice_for, graph_layout, model_precision, providers_for

    try:
        choice = choice_for(settings, files, providers_for(settings, model_precision(files)))
    except RerankError as error:
        return Finding("kernel", "fail", error.message)
    told = f"{choice.name}: {choice.reason}"
    if choice.kernel is None or files.manifest is None or settings.layout != "unpadded":
        return Finding("kernel", "ok", told)
    if graph_layout(settings.layout, files.manifest.layouts, by_kernel=True) == settings.layout:
        remedy = "export the model again with `--layouts unpadded,varlen`"
        return Finding("kernel", "ok", f"{told}; one pair a run, since the model has no graph of layout varlen", remedy)
    return Finding("kernel", "ok", f"{told}; several pairs a run, by the graph of layout varlen")


def gpu_advice(settings: Settings) -> list[str]:
    """Return the settings to change on a GPU because their values suit a CPU."""
    advice = []
    if settings.layout == "unpadded":
        advice.append("set RERANK_LAYOUT to padded, varlen or packed: a GPU gains from pairs that run together")
    elif settings.budget_tokens < 2 * settings.run_tokens:
        advice.append("set RERANK_BUDGET_TOKENS to twice RERANK_RUN_TOKENS or more: one run is copied while one runs")
    if settings.processes is None:
        advice.append("set RERANK_PROCESSES to 1 or 2: unset, each core's process puts the model on the GPU")
    return advice


def _try_engine(files: ModelFiles, settings: Settings) -> Finding:
    from rerank_shared.scheduling.runs import RunShape
    from rerank_worker.engine import (
        PackedWeights,
        identity_of,
        kernel_for,
        model_precision,
        open_engine,
        providers_for,
    )
    from rerank_worker.tokenizing import PairTokenizer

    started = time.perf_counter()
    try:
        tokenizer = PairTokenizer.of(files)
        check_template(files.manifest, str(tokenizer.template), unsafe=settings.unsafe)
        providers = providers_for(settings, model_precision(files))
        # Looked at only: nothing is written for the workers to come.
        packed = PackedWeights(None)
        kernel = kernel_for(settings, files, providers, packed)
        engine = open_engine(files, RunShape.of(settings), settings.threads, packed, providers, kernel)
        identity = identity_of(files, tokenizer, settings.layout, kernel=kernel)
        loaded = time.perf_counter()
        (pair,) = tokenizer.encode(_QUERY, [_DOCUMENT], identity.max_length)
        engine.score([pair])
    except RerankError as error:
        return Finding("engine", "fail", error.message)
    ran_ms = (time.perf_counter() - loaded) * 1000
    if identity.max_length > settings.budget_tokens:
        return Finding(
            "engine",
            "fail",
            f"a pair of this model may have {identity.max_length} tokens, a batch only {settings.budget_tokens}",
            f"set RERANK_BUDGET_TOKENS to {identity.max_length} or more",
        )
    return Finding(
        "engine",
        "ok",
        f"{identity.precision}, up to {identity.max_length} tokens; loads in {loaded - started:.2f} s, "
        f"first pair of {pair.tokens} tokens in {ran_ms:.1f} ms",
    )


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
