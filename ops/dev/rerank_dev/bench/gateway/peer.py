"""The peer: a FastAPI service that calls ONNX Runtime inline, as its introductions show it. Nothing of the fleet's.

Endpoints are plain `def`, which FastAPI runs on its thread pool; session and tokenizer have their default threads, one
a core. `/rerank` runs all pairs of a request as one batch, padded to the longest; `/rerank-unpadded` one pair after
the other, as those do who have measured it: int8 on CPU gains nothing from batches, and padding is work.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

#: Names the directory of model.onnx and tokenizer.json.
DIRECTORY = "PEER_DIRECTORY"
#: Of a document; none of the benchmark's is as long. Cutting here is cheaper than after the tokenizer.
_LONGEST_CHARS = 2_000


class RerankRequest(BaseModel):
    """A question and its candidates."""

    query: str
    documents: list[str]


class RerankResult(BaseModel):
    """A candidate's score."""

    index: int
    relevance_score: float


class RerankResponse(BaseModel):
    """All candidates, best first."""

    results: list[RerankResult]


class Reranker:
    """A cross-encoder in this process."""

    def __init__(self, directory: str) -> None:
        self._session = onnxruntime.InferenceSession(
            os.path.join(directory, "model.onnx"), providers=["CPUExecutionProvider"]
        )
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._tokenizer = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.enable_padding()

    def rank(self, request: RerankRequest, batch_size: int) -> RerankResponse:
        """Score all candidates, so many a run."""
        pairs = [(request.query, document[:_LONGEST_CHARS]) for document in request.documents]
        batches = [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]
        logits = np.concatenate([self._logits(batch) for batch in batches])
        scores = 1 / (1 + np.exp(-logits))
        order = np.argsort(-scores, kind="stable")
        return RerankResponse(
            results=[RerankResult(index=int(index), relevance_score=float(scores[index])) for index in order]
        )

    def _logits(self, pairs: list[tuple[str, str]]) -> Any:
        encodings = self._tokenizer.encode_batch(pairs)
        values = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        (logits,) = self._session.run(None, {name: np.array(values[name], dtype=np.int64) for name in self._inputs})
        return logits[:, 0]


def create_app() -> FastAPI:
    """Return the service; a factory for uvicorn."""
    app, reranker = FastAPI(), Reranker(os.environ[DIRECTORY])

    @app.post("/rerank")
    def rerank(request: RerankRequest) -> RerankResponse:
        return reranker.rank(request, len(request.documents))

    @app.post("/rerank-unpadded")
    def rerank_unpadded(request: RerankRequest) -> RerankResponse:
        return reranker.rank(request, 1)

    return app
