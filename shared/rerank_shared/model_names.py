"""Names of models, as requests, routes and workers spell them."""

from __future__ import annotations


def name_of(model: str) -> str:
    """Return what requests call a model: its catalogue name, a hub source without its hf:, else the source itself."""
    return model.removeprefix("hf:")
