"""What a report shows beside an evaluation: orders, judgements, texts, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rerank_ops.evaluate.comparison import Row
from rerank_ops.evaluate.evaluation import Evaluation
from rerank_ops.evaluate.prepared import Prepared
from rerank_ops.evaluate.systems import System
from rerank_ops.report.made import Made


@dataclass(frozen=True, slots=True)
class Evidence:
    """An evaluation with all that it was made from. `systems` are the orders by name, `identity` tells the data."""

    evaluation: Evaluation
    ready: Prepared
    systems: Mapping[str, System]
    identity: Mapping[str, str]
    made: Made

    @property
    def measure(self) -> str:
        """The measure that the verdict goes by: the first one asked for."""
        return self.evaluation.asked.measures[0]

    def row(self, name: str) -> Row:
        """Return a row of the table."""
        return next(row for row in self.evaluation.rows if row.name == name)

    def baseline(self) -> Row:
        """Return the row that others are held against."""
        return self.row(self.evaluation.asked.baseline)

    def numbers(self) -> dict[str, str]:
        """Return the number of each row by its name; it is the same in tables and charts."""
        shown = [row.name for row in self.evaluation.rows if row.kind not in ("again", "ceiling")]
        return {name: str(number) for number, name in enumerate(shown, start=1)}

    def texts(self) -> dict[str, str]:
        """Return the text of each document that the first stage found."""
        return {
            str(document.id): document.text or ""
            for query in self.ready.candidates.queries
            for document in query.candidates
        }
