"""A corpus in which documents of one subject share words, and lists and labels as a distillation has them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rerank_ops.distil.labels import Floats
from rerank_ops.distil.lists import Candidate, LearnedList
from support.model.toy_models import WORDS

#: Words of a subject, and documents of one.
_SUBJECT, _OF_SUBJECT = 8, 6


def write_corpus(path: Path, documents: int = 120, seed: int = 0) -> Path:
    """Write documents of the toy models' words: titles of six words, texts of six sentences."""
    draw = random.Random(seed)
    lines = []
    for number in range(documents):
        start = (number // _OF_SUBJECT * 3) % (len(WORDS) - _SUBJECT)
        subject = WORDS[start : start + _SUBJECT]
        title = " ".join(draw.choices(subject, k=6))
        text = " ".join(
            f"{' '.join(draw.choices(subject, k=5) + draw.choices(WORDS, k=3)).capitalize()}." for _ in range(6)
        )
        lines.append(json.dumps({"_id": f"d{number}", "title": title, "text": text}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def toy_lists(count: int, size: int = 5, seed: int = 0, *, judged: bool = False) -> list[LearnedList]:
    """Return lists of toy words, by falling first-stage score; of judged ones the last candidate answers."""
    draw = random.Random(seed)
    lists = []
    for number in range(count):
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in range(size)]
        candidates = tuple(
            Candidate(f"l{number}c{place}", text, float(size - place), 1 if judged and place == size - 1 else None)
            for place, text in enumerate(texts)
        )
        lists.append(LearnedList(f"l{number}", " ".join(draw.choices(WORDS, k=3)), "real", candidates))
    return lists


def taught_words(lists: Sequence[LearnedList]) -> list[Floats]:
    """Return a target that words alone decide, so that a student of few layers can learn it."""
    values = {word: np.sin(place) for place, word in enumerate(WORDS)}
    return [
        np.array([sum(values[word] for word in each.text.split()) for each in one.candidates], dtype=np.float32)
        for one in lists
    ]
