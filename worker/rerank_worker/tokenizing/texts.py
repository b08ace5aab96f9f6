"""From a text to its token ids, by the `tokenizers` library, without special tokens.

The library's state is set once at load and never changed, so any number of threads may encode.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import InvalidRequest, ModelDamaged
from rerank_worker.tokenizing.tokens import Tokens

#: A document beyond this many characters a token is first encoded by its head only: no common text has longer words.
_HEAD_CHARS_PER_TOKEN = 16


def open_tokenizer(path: Path) -> Tokenizer:
    """Return the library's tokenizer without padding and truncation; raises ModelDamaged if the file is none."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        # The library raises bare Exception for anything that is wrong with the file.
        raise ModelDamaged(f"{path} is not a tokenizer: {error}") from None
    # Files as shipped may pad to a fixed length or truncate; both are ours to decide, pair by pair.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextEncoder:
    """Encodes single texts. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def heads(self, texts: Sequence[str], room: int) -> list[Tokens]:
        """Return of each text as many tokens as serve a pair with `room` tokens of text."""
        limit = room * _HEAD_CHARS_PER_TOKEN
        short = [text for text in texts if len(text) <= limit]
        encodings = iter(self._tokenizer.encode_batch_fast(short, add_special_tokens=False))
        return [_tokens(next(encodings).ids) if len(text) <= limit else self.head(text, room) for text in texts]

    def head(self, text: str, room: int) -> Tokens:
        """Encode as much of a text as can matter: `room` tokens are all a pair can hold, and one more tells it was cut.

        A megabyte would otherwise cost half a second to keep 500 tokens. The head ends at white space, where no
        tokenizer of this kind joins tokens; while it gives too few tokens it is doubled.
        """
        end = room * _HEAD_CHARS_PER_TOKEN
        while end < len(text):
            cut = max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))
            if cut > 0:
                head = _tokens(self._tokenizer.encode(text[:cut], add_special_tokens=False).ids, whole=False)
                if head.serves(room):
                    return head
            end *= 2
        return self.whole(text)

    def whole(self, text: str) -> Tokens:
        """Encode all of a text."""
        return _tokens(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def given(self, document: TokenIds) -> Tokens:
        """Take ids as they are; raises InvalidRequest if one of them stands for nothing in the vocabulary."""
        ids, known = np.frombuffer(document.packed, dtype="<u4"), self._known_ids
        # The last entry stands for all ids beyond.
        unknown = ids[~known[np.minimum(ids, len(known) - 1)]]
        if len(unknown):
            raise InvalidRequest(
                f"documents: the token id {unknown[0]} is not in the model's vocabulary: make token_ids with the "
                "model's own tokenizer.json"
            )
        return Tokens(ids, whole=True)

    @cached_property
    def _known_ids(self) -> npt.NDArray[np.bool_]:
        ids = list(self._tokenizer.get_vocab(with_added_tokens=True).values())
        known = np.zeros(max(ids) + 2, dtype=np.bool_)
        known[ids] = True
        return known


def _tokens(ids: list[int], *, whole: bool = True) -> Tokens:
    return Tokens(np.array(ids, dtype=np.int32), whole)
