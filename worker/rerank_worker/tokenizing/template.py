"""Template: the special tokens of a pair, read from an encoded pair, since post-processors differ in kind."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer

from rerank_shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Special:
    """Adjacent special tokens, and the type id of each."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]

    def __str__(self) -> str:
        return ",".join(f"{id_}:{type_id}" for id_, type_id in zip(self.ids, self.type_ids, strict=True))


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens around a pair and the type ids of its texts, as the tokenizer's post-processor sets them.

    `prompt`: text before every query. `str()` leaves an empty prompt out, so that older scoring identities stay valid.
    """

    before: Special
    between: Special
    after: Special
    query_type_id: int
    document_type_id: int
    prompt: str = ""

    @property
    def specials(self) -> int:
        """The number of special tokens in a pair."""
        return len(self.before.ids) + len(self.between.ids) + len(self.after.ids)

    def __str__(self) -> str:
        specials = f"{self.before}/{self.query_type_id}/{self.between}/{self.document_type_id}/{self.after}"
        return f"{specials}/{self.prompt!r}" if self.prompt else specials


def find_template(tokenizer: Tokenizer, prompt: str = "") -> Template:
    """Return the template of a tokenizer's pairs. Raises ConfigurationError if the tokenizer does not encode pairs."""
    encoding = tokenizer.encode("a", "b")
    sequence = encoding.sequence_ids
    no_pairs = ConfigurationError("the tokenizer does not encode pairs, so its model is not a cross-encoder")
    if 0 not in sequence or 1 not in sequence:
        raise no_pairs
    first, second = sequence.index(0), sequence.index(1)
    first_end = len(sequence) - sequence[::-1].index(0)
    second_end = len(sequence) - sequence[::-1].index(1)
    if first_end == second:
        # Without a separator a query and its document would be one text, and every score silently wrong.
        raise no_pairs
    return Template(
        before=_special(encoding, 0, first),
        between=_special(encoding, first_end, second),
        after=_special(encoding, second_end, len(sequence)),
        query_type_id=encoding.type_ids[first],
        document_type_id=encoding.type_ids[second],
        prompt=prompt,
    )


def _special(encoding: Encoding, start: int, end: int) -> Special:
    return Special(tuple(encoding.ids[start:end]), tuple(encoding.type_ids[start:end]))
