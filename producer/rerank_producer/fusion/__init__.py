"""Fusion: how first-stage scores and lists count in an order. Pure: no clock, no connection.

`lists` makes one list of candidates out of several; `methods` fuses the model's logits with first-stage scores;
`asked` reads from a request how that is to be done.
"""

from rerank_producer.fusion.lists import Candidate, Documents, FirstStage, fuse

__all__ = ["Candidate", "Documents", "FirstStage", "fuse"]
