"""The command `rerank`: requests from arguments, a file or stdin; responses as tables or lines."""
