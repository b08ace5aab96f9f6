"""Shortening: fits a head on the first layers of an opened model, and measures how well it follows the whole model.

The result is an opened model like any other, so it is exported, compared and measured as others are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rerank_ops.export.depth.candidate_list import Divided, TextPair, divided, lists_needed
from rerank_ops.export.depth.following import following
from rerank_ops.export.depth.head import Floats, Head, fit_head
from rerank_ops.export.depth.probe import Probe, Probed
from rerank_ops.export.depth.shortened_body import check_depth, shortened_body
from rerank_ops.export.depth.text_sources import read_lists
from rerank_ops.export.graph.architecture import SURGERY, AnyBody
from rerank_ops.export.published import OURS_DIFFERS, check_equal, published_logits
from rerank_ops.export.sources.opened import Opened
from rerank_ops.export.texts import Texts
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.manifest import Following, Shortened
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import EncodedPair

Tell = Callable[[str], None]
#: Returns the logits of pairs by the layers that are kept, each [pairs]; all layers are the whole model.
EveryDepth = Callable[[Sequence[EncodedPair]], Mapping[int, Floats]]
PAIRS = 1_000
_LAYER_KEYS = ("num_hidden_layers", "n_layers")
_TOLD_EVERY = 250


@dataclass(frozen=True, slots=True)
class Depth:
    """How a model is to be shortened: to `kept` layers, by a head fitted on `pairs` pairs of the `texts`."""

    kept: int
    texts: tuple[Path, ...]
    pairs: int = PAIRS

    def read(self, tell: Tell) -> Divided:
        """Return what to fit and to measure on. Raises ConfigurationError, InputRefused, OSError."""
        if not self.texts:
            raise ConfigurationError("--depth needs text to fit a head on: --text FILE or DIR; labels are not needed")
        return divided(read_lists(self.texts, lists_needed(self.pairs), tell), self.pairs)


@dataclass(frozen=True, slots=True)
class ShortModel:
    """A shortened model, the logits of every depth by one run of the whole one, and how well it follows that."""

    opened: Opened
    every_depth: EveryDepth
    report: Shortened


def shorten(
    opened: Opened, model: str, kept: int, text: Divided, texts: Texts, scratch: Path, tell: Tell
) -> ShortModel:
    """Return `opened` cut to its first `kept` layers, with a head fitted on `text`; `model` is its name in errors.

    Raises ConfigurationError for a model without graphs of ours, a depth that it does not have, and a graph that does
    not equal the published model.
    """
    body = _body(opened, kept)
    folder = scratch / "probe"
    folder.mkdir()
    probe = Probe.of(body, folder, len(available_cores()))
    tell("comparing the whole model's graph with the published model")
    pairs = texts.checked()
    expected = published_logits(model, opened.reference, pairs)
    check_equal(probe.run(pairs).logits, expected, "of the whole model", model, OURS_DIFFERS)
    heads = _fitted(probe, text, texts, tell)
    by_depth = _measured(probe, heads, text, texts, tell)
    return ShortModel(
        opened=replace(
            opened,
            config=_config(opened.config, kept),
            body=shortened_body(body, kept, heads[kept]),
            reference=lambda given: heads[kept].logits(probe.run(given).states[kept]),
        ),
        every_depth=lambda given: _by_depth(probe.run(given), heads),
        report=_report(kept, text, by_depth),
    )


def _body(opened: Opened, kept: int) -> AnyBody:
    if opened.body is None:
        raise ConfigurationError(
            f"--depth needs a model whose layers are known here ({', '.join(sorted(SURGERY))}, and not --plain); of "
            f"this one only the plain graph can be exported: {opened.plain_because}"
        )
    check_depth(opened.body, kept)
    return opened.body


def _fitted(probe: Probe, text: Divided, texts: Texts, tell: Tell) -> dict[int, Head]:
    """Return a head for each number of layers: all are had in one run, and show which depth would do."""
    probed = _run(probe, texts.encode(text.fitted), "to fit on", tell)
    return {kept: fit_head(states, probed.logits) for kept, states in probed.states.items()}


def _measured(probe: Probe, heads: Mapping[int, Head], text: Divided, texts: Texts, tell: Tell) -> dict[int, Following]:
    """Return how well each head follows the whole model in lists of queries that none was fitted on."""
    pairs: list[TextPair] = [(each.query, document) for each in text.measured for document in each.documents]
    probed = _run(probe, texts.encode(pairs), "to measure on", tell)
    ends = np.cumsum([len(each.documents) for each in text.measured])[:-1]
    lists = {kept: np.split(logits, ends) for kept, logits in _by_depth(probed, heads).items()}
    whole = lists.pop(probe.layers)
    return {kept: following(scores, whole) for kept, scores in lists.items()}


def _by_depth(probed: Probed, heads: Mapping[int, Head]) -> dict[int, Floats]:
    shortened = {kept: head.logits(probed.states[kept]) for kept, head in heads.items()}
    return shortened | {len(heads) + 1: probed.logits}


def _run(probe: Probe, pairs: Sequence[EncodedPair], why: str, tell: Tell) -> Probed:
    def done(count: int) -> None:
        if count % _TOLD_EVERY == 0 or count == len(pairs):
            tell(f"the whole model scored {count:,} of {len(pairs):,} pairs {why}")

    return probe.run(pairs, done)


def _config(config: dict[str, Any], kept: int) -> dict[str, Any]:
    return {key: kept if key in _LAYER_KEYS else value for key, value in config.items()}


def _report(kept: int, text: Divided, by_depth: Mapping[int, Following]) -> Shortened:
    return Shortened(
        layers=len(by_depth) + 1,
        kept=kept,
        pairs=len(text.fitted),
        queries=text.queries,
        made_queries=text.made_queries,
        text_digest=text.digest,
        measured_lists=len(text.measured),
        measured_pairs=sum(len(each.documents) for each in text.measured),
        correlation=by_depth[kept].correlation,
        overlap_at_10=by_depth[kept].overlap_at_10,
        by_depth=dict(by_depth),
    )
