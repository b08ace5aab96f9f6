"""From texts to the token ids of pairs: the query is encoded once for all its documents, and nothing is padded.

The ids equal what the tokenizer's own pair encoding gives, longest-first truncation included; a property test holds
that. The tokenizer's state is set once at load and never changed, so any number of threads may encode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from rerank_shared.errors import ConfigurationError, InvalidRequest, ModelDamaged

Ids = npt.NDArray[np.int64]
#: A document beyond this many characters a token is first encoded by its head only: no common text has longer words.
_HEAD_CHARS_PER_TOKEN = 16
TRUNCATION = "longest_first"


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Token ids of one (query, document) pair, unpadded, shape [tokens]; `truncated` if text was cut to fit."""

    ids: Ids
    type_ids: Ids
    truncated: bool

    @property
    def tokens(self) -> int:
        """Length in tokens, special ones included."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Special:
    """Special tokens that stand together, and the type id of each."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]

    def __str__(self) -> str:
        return ",".join(f"{id_}:{type_id}" for id_, type_id in zip(self.ids, self.type_ids, strict=True))


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens around a pair and the type ids of its texts, as the tokenizer's post-processor sets them."""

    before: Special
    between: Special
    after: Special
    query_type_id: int
    document_type_id: int

    @property
    def specials(self) -> int:
        """How many special tokens a pair carries."""
        return len(self.before.ids) + len(self.between.ids) + len(self.after.ids)

    def __str__(self) -> str:
        return f"{self.before}/{self.query_type_id}/{self.between}/{self.document_type_id}/{self.after}"


@dataclass(frozen=True, slots=True)
class _Text:
    """The ids of a text, or, where it is not `whole`, of as much of it as a pair can hold and at least one more."""

    ids: list[int]
    whole: bool


class PairTokenizer:
    """Encodes pairs with a `tokenizers` file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            # The library raises bare Exception for anything that is wrong with the file.
            raise ModelDamaged(f"{path} is not a tokenizer: {error}") from None
        # Files as shipped may pad to a fixed length or truncate; both are ours to decide, pair by pair.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.template = _find_template(self._tokenizer)

    def encode(self, query: str, documents: Sequence[str], max_length: int) -> list[EncodedPair]:
        """Return the pairs of `query` with each document, at most `max_length` tokens each.

        Raises InvalidRequest if the special tokens leave no room for text.
        """
        room = max_length - self.template.specials
        if room < 1:
            raise InvalidRequest(
                f"max_length: {max_length} leaves no room for text beside the {self.template.specials} special tokens"
            )
        encoded_query = self._encode_head(query, room)
        pairs = []
        for document, encoded in zip(documents, self._encode_all(documents, room), strict=True):
            if _needs_whole(encoded_query, encoded, room):
                encoded_query, encoded = self._encode_whole(query), self._encode_whole(document)
            pairs.append(self._join(encoded_query.ids, encoded.ids, room))
        return pairs

    def _encode_all(self, documents: Sequence[str], room: int) -> list[_Text]:
        limit = room * _HEAD_CHARS_PER_TOKEN
        if all(len(document) <= limit for document in documents):
            encodings = self._tokenizer.encode_batch_fast(list(documents), add_special_tokens=False)
            return [_Text(encoding.ids, whole=True) for encoding in encodings]
        return [self._encode_head(document, room) for document in documents]

    def _encode_head(self, text: str, room: int) -> _Text:
        """Encode as much of a text as can matter: `room` tokens are all a pair can hold, and one more tells it was cut.

        A megabyte would otherwise cost half a second to keep 500 tokens. The head ends at white space, where no
        tokenizer of this kind joins tokens; while it gives too few tokens it is doubled.
        """
        end = room * _HEAD_CHARS_PER_TOKEN
        while end < len(text):
            cut = max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))
            if cut > 0:
                ids: list[int] = self._tokenizer.encode(text[:cut], add_special_tokens=False).ids
                if len(ids) > room:
                    return _Text(ids, whole=False)
            end *= 2
        return self._encode_whole(text)

    def _encode_whole(self, text: str) -> _Text:
        return _Text(self._tokenizer.encode(text, add_special_tokens=False).ids, whole=True)

    def _join(self, query_ids: list[int], document_ids: list[int], room: int) -> EncodedPair:
        keep_query, keep_document = longest_first(len(query_ids), len(document_ids), room)
        t = self.template
        ids = [*t.before.ids, *query_ids[:keep_query], *t.between.ids, *document_ids[:keep_document], *t.after.ids]
        query_types, document_types = [t.query_type_id] * keep_query, [t.document_type_id] * keep_document
        type_ids = [
            *t.before.type_ids, *query_types, *t.between.type_ids, *document_types, *t.after.type_ids,
        ]  # fmt: skip
        return EncodedPair(
            ids=np.array(ids, dtype=np.int64),
            type_ids=np.array(type_ids, dtype=np.int64),
            truncated=keep_query < len(query_ids) or keep_document < len(document_ids),
        )


def _needs_whole(query: _Text, document: _Text, room: int) -> bool:
    """Whether the heads can't tell which text is the longer one, and so which gets the odd token; see longest_first."""
    both_cut = len(query.ids) > room and len(document.ids) > room
    return room % 2 == 1 and both_cut and not (query.whole and document.whole)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text are kept so that both fit in `room`, taking from the longer one first.

    As in the `tokenizers` library (truncate_encodings, LongestFirst); where both are cut, an odd token goes to the
    text that was longer.
    """
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (short, long) if first <= second else (long, short)


def _find_template(tokenizer: Tokenizer) -> Template:
    """Read the template off one encoded pair, since post-processors differ in kind but not in what they do."""
    encoding = tokenizer.encode("a", "b")
    sequence = encoding.sequence_ids
    no_pairs = ConfigurationError("the tokenizer does not encode pairs, so its model is not a cross-encoder")
    if 0 not in sequence or 1 not in sequence:
        raise no_pairs
    first, second = sequence.index(0), sequence.index(1)
    first_end = len(sequence) - sequence[::-1].index(0)
    second_end = len(sequence) - sequence[::-1].index(1)
    if first_end == second:
        # Without a separator a query and its document would be one text, and every score wrong in silence.
        raise no_pairs
    return Template(
        before=_special(encoding, 0, first),
        between=_special(encoding, first_end, second),
        after=_special(encoding, second_end, len(sequence)),
        query_type_id=encoding.type_ids[first],
        document_type_id=encoding.type_ids[second],
    )


def _special(encoding: Encoding, start: int, end: int) -> Special:
    return Special(tuple(encoding.ids[start:end]), tuple(encoding.type_ids[start:end]))
