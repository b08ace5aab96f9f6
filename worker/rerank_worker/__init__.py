"""The fleet: supervisor, worker processes, micro-batcher, tokenization and engine. Run by `rerank-fleet worker`."""
