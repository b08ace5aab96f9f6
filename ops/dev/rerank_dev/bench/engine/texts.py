"""The requests that every contender scores: real questions, BM25 candidates, lengths that are natural or drawn.

The project's own text (documentation of Python's standard library) is shorter than what is reranked elsewhere, so each
candidate goes on with its neighbours, cut at a length drawn by SEED. A collection from a directory is left as it is.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from rerank_ops.demo.corpus import Passage, stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import stdlib_questions

SEED = 20240229
#: Median and sigma of the log-normal law of a pair's tokens: mean 96, a tenth under 52, a tenth over 149.
MEDIAN_TOKENS, SIGMA = 88.0, 0.41
SHORTEST_TOKENS, LONGEST_TOKENS = 24, 255
SPECIAL_TOKENS = 3
_LIMIT_TOKENS = 512

#: How many tokens each of some texts has.
Count = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class Request:
    """One question with its candidates; `tokens` of each pair, special ones included."""

    query: str
    documents: list[str]
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long pairs are, in tokens."""

    pairs: int
    mean: float
    sd: float
    p10: int
    median: int
    p90: int
    longest: int


@dataclass(frozen=True, slots=True)
class Texts:
    """What requests are made of. `drawn`: documents are brought to a drawn length."""

    name: str
    passages: list[Passage]
    questions: list[str]
    drawn: bool


def own_texts() -> Texts:
    """Return the demo's passages and questions."""
    questions = [question.text for question in stdlib_questions()]
    return Texts("documentation of Python's standard library", stdlib_passages(), questions, drawn=True)


def beir_texts(directory: Path) -> Texts:
    """Return a collection in BEIR's layout: corpus.jsonl and queries.jsonl, either one gzipped or not."""
    passages = [
        Passage(line["_id"], f"{line.get('title', '')} {line['text']}".strip()) for line in _lines(directory, "corpus")
    ]
    return Texts(directory.name, passages, [line["text"] for line in _lines(directory, "queries")], drawn=False)


def build_requests(texts: Texts, k: int, number: int, count: Count, skip: int = 0) -> list[Request]:
    """Return `number` requests of k pairs, the same ones each time; `skip` passes over questions used elsewhere."""
    index = Bm25Index(texts.passages)
    positions = {passage.id: i for i, passage in enumerate(texts.passages)}
    questions = random.Random(SEED).sample(texts.questions, len(texts.questions))[skip:]
    draw = random.Random(SEED + k)
    requests: list[Request] = []
    for question in questions:
        if len(requests) == number:
            break
        candidates = index.top(question, k)
        if len(candidates) < k:
            continue
        documents = [candidate.text for candidate in candidates]
        if texts.drawn:
            room = SPECIAL_TOKENS + count([question])[0]
            documents = [
                lengthened(texts.passages, positions[candidate.id], draw_tokens(draw) - room, count)
                for candidate in candidates
            ]
        requests.append(Request(question, documents, pair_tokens(question, documents, count)))
    return requests


def draw_tokens(draw: random.Random) -> int:
    """Return a pair's length by the law above."""
    return int(min(max(MEDIAN_TOKENS * draw.lognormvariate(0.0, SIGMA), SHORTEST_TOKENS), LONGEST_TOKENS))


def lengthened(passages: Sequence[Passage], start: int, tokens: int, count: Count) -> str:
    """Return the text of a passage and those after it, in words, as many as `tokens` hold; one word at least."""
    words: list[str] = []
    used = 0
    for offset in range(len(passages)):
        more = passages[(start + offset) % len(passages)].text.split()
        for word, size in zip(more, count(more), strict=True):
            if words and used + size > tokens:
                return " ".join(words)
            words.append(word)
            used += size
    return " ".join(words)


def pair_tokens(query: str, documents: Sequence[str], count: Count) -> list[int]:
    """Return the tokens of each pair, at most as many as the models take."""
    room = SPECIAL_TOKENS + count([query])[0]
    return [min(_LIMIT_TOKENS, room + size) for size in count(documents)]


def lengths(requests: Sequence[Request]) -> Lengths:
    """Describe the lengths of all pairs of some requests."""
    tokens = np.array([size for request in requests for size in request.tokens])
    p10, median, p90 = (int(value) for value in np.percentile(tokens, (10, 50, 90)))
    mean, sd = round(float(tokens.mean()), 1), round(float(tokens.std()), 1)
    return Lengths(len(tokens), mean, sd, p10, median, p90, int(tokens.max()))


def write_requests(requests: Sequence[Request], path: Path) -> None:
    """Write requests where contenders read them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(request) for request in requests]), encoding="utf-8")


def _lines(directory: Path, stem: str) -> Iterator[dict[str, Any]]:
    plain = directory / f"{stem}.jsonl"
    with _open(plain if plain.is_file() else plain.with_suffix(".jsonl.gz")) as file:
        for line in file:
            yield json.loads(line)


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
