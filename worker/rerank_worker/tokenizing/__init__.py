"""Tokenization: turns texts, or token ids from a client, into the encoded pairs that the engine runs."""

from rerank_worker.tokenizing.pairs import PairTokenizer
from rerank_worker.tokenizing.template import Template
from rerank_worker.tokenizing.tokens import EncodedPair, Ids
from rerank_worker.tokenizing.truncation import TRUNCATION, longest_first

__all__ = ["TRUNCATION", "EncodedPair", "Ids", "PairTokenizer", "Template", "longest_first"]
