"""Pair tokenizer: encodes texts into the token ids of pairs. The query is encoded once for all documents; no padding.

The ids equal those of the tokenizer's own pair encoding, longest-first truncation included. This holds whether a
document is encoded now, was cached at another limit, or comes as token ids; property tests check it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import InvalidRequest
from rerank_shared.models.catalogue import ModelFiles
from rerank_worker import metrics
from rerank_worker.tokenizing.cache import TokenCache, key_of
from rerank_worker.tokenizing.joining import Joiner
from rerank_worker.tokenizing.template import find_template
from rerank_worker.tokenizing.texts import TextEncoder, open_tokenizer
from rerank_worker.tokenizing.tokens import EncodedPair, Tokens
from rerank_worker.tokenizing.truncation import needs_whole


class PairTokenizer:
    """Encodes pairs with a `tokenizers` file. Thread-safe.

    `cache_bytes` bounds the memory of the documents' tokens that are kept for later queries; 0 keeps none. `prompt` is
    put before every query.
    """

    def __init__(self, path: Path, cache_bytes: int = 0, *, prompt: str = "") -> None:
        tokenizer = open_tokenizer(path)
        self.template = find_template(tokenizer, prompt)
        self._encoder = TextEncoder(tokenizer)
        self._joiner = Joiner(self.template)
        self._cache = TokenCache(cache_bytes) if cache_bytes else None

    @classmethod
    def of(cls, files: ModelFiles, cache_bytes: int = 0) -> Self:
        """Return the tokenizer of a model, with the model's prompt."""
        return cls(files.tokenizer_path, cache_bytes, prompt=files.prompt)

    def encode(self, query: str, documents: Sequence[Content], max_length: int) -> list[EncodedPair]:
        """Return the pairs of `query` with each document, at most `max_length` tokens each.

        Raises InvalidRequest if the special tokens leave no room for text, or if a document's token ids are not in the
        vocabulary. The caller checks that token ids come from this tokenizer.
        """
        room = max_length - self.template.specials
        if room < 1:
            raise InvalidRequest(
                f"max_length: {max_length} leaves no room for text beside the {self.template.specials} special tokens"
            )
        query = self.template.prompt + query
        first = self._encoder.head(query, room)
        seconds = self._encode_documents(documents, room)
        for index, document in enumerate(documents):
            if needs_whole(first, seconds[index], room):
                first = self._encoder.whole(query)
                if isinstance(document, str):
                    seconds[index] = self._encoder.whole(document)
        return self._joiner.join(first, seconds, room)

    def _encode_documents(self, documents: Sequence[Content], room: int) -> list[Tokens]:
        texts = [document for document in documents if isinstance(document, str)]
        encoded = iter(self._encode_texts(texts, room))
        return [next(encoded) if isinstance(document, str) else self._encoder.given(document) for document in documents]

    def _encode_texts(self, texts: Sequence[str], room: int) -> list[Tokens]:
        if self._cache is None:
            return self._encoder.heads(texts, room)
        keys = [key_of(text) for text in texts]
        found = self._cache.get(keys, room)
        missing = [index for index, tokens in enumerate(found) if tokens is None]
        encoded = self._encoder.heads([texts[index] for index in missing], room)
        self._cache.put([keys[index] for index in missing], encoded)
        metrics.TOKEN_CACHE.labels("miss").inc(len(missing))
        metrics.TOKEN_CACHE.labels("hit").inc(len(texts) - len(missing))
        new = iter(encoded)
        return [next(new) if tokens is None else tokens for tokens in found]
