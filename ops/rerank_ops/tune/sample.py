"""Sample of pairs to measure: the user's own text, or the frozen texts cut to a shipped distribution of lengths.

Run times depend mostly on lengths, so a sample keeps the mix of lengths of its source. The same files give the same
sample each time.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path

import numpy as np

from rerank_ops.quality.pairs import frozen_pairs
from rerank_producer.bulk.formats.request_line import parse_line
from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import ConfigurationError, InvalidRequest
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

#: Pairs of a sample; enough for the longest batch of short pairs.
PAIRS = 512
#: Queries of a collection that are used.
_BEIR_QUERIES = 40
_SEED = 7
#: Documents joined to fill the longest pair.
_JOINED = 12

#: A query with one document.
Text = tuple[str, Content]


@dataclass(frozen=True, slots=True)
class Sample:
    """Pairs sorted by length, and the name of their source."""

    source: str
    pairs: tuple[EncodedPair, ...]

    @property
    def mean_tokens(self) -> float:
        """Mean length of a pair, in tokens."""
        return sum(pair.tokens for pair in self.pairs) / len(self.pairs)

    def take(self, count: int) -> list[EncodedPair]:
        """Return `count` pairs with the sample's mix of lengths, shortest first; some repeat if there are too few."""
        return [self.pairs[int((i + 0.5) * len(self.pairs) / count)] for i in range(count)]

    def take_tokens(self, tokens: int) -> list[EncodedPair]:
        """Return at least one pair, of about `tokens` tokens together, as `take` does."""
        return self.take(max(1, round(tokens / self.mean_tokens)))


def file_sample(path: Path, tokenizer: PairTokenizer, max_length: int) -> Sample:
    """Return a sample of a file of requests, one JSON object with `query` and `documents` a line.

    Raises ConfigurationError, which names the invalid line, or the file if it has no pair.
    """
    chosen = _draw(_requests(path))
    if not chosen:
        raise ConfigurationError(f"{path} has no pair: one JSON object with query and documents a line expected")
    return Sample(str(path), _encode(chosen, tokenizer, max_length))


def beir_sample(directory: Path, tokenizer: PairTokenizer, max_length: int) -> Sample:
    """Return a sample of a labelled collection's queries with their BM25 candidates.

    Raises ConfigurationError, which names the missing or wrong file, or the missing package.
    """
    try:
        from rerank_ops.quality.collection import load_collection
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"--beir needs {error.name}: pip install 'rerank-fleet[demo]'") from None
    collection = load_collection(directory, _BEIR_QUERIES)
    chosen = _draw((task.query, found.text) for task in collection.tasks for found in task.candidates)
    if not chosen:
        raise ConfigurationError(f"{directory}: BM25 found no candidate for any query")
    return Sample(f"{collection.name}, BM25 candidates", _encode(chosen, tokenizer, max_length))


def shipped_sample(tokenizer: PairTokenizer, max_length: int) -> Sample:
    """Return the frozen texts in pairs of the shipped lengths."""
    source, lengths = shipped_lengths(PAIRS)
    texts = frozen_pairs()
    room = tokenizer.template.specials + 1
    pairs = []
    for number, length in enumerate(lengths):
        following = (texts[(number + offset) % len(texts)].document for offset in range(_JOINED))
        limit = max(room, min(length, max_length))
        pairs += tokenizer.encode(texts[number % len(texts)].query, [" ".join(following)], limit)
    return Sample(f"shipped lengths: {source}", _by_length(pairs))


def shipped_lengths(count: int) -> tuple[str, list[int]]:
    """Return the source of the shipped distribution and `count` lengths spread evenly over it."""
    table = tomllib.loads(files("rerank_ops.tune").joinpath("lengths.toml").read_text(encoding="utf-8"))
    shares, tokens = zip(*((float(share), value) for share, value in table["quantiles"].items()), strict=True)
    wanted = (np.arange(count) + 0.5) / count
    # Interpolated on a logarithmic scale, because lengths have a long tail.
    spread = np.exp(np.interp(wanted, shares, np.log(tokens)))
    return table["source"], [int(length) for length in np.round(spread)]


def _requests(path: Path) -> Iterator[Text]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                request = parse_line(line, {})
            except InvalidRequest as error:
                raise ConfigurationError(f"{path}, line {number}: {error.message}") from None
            for content in request.contents():
                yield request.query, content


def _draw(texts: Iterable[Text]) -> list[Text]:
    """Return at most PAIRS texts, each with the same chance, without holding all in memory."""
    chance, rest = random.Random(_SEED), iter(texts)
    chosen = list(islice(rest, PAIRS))
    for seen, text in enumerate(rest, start=PAIRS + 1):
        if (place := chance.randrange(seen)) < PAIRS:
            chosen[place] = text
    return chosen


def _encode(texts: Sequence[Text], tokenizer: PairTokenizer, max_length: int) -> tuple[EncodedPair, ...]:
    return _by_length([tokenizer.encode(query, [content], max_length)[0] for query, content in texts])


def _by_length(pairs: Sequence[EncodedPair]) -> tuple[EncodedPair, ...]:
    return tuple(sorted(pairs, key=lambda pair: pair.tokens))
