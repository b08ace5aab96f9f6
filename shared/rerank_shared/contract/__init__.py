"""The contract between producers and workers: schemas, messages, their bytes, and the digest of a pair."""
