"""Texts of an export, all of the frozen pair set, and what scores texts as a worker does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_ops.export.reference import Score
from rerank_ops.quality.agreement import Scores
from rerank_ops.quality.invariance import ScoreTexts, TextPair
from rerank_ops.quality.pairs import frozen_pairs
from rerank_worker.engine import Engine
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

#: Step through the frozen set for calibration: activation ranges need little text. Labels are not read.
_CALIBRATION_STEP = 5
_CHECKED = 10
#: Enough to meet every position and bucket; attention of longer text would take gigabytes in the plain reference.
_LONGEST_CHECKED = 512


@dataclass(frozen=True, slots=True)
class Texts:
    """The tokenizer of an export and the longest pair of its model."""

    tokenizer: PairTokenizer
    max_length: int

    def encode(self, texts: Sequence[TextPair], max_length: int | None = None) -> list[EncodedPair]:
        """Return the pairs, cut to the model's length or a smaller one."""
        limit = min(max_length or self.max_length, self.max_length)
        return [self.tokenizer.encode(query, [document], limit)[0] for query, document in texts]

    def calibration(self) -> list[EncodedPair]:
        """Return the pairs that represent the activations of ordinary text."""
        return self.encode(_frozen()[::_CALIBRATION_STEP])

    def checked(self) -> list[EncodedPair]:
        """Return pairs of many lengths, the longest cut, to compare two forms of a model."""
        by_length = sorted(_frozen(), key=lambda pair: len(pair[1]))
        some = by_length[:: max(1, len(by_length) // _CHECKED)]
        long = " ".join(document for _, document in by_length[-_CHECKED:])
        return self.encode([*some, (by_length[0][0], long)], _LONGEST_CHECKED)

    def by_engine(self, engine: Engine) -> ScoreTexts:
        """Return what scores texts by an engine as a worker does: sorted by length, in the engine's runs."""
        return self._encoded(lambda pairs: run_engine(engine, pairs))

    def by_reference(self, reference: Score) -> ScoreTexts:
        """Return what scores texts by the published model."""
        return self._encoded(reference)

    def _encoded(self, score: Callable[[Sequence[EncodedPair]], Scores]) -> ScoreTexts:
        return lambda texts: score(self.encode(texts))


def remembered(score_new: ScoreTexts) -> ScoreTexts:
    """Return what scores the same texts once: fp32 is the slow side of every comparison."""
    known: dict[tuple[TextPair, ...], Scores] = {}

    def score(texts: Sequence[TextPair]) -> Scores:
        key = tuple(texts)
        if key not in known:
            known[key] = score_new(texts)
        return known[key]

    return score


def _frozen() -> list[TextPair]:
    return [(pair.query, pair.document) for pair in frozen_pairs()]
