"""The profile of a choice: the settings that workers, clients and gateway need, each with its reason."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rerank_ops.choose.result import Choice
from rerank_ops.tune.policy import Choice as Settled
from rerank_ops.tune.profile_file import write_profile
from rerank_shared.models.cpu import cpu_name
from rerank_shared.settings import Settings, profile_of

COMMAND = "rerank-fleet choose"


def write_choice(path: Path, choice: Choice, settings: Settings) -> None:
    """Write the picked configuration for `RERANK_PROFILE`, with what the profile in force has besides.

    Raises OSError.
    """
    assert choice.picked is not None
    write_profile(path, settled(choice, settings), _made_for(choice), COMMAND)


def settled(choice: Choice, settings: Settings) -> Settled:
    """Return the settings, their reasons, and what to beware of."""
    assert choice.picked is not None
    assert choice.confirmed is not None
    each, asked, gain = choice.picked.configuration, choice.asked, choice.confirmed.over_stage.gain
    before = profile_of(settings)
    values: dict[str, Any] = {} if before is None else dict(before.values)
    reasons = dict.fromkeys(values, f"from {before.path}, with which this was measured" if before else "")
    fused = each.weight > 0 and each.method != "none"
    values |= {"model": _named(choice), "max_length": each.max_length, "fusion": each.method if fused else "none"}
    values |= {"fusion_weight": each.weight} if fused else {}
    option = choice.option(each)
    reasons["model"] = (
        f"{asked.measure} {choice.confirmed.figure.mean:.4f} on {choice.confirmed.queries} queries that did not pick "
        f"it, {gain.mean:+.4f} to {asked.stage} (95 %: {gain.low:+.4f} to {gain.high:+.4f})"
    )
    reasons["max_length"] = f"p95 {option.latency.p95_ms:.0f} ms at k {each.k} on {asked.processes} processes"
    reasons["fusion"] = "requests have to carry first-stage scores" if fused else "the model alone orders"
    notes = [f"k is the caller's: send the best {each.k} candidates of {asked.stage}", *choice.notes]
    if gain.low <= 0:
        notes.append(f"it is not shown to be better than {asked.stage} alone")
    return Settled(values, reasons, tuple(notes))


def _named(choice: Choice) -> str:
    """Return the picked model as `RERANK_MODEL` takes it."""
    assert choice.picked is not None
    source = choice.model(choice.picked.configuration.model).source
    return f"file:{Path(source).resolve()}" if Path(source).is_dir() else source


def _made_for(choice: Choice) -> dict[str, Any]:
    assert choice.picked is not None
    each, asked = choice.picked.configuration, choice.asked
    info = choice.model(each.model).info
    return {
        "made_at": datetime.now(UTC),
        "host": socket.gethostname(),
        "cpu": cpu_name(),
        "model": info.name,
        **({} if info.digest is None else {"model_digest": info.digest}),
        "scores": str(info.precision),
        "data": asked.data,
        "queries": asked.queries,
        "first_stage": asked.stage,
        "k": each.k,
        "p95_ms": asked.p95_ms,
        "processes": asked.processes,
        **({} if asked.rate is None else {"requests_per_s": asked.rate}),
        "seed": asked.seed,
        "versions": {"rerank-fleet": version("rerank-fleet")},
    }
