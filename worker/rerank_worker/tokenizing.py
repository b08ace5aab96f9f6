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
from tokenizers import Tokenizer

from rerank_shared.errors import ConfigurationError, ModelDamaged

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
class Template:
    """The special tokens around a pair and the type ids of its parts, as the tokenizer's post-processor sets them."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    type_ids: tuple[int, int, int, int, int]

    @property
    def specials(self) -> int:
        """How many special tokens a pair carries."""
        return len(self.before) + len(self.between) + len(self.after)

    def __str__(self) -> str:
        parts = (self.before, self.between, self.after, self.type_ids)
        return "/".join(",".join(map(str, part)) for part in parts)


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
        """Return the pairs of `query` with each document, at most `max_length` tokens each."""
        room = max_length - self.template.specials
        query_ids = self._encode_head(query, room)
        return [self._join(query_ids, document_ids, room) for document_ids in self._encode_all(documents, room)]

    def _encode_all(self, documents: Sequence[str], room: int) -> list[list[int]]:
        limit = room * _HEAD_CHARS_PER_TOKEN
        if all(len(document) <= limit for document in documents):
            encodings = self._tokenizer.encode_batch_fast(list(documents), add_special_tokens=False)
            return [encoding.ids for encoding in encodings]
        return [self._encode_head(document, room) for document in documents]

    def _encode_head(self, text: str, room: int) -> list[int]:
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
                    return ids
            end *= 2
        whole: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return whole

    def _join(self, query_ids: list[int], document_ids: list[int], room: int) -> EncodedPair:
        keep_query, keep_document = longest_first(len(query_ids), len(document_ids), room)
        t = self.template
        ids = [*t.before, *query_ids[:keep_query], *t.between, *document_ids[:keep_document], *t.after]
        lengths = (len(t.before), keep_query, len(t.between), keep_document, len(t.after))
        return EncodedPair(
            ids=np.array(ids, dtype=np.int64),
            type_ids=np.repeat(np.array(t.type_ids, dtype=np.int64), lengths),
            truncated=keep_query < len(query_ids) or keep_document < len(document_ids),
        )


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
    if 0 not in sequence or 1 not in sequence:
        raise ConfigurationError("the tokenizer does not encode pairs, so its model is not a cross-encoder")
    first, second = sequence.index(0), sequence.index(1)
    first_end = len(sequence) - sequence[::-1].index(0)
    second_end = len(sequence) - sequence[::-1].index(1)
    ids, types = encoding.ids, encoding.type_ids
    spans = ((0, first), (first, first_end), (first_end, second), (second, second_end), (second_end, len(ids)))
    kinds = [types[start] if start < end else 0 for start, end in spans]
    return Template(
        before=tuple(ids[:first]),
        between=tuple(ids[first_end:second]),
        after=tuple(ids[second_end:]),
        type_ids=(kinds[0], kinds[1], kinds[2], kinds[3], kinds[4]),
    )
