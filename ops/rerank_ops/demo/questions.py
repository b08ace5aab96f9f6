"""Questions of the demo and the passages that answer them, read from a file that is edited by hand.

People judged the answers; none is derived from a ranking.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Question:
    """A question as a programmer asks it; each id in `answers` is a right answer, and all are equally right."""

    id: str
    text: str
    answers: tuple[str, ...]


def stdlib_questions() -> list[Question]:
    """Return the questions about the standard library, in the order of the file."""
    document = tomllib.loads(files("rerank_ops.demo").joinpath("questions.toml").read_text(encoding="utf-8"))
    return [Question(id=q["id"], text=q["text"], answers=tuple(q["answers"])) for q in document["question"]]


def qrels(questions: Iterable[Question]) -> dict[str, dict[str, int]]:
    """Return relevance judgements as {question id: {passage id: 1}}, the form that `measure` takes."""
    return {question.id: dict.fromkeys(question.answers, 1) for question in questions}
