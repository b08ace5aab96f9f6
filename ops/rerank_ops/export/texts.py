"""From texts to logits as a worker gets them, and the texts that an export looks at: all of the frozen pair set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_ops.export.reference import Score
from rerank_ops.quality.agreement import Scores
from rerank_ops.quality.invariance import Scorer, TextPair
from rerank_ops.quality.pairs import frozen_pairs
from rerank_worker.engine import Engine
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

#: Every fifth pair of the frozen set: activation ranges need little text, and no label of it is seen.
_CALIBRATION_STEP = 5
_CHECKED = 10
#: Enough for every position and bucket to be met; attention of longer text would need gigabytes in the plain reference.
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
        """Return pairs whose activations stand for those of ordinary text."""
        return self.encode(_frozen()[::_CALIBRATION_STEP])

    def checked(self) -> list[EncodedPair]:
        """Return pairs of many lengths, the longest cut off, on which two forms of a model are compared."""
        by_length = sorted(_frozen(), key=lambda pair: len(pair[1]))
        some = by_length[:: max(1, len(by_length) // _CHECKED)]
        long = " ".join(document for _, document in by_length[-_CHECKED:])
        return self.encode([*some, (by_length[0][0], long)], _LONGEST_CHECKED)

    def by_engine(self, engine: Engine) -> Scorer:
        """Return a scorer of texts that runs an engine as a worker does: sorted by length, in runs of its choice."""
        return self._scorer(lambda pairs: run_engine(engine, pairs))

    def by_reference(self, reference: Score) -> Scorer:
        """Return a scorer of texts by the model as it was published."""
        return self._scorer(reference)

    def _scorer(self, score: Callable[[Sequence[EncodedPair]], Scores]) -> Scorer:
        return lambda texts: score(self.encode(texts))


def _frozen() -> list[TextPair]:
    return [(pair.query, pair.document) for pair in frozen_pairs()]
