"""How the frozen pair set was made: `python -m rerank_dev.freeze_pairs FILE`, once, on CPython 3.11.

The demo's questions, each with a passage that answers it, with one that only shares its words, or with any other; long
passages are heads of whole docstrings. Another Python documents itself in other words, so a new file is a new set, and
reports that were made with it can't be compared to older ones.
"""

from __future__ import annotations

import inspect
import json
import platform
import pydoc
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

from rerank_ops.demo.corpus import Passage, stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import Question, stdlib_questions
from rerank_ops.quality.pairs import Pair

_SEED = 20
#: Lengths in words that docstrings are cut to; 420 words and their punctuation are more than 512 tokens.
_LONG_WORDS = (90, 140, 200, 280, 420)
_LEAST_LONG_WORDS = 80
_QUERY_WORDS = (40, 90, 160)
_NOTICE = {
    "about": "Pairs of the quality gate. Questions: Rerank Fleet. Documents: docstrings of CPython's standard library, "
    "cut at the end and with white space collapsed.",
    "licence": "Documents: PSF License Version 2, https://docs.python.org/3/license.html. Copyright (c) 2001 Python "
    "Software Foundation; All Rights Reserved.",
}


def main(arguments: Sequence[str]) -> int:
    """Write the set of the running Python to the file that is named."""
    (path,) = arguments
    pairs = list(_unique(build()))
    notice = _NOTICE | {"made_with": f"CPython {platform.python_version()}", "pairs": len(pairs)}
    lines = [json.dumps(line, ensure_ascii=False) for line in (notice, *map(asdict, pairs))]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def build() -> Iterator[Pair]:
    """Yield the pairs, question by question; the same ones each time on one Python."""
    passages, questions = stdlib_passages(), stdlib_questions()
    by_id = {passage.id: passage for passage in passages}
    long_passages = _long_passages(passages)
    short_index, long_index = Bm25Index(passages), Bm25Index(long_passages)
    lengths, chance = cycle(_LONG_WORDS), random.Random(_SEED)
    for number, question in enumerate(questions):
        text = question.text
        answers = [by_id[name] for name in question.answers if name in by_id]
        if answers and number % 3:
            yield Pair(text, answers[number % len(answers)].text, "relevant")
        if number % 2:
            yield _near(question, short_index, number % 7)
        if number % 3 == 0:
            near = _near(question, long_index, number % 4)
            yield Pair(text, _head(near.document, next(lengths)), near.kind)
        if number % 4 == 0:
            yield Pair(text, chance.choice(passages).text, "unrelated")
        if number % 16 == 0:
            # As short as pairs get: a bare name, and one word asked for.
            yield Pair(text, chance.choice(passages).id, "unrelated")
            yield Pair(text.split()[-1], chance.choice(passages).id.rpartition(".")[2], "unrelated")
    for words in _QUERY_WORDS * 3:
        query, document = chance.sample(long_passages, 2)
        yield Pair(_head(query.text, words), _head(document.text, 120), "unrelated")


def _near(question: Question, index: Bm25Index, place: int) -> Pair:
    wrong = [found for found in index.top(question.text, 20) if found.id not in question.answers]
    return Pair(question.text, wrong[min(place, len(wrong) - 1)].text, "near")


def _long_passages(passages: Sequence[Passage]) -> list[Passage]:
    """Return whole docstrings, of which the demo's corpus holds the heads only."""
    whole = []
    for passage in passages:
        text = " ".join(f"{passage.id} {inspect.getdoc(pydoc.locate(passage.id)) or ''}".split())
        if len(text.split()) >= _LEAST_LONG_WORDS:
            whole.append(Passage(passage.id, text))
    return whole


def _head(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _unique(pairs: Iterator[Pair]) -> Iterator[Pair]:
    seen: set[tuple[str, str]] = set()
    for pair in pairs:
        if (key := (pair.query, pair.document)) not in seen:
            seen.add(key)
            yield pair


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
