"""The fleet: supervisor, worker processes, micro-batcher, tokenization and engine. Run by `rerank-fleet worker`."""

from importlib.metadata import version

__version__ = version("rerank-fleet")
