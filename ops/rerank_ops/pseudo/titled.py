"""A document with its title apart from its text."""

from __future__ import annotations

from dataclasses import dataclass

from rerank_producer.bulk.texts.records import joined


@dataclass(frozen=True, slots=True)
class Titled:
    """A document: its title, empty where it has none, and its text."""

    title: str
    text: str

    @property
    def whole(self) -> str:
        """Title and text as BEIR joins them."""
        return joined(self.title, self.text)
