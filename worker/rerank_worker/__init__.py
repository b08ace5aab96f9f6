"""The worker: supervisor, worker processes, micro-batcher, tokenization and engine. `rerank-fleet worker` runs it."""

from importlib.metadata import version

__version__ = version("rerank-fleet")
