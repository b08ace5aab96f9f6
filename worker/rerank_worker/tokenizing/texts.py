"""Text encoder: encodes a text into token ids with the `tokenizers` library, without special tokens.

The library's state is set at load and never changes, so any number of threads may encode.
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

#: Only the head of a document above this many characters a token is encoded first: common words are shorter.
_HEAD_CHARS_PER_TOKEN = 16


def open_tokenizer(path: Path) -> Tokenizer:
    """Return the library's tokenizer without padding and truncation. Raises ModelDamaged if the file is broken."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        # The library raises bare Exception for any fault of the file.
        raise ModelDamaged(f"{path} is not a tokenizer: {error}") from None
    # A shipped file may pad to a fixed length or truncate; this package decides both, pair by pair.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextEncoder:
    """Encodes single texts. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def heads(self, texts: Sequence[str], room: int) -> list[Tokens]:
        """Return the tokens of each text, or of a head that suffices for `room` tokens of text."""
        limit = room * _HEAD_CHARS_PER_TOKEN
        short = [text for text in texts if len(text) <= limit]
        encodings = iter(self._tokenizer.encode_batch_fast(short, add_special_tokens=False))
        return [_tokens(next(encodings).ids) if len(text) <= limit else self.head(text, room) for text in texts]

    def head(self, text: str, room: int) -> Tokens:
        """Encode the part of a text that a pair can use: `room` tokens, and one more to show that it was cut.

        Otherwise a megabyte would take half a second for 500 tokens. The head ends at white space, where no tokenizer
        of this kind joins tokens. While the head gives too few tokens, it is doubled.
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
        """Encode a whole text."""
        return _tokens(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def given(self, document: TokenIds) -> Tokens:
        """Return a client's token ids as tokens. Raises InvalidRequest if an id is not in the vocabulary."""
        ids, known = np.frombuffer(document.packed, dtype="<u4"), self._known_ids
        # The last entry stands for all larger ids.
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
