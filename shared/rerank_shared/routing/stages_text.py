"""Stages as people write them on the command line: `small>big@20`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_shared.errors import ConfigurationError
from rerank_shared.nearest import did_you_mean
from rerank_shared.routing.route import MAX_TARGETS, Stage

EXAMPLE = "'small>big@20', in quotes: the shell takes > for a redirection"


def text_of(stages: Sequence[Stage]) -> str:
    """Return stages as text, with blanks: `small > big@20`."""
    return " > ".join(stage.model if stage.keep is None else f"{stage.model}@{stage.keep}" for stage in stages)


def stages_of(text: str, models: Sequence[str], *, option: str, auto: bool = False) -> tuple[Stage, ...]:
    """Return the stages of a text, whose models are among these. `auto`: a stage may keep what there is time for.

    Raises ConfigurationError, which names the option and what is wrong.
    """
    parts = [part.strip() for part in text.split(">")]
    if len(parts) > MAX_TARGETS:
        raise ConfigurationError(f"{option} {text!r}: {MAX_TARGETS} models at most; here are {len(parts)}")
    stages = tuple(_stage(part, text, models, option, auto=auto) for part in parts)
    if stages[0].keep is not None:
        raise ConfigurationError(f"{option} {text!r}: the first model scores all candidates, and takes no number")
    return stages


def refuse_beyond(stages: Sequence[Stage], k: int, said: str) -> None:
    """Raise ConfigurationError that begins with `said` for a stage that keeps more than `k` candidates."""
    for stage in stages:
        if isinstance(stage.keep, int) and stage.keep > k:
            raise ConfigurationError(f"{said}: {stage.keep} is more than the {k} candidates of --k")


def _stage(part: str, text: str, models: Sequence[str], option: str, *, auto: bool) -> Stage:
    whole = part in models
    model, at, number = (part, "", "") if whole else (word.strip() for word in part.rpartition("@"))
    if not whole and not at:
        model, number = number, ""
    if model not in models:
        raise ConfigurationError(
            f"{option} {text!r}: no model {model!r} is known here, but {', '.join(models)}{did_you_mean(model, models)}"
        )
    if not at:
        return Stage(model)
    if auto and number == "auto":
        return Stage(model, "auto")
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        raise ConfigurationError(
            f"{option} {text!r}: {number!r} is no number of candidates, as in {EXAMPLE}. Without @ a model scores all"
        )
    return Stage(model, int(number))
