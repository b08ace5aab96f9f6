"""Token cache: keeps the tokens of documents, since the same documents come again with other queries.

The memory of its entries is bounded, and the least recently used entry leaves first. An entry may hold a cut document;
it is used only if it has enough tokens for the requested room.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_worker.tokenizing.tokens import Tokens

_KEY_BYTES = 16
#: Bytes of an entry besides its ids: key, array, place in the order. Measured on CPython 3.11.
ENTRY_BYTES = 300


def key_of(text: str) -> bytes:
    """Return the digest of a document's content."""
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()


class TokenCache:
    """Holds tokens by the digest of their text, in at most `limit_bytes`. Thread-safe."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        #: Bytes of all entries.
        self.held_bytes = 0
        self._entries: OrderedDict[bytes, Tokens] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, keys: Iterable[bytes], room: int) -> list[Tokens | None]:
        """Return for each key the tokens that suffice for `room` tokens of text, None if there are none."""
        with self._lock:
            return [self._get(key, room) for key in keys]

    def put(self, keys: Sequence[bytes], tokens: Sequence[Tokens]) -> None:
        """Store the tokens of each key and replace earlier ones. An entry above the limit by itself is not stored."""
        compact = [_compact(each) for each in tokens]
        with self._lock:
            for key, each in zip(keys, compact, strict=True):
                self._drop(key)
                if (size := _size(each)) <= self.limit_bytes:
                    self._entries[key] = each
                    self.held_bytes += size
            while self.held_bytes > self.limit_bytes:
                self._drop(next(iter(self._entries)))

    def _get(self, key: bytes, room: int) -> Tokens | None:
        tokens = self._entries.get(key)
        if tokens is None or not tokens.serves(room):
            return None
        self._entries.move_to_end(key)
        return tokens

    def _drop(self, key: bytes) -> None:
        if (tokens := self._entries.pop(key, None)) is not None:
            self.held_bytes -= _size(tokens)


def _size(tokens: Tokens) -> int:
    return tokens.ids.nbytes + ENTRY_BYTES


def _compact(tokens: Tokens) -> Tokens:
    """Return a copy in the smallest type that holds its ids; for most vocabularies this halves the size."""
    fits = tokens.ids.max(initial=0) <= np.iinfo(np.uint16).max
    ids: npt.NDArray[np.integer[Any]] = tokens.ids.astype(np.uint16 if fits else np.int32)
    # Threads share the array.
    ids.flags.writeable = False
    return Tokens(ids, tokens.whole)
