"""Token ids: documents that come as ids instead of text, and the checks of their tokenizer.

Ids mean nothing without the tokenizer that made them, so they always travel with its digest. A process that knows the
model refuses the ids of another tokenizer, since their scores would look like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from rerank_shared.errors import InvalidRequest

#: Vocabularies have a few hundred thousand entries; the wire has room for this many.
ID_MAX = 2**31 - 1
_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class TokenIds:
    """A document's token ids, without special tokens, as unsigned 32-bit little-endian numbers one after the other."""

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) % _ID_BYTES:
            raise ValueError(f"token ids of {len(self.packed)} bytes: {_ID_BYTES} an id expected")

    def __len__(self) -> int:
        return len(self.packed) // _ID_BYTES

    @classmethod
    def of(cls, ids: Sequence[int]) -> Self:
        """Return ids in their packed form; each is from 0 to ID_MAX, which the schema of a document checks."""
        return cls(struct.pack(f"<{len(ids)}I", *ids))


#: The content of a document, which is scored.
Content = str | TokenIds


def refuse_undeclared(documents: Iterable[Content]) -> None:
    """Raise InvalidRequest if a document of a request that declares no tokenizer is token ids."""
    if any(isinstance(document, TokenIds) for document in documents):
        raise InvalidRequest(
            "tokenizer_digest: missing; documents given as token_ids need the SHA-256 of the tokenizer.json that made "
            "them, because the ids of another tokenizer would be scored as other words"
        )


def refuse_foreign(tokenizer_digest: str, own: str, model: str) -> None:
    """Raise InvalidRequest if the declared tokenizer is not the served model's, whose digest is `own`."""
    if tokenizer_digest != own:
        raise InvalidRequest(
            f"tokenizer_digest: {tokenizer_digest} is not that of {model!r} as it is served, {own}: make the "
            "token_ids with the tokenizer.json of that model, or send text"
        )
