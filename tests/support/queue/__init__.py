"""The queue and its server for tests: full, without a disk, over TLS, looked into."""
